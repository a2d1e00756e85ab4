#!/bin/sh
# Brings a Chromium for the browser tests: one that is there, Debian's package as root, or Playwright's
# own. Where none works it says so in one line and the browser tests are skipped.
# Usage: chromium.sh PYTHON
set -u
python=$1
command -v chromium >/dev/null 2>&1 && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  if apt-get update -qq >/dev/null 2>&1 \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1; then
    exit 0
  fi
fi
if "$python" -m playwright install chromium >/dev/null 2>&1; then
  exit 0
fi
echo "no Chromium could be installed (neither Debian's package nor Playwright's): browser tests will be skipped" >&2
[ -z "${CI:-}" ] || exit 1
exit 0

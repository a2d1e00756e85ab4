"""Fetching an export's files by signed addresses: resumed where cut, whole or not at all.

Knows HTTP and the safetensors header. Does not know the service. Names come from the
caller, never from the service, so that nothing is written outside the folder; archives are not
unpacked. A signed address is a permission: it is never logged nor put into an error.
"""

import base64
import hashlib
import json
import logging
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from training.adapters import PEFT_CONFIG, WEIGHTS
from training.errors import AdapterDamaged, ServiceGone

log = logging.getLogger(__name__)
ATTEMPTS = 6
LARGEST = 64 << 30
"""Bytes; a LoRA adapter is never larger, and a disk should not be filled by a mistake."""
AGAIN = {408, 425, 429, 500, 502, 503, 504}
STALE = {401, 403, 404, 410}
"""What an address answers whose time is over."""


class _Cut(Exception):
    """This attempt failed; another may not. Says why, and how long to wait."""

    def __init__(self, why: str, *, wait: float = 0.0, stale: bool = False):
        super().__init__(why)
        self.wait = wait
        self.stale = stale


def download_external(
    urls: Mapping[str, str] | Callable[[], Mapping[str, str]],
    into: Path,
    names: Sequence[str] = (WEIGHTS, PEFT_CONFIG),
    *,
    check: Callable[[], None] = lambda: None,
    timeout: float = 60.0,
    pause: float = 1.0,
) -> None:
    """Fetch the files of an external export (RestClient.get_external_weights_urls).

    Args:
        urls: the address of each file by its name, or a function that gives them; it is asked
            again where addresses ran out.
        into: an existing folder, of this download alone.
        names: the files that are wanted; others are left where they are.
        check: called between parts; may raise to stop.
        timeout: seconds to wait for each answer.
        pause: seconds before the second attempt; doubled before each further one.

    Raises:
        AdapterDamaged: a wanted file is not among them, has no http(s) address, or is not whole.
        ServiceGone: it could not be fetched in several attempts.
    """
    ask = urls if callable(urls) else lambda: urls
    known = _addresses(ask(), names)
    for name in names:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _fetch(known[name], into / name, check, timeout)
                break
            except _Cut as error:
                if attempt == ATTEMPTS:
                    raise ServiceGone(
                        f"the export's {name} could not be fetched in {ATTEMPTS} attempts: {error}"
                    ) from None
                log.warning("%s, attempt %d: %s", name, attempt, error)
                _sleep(max(error.wait, pause * 2 ** (attempt - 1)), check)
                if error.stale:
                    known = _addresses(ask(), names)
        check_whole(into / name)


def _addresses(urls: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    for name in names:
        if name not in urls:
            there = ", ".join(sorted(str(one)[:80] for one in urls)) or "nothing"
            raise AdapterDamaged(f"the export has no {name}; it has {there}")
        if not urls[name].startswith(("http://", "https://")):
            raise AdapterDamaged(f"the export's address of {name} is not http(s)")
    return {name: urls[name] for name in names}


def _fetch(url: str, path: Path, check: Callable[[], None], timeout: float) -> None:
    """One attempt; what is there of the file already is gone on with where the server can."""
    there = path.stat().st_size if path.is_file() else 0
    local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    try:
        with (
            httpx.Client(trust_env=not local, timeout=timeout, follow_redirects=True) as client,
            client.stream("GET", url, headers=headers) as answer,
        ):
            if answer.status_code == 416 and there:
                path.unlink()
                raise _Cut("the part that was there does not fit; begun anew")
            _refuse(answer)
            whole = _length(answer, there)
            start = there if answer.status_code == 206 else 0
            with path.open("ab" if start else "wb") as file:
                for part in answer.iter_bytes():  # as they come: what came before a cut is kept
                    check()
                    file.write(part)
                    if file.tell() > LARGEST:
                        raise AdapterDamaged(f"{path.name} is larger than any adapter")
            _compare(path, whole, answer.headers, resumed=bool(start))
    except httpx.HTTPError as error:
        raise _Cut(type(error).__name__) from None


def _refuse(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in STALE:
        raise _Cut(f"its address answers {status}", stale=True)
    if status in AGAIN:
        raise _Cut(f"its address answers {status}", wait=_patience(answer.headers))
    if status not in (200, 206):
        raise AdapterDamaged(f"the export's address answers {status}")


def _patience(headers: httpx.Headers) -> float:
    """Seconds that a server asks to be left alone, a minute at most."""
    told = headers.get("retry-after", "")
    return min(float(told), 60.0) if told.replace(".", "", 1).isdigit() else 0.0


def _length(answer: httpx.Response, start: int) -> int | None:
    """Bytes of the whole file, as the server says."""
    if answer.status_code == 206:
        first, _, total = answer.headers.get("content-range", "").partition("/")
        if not first.startswith(f"bytes {start}-"):
            raise _Cut("the server went on at another place")
        return int(total) if total.isdigit() else None
    told = answer.headers.get("content-length", "")
    return int(told) if told.isdigit() else None


def _compare(path: Path, whole: int | None, headers: httpx.Headers, *, resumed: bool) -> None:
    """Size and, where the server tells one, MD5 (Google's and S3's object stores do)."""
    size = path.stat().st_size
    if whole is not None and size != whole:
        if size > whole or resumed:
            path.unlink()
        raise _Cut(f"{size:,} of {whole:,} bytes came")
    told = headers.get("content-md5") or ""
    for part in headers.get("x-goog-hash", "").split(","):
        if part.strip().startswith("md5="):
            told = part.strip().removeprefix("md5=")
    if told:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").digest()
        if base64.b64encode(found).decode() != told:
            path.unlink()
            raise _Cut("its checksum differs from what the server says")


def check_whole(path: Path) -> None:
    """Refuse a safetensors file that is cut or longer than its header says.

    Raises:
        AdapterDamaged: it is, or the header cannot be read.
    """
    if path.suffix != ".safetensors":
        return
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, 100 << 20):
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, struct.error, AttributeError) as error:
        raise AdapterDamaged(f"the export's {path.name} is no safetensors file ({error})") from None
    if not ends or size != wanted:
        raise AdapterDamaged(f"the export's {path.name} has {size:,} bytes, wanted {wanted:,}")


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()
        time.sleep(min(0.5, max(0.0, end - time.monotonic())))

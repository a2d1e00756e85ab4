"""Reads which OpenID providers secrets.toml offers. Knows no streamlit and no protocol."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

SHARED = ("redirect_uri", "cookie_secret")
NEEDED = ("client_id", "client_secret", "server_metadata_url")
_told: set[str] = set()


def providers_of(auth: Mapping[str, Any]) -> dict[str, str]:
    """The providers that can be offered, by the name that ``st.login`` takes, with their labels.

    Args:
        auth: The ``[auth]`` table: shared keys, then either one provider's keys in itself or one
            table a provider. ``label`` is what people call it; else the table's name or the host.
    """
    if not auth:
        return {}
    found = {
        name: table
        for name, table in auth.items()
        if isinstance(table, Mapping) and any(key in table for key in NEEDED)
    }
    if any(key in auth for key in NEEDED):
        found = {"default": auth, **found}
    offered: dict[str, str] = {}
    for name, table in found.items():
        missing = [key for key in SHARED if not auth.get(key)]
        missing += [key for key in NEEDED if not table.get(key)]
        if missing or "_" in name:
            _tell_once(name, missing)
            continue
        host = urlsplit(str(table["server_metadata_url"])).hostname or "your organisation"
        offered[name] = str(table.get("label") or (host if name == "default" else name.title()))
    if not found:
        _tell_once("default", list(NEEDED))
    return offered


def _tell_once(name: str, missing: list[str]) -> None:
    """Say in the log, once a process, why a provider is not offered."""
    if name not in _told:
        _told.add(name)
        why = f"lacks {', '.join(missing)}" if missing else "has an underscore in its name"
        log.warning("secrets.toml: [auth] provider %r %s and is not offered", name, why)

"""Validates URLs from settings, and redacts them for messages."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def http_parts(address: str) -> SplitResult | None:
    """Return the parts of an http(s) URL without user and password; None for anything else."""
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and "@" not in address else None


def shown(address: str) -> str:
    """Return an address without its query and without everything before the last @.

    Users put passwords and keys into addresses, also where they do not belong. A password may contain unescaped
    slashes and question marks, so this does not rely on parsing.
    """
    match = _SCHEME.match(address)
    scheme = match[0] if match else ""
    before, at, rest = address.removeprefix(scheme).rpartition("@")
    rest = "" if "?" in before else rest.partition("?")[0]
    return f"{scheme}{'…' if at else ''}{at}{rest}"

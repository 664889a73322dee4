"""What of an address may be told: people write passwords and keys into it, also where they do not belong."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def shown(address: str) -> str:
    """Return an address without its query and without what is before the last @.

    A password may hold slashes and question marks that it should not, so nothing here goes by how it is parsed.
    """
    found = _SCHEME.match(address)
    scheme = found[0] if found else ""
    before, at, rest = address.removeprefix(scheme).rpartition("@")
    rest = "" if "?" in before else rest.partition("?")[0]
    return f"{scheme}{'…' if at else ''}{at}{rest}"

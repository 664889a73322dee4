"""The model catalogue: the models that a spec can refer to by name, with their URIs and digests.

It is a YAML mapping from the name of a model to `uris` (mirrors of the same bytes, tried in order) and `sha256`
(the digest of the file; for a folder, the digest of the sorted lines that `sha256sum` prints for its files).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from imageclassifier_operator.api.config import CatalogueEntry
from imageclassifier_operator.api.field_types import AUTHORITY

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_URI = re.compile(rf"(https?://{AUTHORITY}(/\S*)?|bundled:[a-z0-9]([a-z0-9._-]*[a-z0-9])?)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"uris", "sha256"}


class CatalogueError(ValueError):
    """A catalogue that cannot be used. The message has all problems, each on its own line."""


def parse_catalogue(text: str) -> dict[str, CatalogueEntry]:
    """Return the entries of a catalogue by their names.

    Raises:
        CatalogueError: the text has problems; the error lists all of them.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CatalogueError(f"not YAML: {error}") from error
    if not isinstance(document, dict):
        raise CatalogueError("not a mapping from a model's name to its uris and sha256")
    problems = [problem for name, entry in document.items() for problem in _problems(name, entry)]
    if problems:
        raise CatalogueError("\n".join(problems))
    return {
        name: CatalogueEntry(uris=tuple(entry["uris"]), sha256=entry["sha256"]) for name, entry in document.items()
    }


def _problems(name: Any, entry: Any) -> Iterator[str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"{name}: not a name of lower-case letters, digits, '.', '_' and '-', at most 63 of them"
    if not isinstance(entry, dict):
        yield f"{name}: not a mapping with uris and sha256"
        return
    for field in sorted(set(entry) - _FIELDS, key=str):
        yield f"{name}.{field}: not a field of an entry, which has uris and sha256"
    uris = entry.get("uris")
    if not isinstance(uris, list) or not uris:
        yield f"{name}.uris: needs a list of at least one address"
    else:
        for uri in uris:
            if not isinstance(uri, str) or not _URI.fullmatch(uri):
                yield f"{name}.uris: {uri!r} is neither http(s)://host/path nor bundled:name"
    sha256 = entry.get("sha256")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        yield f"{name}.sha256: needs 64 hexadecimal digits in lower case, is {sha256!r}"

"""Files of a Hugging Face repository at one commit: `hf://owner/repo@commit`, a folder of it, or one file."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import NOT_FOUND, ModelError
from imageclassifier_runtime.fetch import transport
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    from imageclassifier_runtime.fetch.transport import Target
    from imageclassifier_runtime.settings.commands import FetchSettings

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_URI = re.compile(rf"hf://({_NAME})/({_NAME})@([^/@]*)(?:/(.*))?", re.DOTALL)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclasses.dataclass(frozen=True)
class Place:
    """A commit of a repository, and a path in it: a folder where it is empty or ends in a slash."""

    owner: str
    repo: str
    commit: str
    path: str


def parse(uri: str) -> Place:
    """Parse a URI; a branch or a tag is refused, because it can stand for other bytes tomorrow."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ModelError(
            NOT_FOUND, f"{shown(uri)} names no repository: write hf://owner/repo@commit, or with /path behind"
        )
    place = Place(found[1], found[2], found[3], found[4] or "")
    if not _COMMIT.fullmatch(place.commit):
        raise ModelError(
            NOT_FOUND, f"{shown(uri)}: after @ goes the whole commit, 40 hexadecimal digits, not {found[3]!r}"
        )
    return place


def target(place: Place, path: str, settings: FetchSettings) -> Target:
    """Return where a file of the commit is; the token goes to the hub alone, never to where the hub sends us."""
    base = transport.parse(settings.hf_endpoint)
    token = settings.credentials.hf_token
    where = f"/{place.owner}/{place.repo}/resolve/{place.commit}/{urllib.parse.quote(path, safe='/')}"
    authorize = transport.authorization(f"Bearer {token}") if token else None
    return dataclasses.replace(base, path=base.path.rstrip("/") + where, authorize=authorize)

"""Locates files of a Hugging Face repository at a commit: `hf://owner/repo@commit`, a folder, or one file."""

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
class Location:
    """A commit of a repository, and a path in it: a folder if it is empty or ends in a slash."""

    owner: str
    repo: str
    commit: str
    path: str


def parse(uri: str) -> Location:
    """Parse a URI; raises ModelError for a branch or a tag, because its content can change."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ModelError(
            NOT_FOUND, f"{shown(uri)} is not valid: write hf://owner/repo@commit or hf://owner/repo@commit/path"
        )
    location = Location(match[1], match[2], match[3], match[4] or "")
    if not _COMMIT.fullmatch(location.commit):
        raise ModelError(
            NOT_FOUND, f"{shown(uri)}: the commit after @ must have 40 hexadecimal digits, not {match[3]!r}"
        )
    return location


def target(location: Location, path: str, settings: FetchSettings) -> Target:
    """Return the URL of a file of the commit; the token is sent to the hub only, not to hosts it redirects to."""
    base = transport.parse(settings.hf_endpoint)
    token = settings.credentials.hf_token
    file = f"/{location.owner}/{location.repo}/resolve/{location.commit}/{urllib.parse.quote(path, safe='/')}"
    authorize = transport.authorization(f"Bearer {token}") if token else None
    return dataclasses.replace(base, path=base.path.rstrip("/") + file, authorize=authorize)

"""Counts what was asked of an API server, by its own audit log."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_DEPRECATED = "k8s.io/deprecated"


class Asked(NamedTuple):
    """Who asked for what."""

    user: str
    verb: str
    resource: str


@dataclass(frozen=True)
class Mark:
    """A place in the log; the inode tells whether it was turned over since."""

    inode: int
    offset: int


def mark(log: Path) -> Mark:
    """The log's present end."""
    stat = log.stat()
    return Mark(stat.st_ino, stat.st_size)


def lines_since(log: Path, since: Mark) -> Iterator[str]:
    """The lines written after a mark, also where the log was renamed and begun anew meanwhile."""
    files = sorted(log.parent.glob(f"{log.stem}*{log.suffix}"), key=lambda path: path.stat().st_mtime)
    marked = next((index for index, path in enumerate(files) if path.stat().st_ino == since.inode), None)
    if marked is None:
        raise ValueError(f"{log} was turned over so often that its lines since the mark are gone")
    for path in files[marked:]:
        with path.open(encoding="utf-8") as file:
            if path.stat().st_ino == since.inode:
                file.seek(since.offset)
            yield from (line for line in file if line.endswith("\n"))


def count(lines: Iterable[str]) -> Counter[Asked]:
    """Requests by user, verb and resource; a watch counts once, when it ends or when it began."""
    counted: Counter[Asked] = Counter()
    seen: set[str] = set()
    for line in lines:
        event = json.loads(line)
        if event["auditID"] in seen:
            continue
        seen.add(event["auditID"])
        counted[_asked(event)] += 1
    return counted


def _asked(event: dict[str, object]) -> Asked:
    target = event.get("objectRef") or {}
    user = event.get("user") or {}
    assert isinstance(target, dict)
    assert isinstance(user, dict)
    resource = "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
    if not resource:
        resource = str(event.get("requestURI", "")).partition("?")[0]
    return Asked(str(user.get("username", "")), str(event.get("verb", "")), resource)


def writes(counted: Counter[Asked], user: str) -> Counter[Asked]:
    """What one user wrote."""
    found = {asked: number for asked, number in counted.items() if asked.user == user and asked.verb in WRITES}
    return Counter(found)


def deprecated(lines: Iterable[str]) -> Counter[Asked]:
    """Requests for API versions that a later Kubernetes will not have, as the server itself annotates them."""
    return count(line for line in lines if _DEPRECATED in line and _annotated(line))


def _annotated(line: str) -> bool:
    return bool((json.loads(line).get("annotations") or {}).get(_DEPRECATED) == "true")


def table(counted: Counter[Asked]) -> str:
    """All of it, under each other, by user."""
    rows = [(number, *asked) for asked, number in sorted(counted.items(), key=lambda item: (item[0], item[1]))]
    return "\n".join(f"{number:6}  {user:60}  {verb:8}  {resource}" for number, user, verb, resource in rows)

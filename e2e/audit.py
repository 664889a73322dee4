"""Counts the requests to an API server, from its audit log."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_LEASES = "leases"
_DEPRECATED = "k8s.io/deprecated"


class RequestKey(NamedTuple):
    """User, verb and resource of a request."""

    user: str
    verb: str
    resource: str


@dataclass(frozen=True)
class LogPosition:
    """A position in the log; the inode shows whether the log was rotated since."""

    inode: int
    offset: int


def position(log: Path) -> LogPosition:
    """The current end of the log."""
    stat = log.stat()
    return LogPosition(stat.st_ino, stat.st_size)


def lines_since(log: Path, since: LogPosition) -> Iterator[str]:
    """The complete lines that begin after a position, also if the log was rotated in between.

    The API server may be writing a line at this moment: what is not a whole line at either end is left out.
    """
    files = sorted(log.parent.glob(f"{log.stem}*{log.suffix}"), key=lambda path: path.stat().st_mtime)
    first = next((index for index, path in enumerate(files) if path.stat().st_ino == since.inode), None)
    if first is None:
        raise ValueError(f"{log} was rotated so often that some lines since the position were deleted")
    for path in files[first:]:
        with path.open("rb") as file:
            if path.stat().st_ino == since.inode and since.offset:
                file.seek(since.offset - 1)  # the end of a line, unless the position is within one
                if not file.readline().endswith(b"\n"):
                    continue
            yield from (line.decode() for line in file if line.endswith(b"\n"))


def events_since(log: Path, since: LogPosition) -> list[dict[str, Any]]:
    """The audit events after a position; a watch has two."""
    return [json.loads(line) for line in lines_since(log, since)]


def count(lines: Iterable[str]) -> Counter[RequestKey]:
    """The number of requests by user, verb and resource; a watch counts once, though it has two log lines."""
    counts: Counter[RequestKey] = Counter()
    seen: set[str] = set()
    for line in lines:
        event = json.loads(line)
        if event["auditID"] in seen:
            continue
        seen.add(event["auditID"])
        counts[_request_key(event)] += 1
    return counts


def _request_key(event: dict[str, object]) -> RequestKey:
    target = event.get("objectRef") or {}
    user = event.get("user") or {}
    assert isinstance(target, dict)
    assert isinstance(user, dict)
    resource = "/".join(part for part in (target.get("resource"), target.get("subresource")) if part)
    if not resource:
        resource = str(event.get("requestURI", "")).partition("?")[0]
    return RequestKey(str(user.get("username", "")), str(event.get("verb", "")), resource)


def writes(counts: Counter[RequestKey], user: str) -> Counter[RequestKey]:
    """The write requests of one user, without those to its Lease."""
    return _of(counts, user, lambda key: key.verb in WRITES and key.resource != _LEASES)


def lease_writes(counts: Counter[RequestKey], user: str) -> Counter[RequestKey]:
    """The write requests of one user to its Lease."""
    return _of(counts, user, lambda key: key.verb in WRITES and key.resource == _LEASES)


def reads(counts: Counter[RequestKey], user: str) -> Counter[RequestKey]:
    """The read requests of one user, without watches."""
    return _of(counts, user, lambda key: key.verb not in WRITES and key.verb != "watch")


def _of(counts: Counter[RequestKey], user: str, chosen: Callable[[RequestKey], bool]) -> Counter[RequestKey]:
    return Counter({key: number for key, number in counts.items() if key.user == user and chosen(key)})


def without_other_namespaces(lines: Iterable[str], *names: str) -> Iterator[str]:
    """The lines of requests in these namespaces, or in none."""
    for line in lines:
        namespace = (json.loads(line).get("objectRef") or {}).get("namespace")
        if not namespace or namespace in names:
            yield line


def deprecated(lines: Iterable[str]) -> Counter[RequestKey]:
    """Requests for deprecated API versions, as annotated by the API server."""
    return count(line for line in lines if _DEPRECATED in line and _is_deprecated(line))


def _is_deprecated(line: str) -> bool:
    return bool((json.loads(line).get("annotations") or {}).get(_DEPRECATED) == "true")


def table(counts: Counter[RequestKey]) -> str:
    """All counts as text, one on each line, sorted by user."""
    rows = [(number, *key) for key, number in sorted(counts.items(), key=lambda item: (item[0], item[1]))]
    return "\n".join(f"{number:6}  {user:60}  {verb:8}  {resource}" for number, user, verb, resource in rows)

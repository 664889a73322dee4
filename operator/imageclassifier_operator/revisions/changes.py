"""Lists what differs between two pod templates, for people: in conditions, Events and `plan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.status import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_KEYS = ("mountPath", "name")
"""Fields that identify an item of a list, in the order in which they are tried."""

_MAX_IN_SUMMARY = 3


@dataclass(frozen=True, kw_only=True)
class Change:
    """A field of the template with two values; None means that the field is absent."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {format_value(self.before)} -> {format_value(self.after)}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the fields in which two templates differ, by their paths such as `spec.containers[server].image`."""
    return list(_changes(before, after, ""))


def summary(found: Sequence[Change]) -> str:
    """Return the paths of the changes, the first three of them if there are more, and images before others."""
    paths = sorted((change.path for change in found), key=lambda path: not path.endswith(".image"))
    listed = ", ".join(paths[:_MAX_IN_SUMMARY])
    more = len(found) - _MAX_IN_SUMMARY
    return f"{listed} and {more} more" if more > 0 else listed


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _changes(before.get(key), after.get(key), f"{path}.{key}" if path else key)
        return
    old, new = _by_key(before), _by_key(after)
    if old is None or new is None:
        yield Change(path=path, before=before, after=after)
        return
    for key in [*old, *(key for key in new if key not in old)]:
        yield from _changes(old.get(key), new.get(key), f"{path}[{key}]")
    order_before, order_after = [key for key in old if key in new], [key for key in new if key in old]
    if order_before != order_after:
        yield Change(path=path, before=order_before, after=order_after)


def _by_key(items: Any) -> dict[str, Any] | None:
    """Return the items of a list by their key, or None if they have no key or not each its own."""
    if not isinstance(items, list):
        return None
    for field in _KEYS:
        found = {item[field]: item for item in items if isinstance(item, dict) and field in item}
        if len(found) == len(items):
            return found
    return None

"""Makes a field manager the owner of fields that others own, so that its next apply removes them.

Only `metadata.managedFields` is changed, as kubectl does it when it migrates client-side apply
(`k8s.io/client-go/util/csaupgrade`). So the removal and our own fields come in one write, and no state of the
object is in between.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def transferred(
    live: Mapping[str, Any], paths: Sequence[Sequence[str]], *, manager: str
) -> list[dict[str, Any]] | None:
    """Return the managedFields in which only `manager` owns the fields at `paths`, or None if they are so already.

    paths: of fields, or of items of lists, each with the steps of `metav1.FieldsV1`.
    """
    before = live["metadata"].get("managedFields") or []
    entries: list[dict[str, Any]] = copy.deepcopy(before)
    ours = next((each for each in entries if _is_ours(each, manager)), None)
    if ours is None:
        ours = {
            "manager": manager,
            "operation": "Apply",
            "apiVersion": live["apiVersion"],
            "fieldsType": "FieldsV1",
            "fieldsV1": {},
        }
        entries.append(ours)
    for path in paths:
        for entry in entries:
            if entry is not ours:
                _remove(entry.get("fieldsV1") or {}, path)
        _add(ours["fieldsV1"], path)
    kept = [entry for entry in entries if entry.get("fieldsV1")]
    return None if kept == before else kept


def is_owned_by_others(live: Mapping[str, Any], path: Sequence[str], *, manager: str) -> bool:
    """Whether another field manager owns a field. The defaults of the API server have no owner.

    If `manager` owns nothing, the owners were cleared, and the field may be anybody's.
    """
    entries = live["metadata"].get("managedFields") or []
    if not any(_is_ours(entry, manager) for entry in entries):
        return True
    return any(_has(entry.get("fieldsV1") or {}, path) for entry in entries if not _is_ours(entry, manager))


def _has(fields: Mapping[str, Any], path: Sequence[str]) -> bool:
    for step in path:
        key = _find(fields, step)
        if key is None:
            return False
        fields = fields[key]
    return True


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    return entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")


def _remove(fields: dict[str, Any], path: Sequence[str]) -> None:
    """Remove a path, and the parents that have nothing else: an empty one would mean that the parent is owned."""
    key = _find(fields, path[0])
    if key is None:
        return
    if len(path) > 1:
        if not fields[key]:  # the parent itself is owned
            return
        _remove(fields[key], path[1:])
        if fields[key]:
            return
    del fields[key]


def _add(fields: dict[str, Any], path: Sequence[str]) -> None:
    for step in path:
        key = _find(fields, step)
        fields = fields.setdefault(step if key is None else key, {})
    if fields:  # otherwise, an empty object means the same
        fields["."] = {}


def _find(fields: Mapping[str, Any], step: str) -> str | None:
    """Return the key in `fields` for a step. The key of an item is JSON, whose order does not matter."""
    if step in fields or not step.startswith("k:"):
        return step if step in fields else None
    wanted = json.loads(step.removeprefix("k:"))
    keys = (key for key in fields if key.startswith("k:"))
    return next((key for key in keys if json.loads(key.removeprefix("k:")) == wanted), None)

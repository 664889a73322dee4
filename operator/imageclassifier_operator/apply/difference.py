"""Finds the fields in which a live object differs from the desired one. An object is written only if it differs.

An object differs if a desired field has another value, if our field manager owns a field that is no longer desired
(server-side apply then removes it), or if it has what only we may set (`intruders`). All other fields are ignored,
since they belong to others: defaults of the API server, fields of other managers, annotations of users.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.quantity import QuantityError, parse_quantity
from imageclassifier_operator.apply.intruders import intruders
from imageclassifier_operator.apply.list_keys import merge_key, merge_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_ORDERED = frozenset({"env"})
"""The lists of these in which the order matters too: `$(NAME)` in a variable stands for a variable before it."""

_ATOMIC = frozenset(
    {
        "egress",
        "ingress",
        "nodeSelector",
        "podSelector",
        "tolerations",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    }
)
"""The fields that the API replaces as a whole, and in which it sets no defaults; they are compared exactly."""

_ATOMIC_WITH_DEFAULTS = frozenset({"parentRefs", "rules"})
"""The lists of `spec` that the API replaces as a whole, and in whose items it sets defaults.

Their items are compared only by the fields that we set, as the items of other lists are. But a client that changes
an item, even if it only adds a field, becomes the owner of the whole list. So our manager must be an owner of it.
"""

_DEFAULTS_OF_ITEMS = frozenset({"group", "kind", "matches"})
"""The fields of such an item that the API sets by itself. Any other that we do not set was ours before."""

_QUANTITY_PARENTS = frozenset({"limits", "requests"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "averageValue"})
_TEMPLATE_PATH = "spec.template"
_IDENTITY = frozenset({"name", "namespace", "uid"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that makes a write necessary. A value of None means that the field is absent."""

    path: str
    desired: Any
    observed: Any


def difference(
    desired: Mapping[str, Any], live: Mapping[str, Any], *, manager: str, subresource: str | None = None
) -> str | None:
    """Return the path of the first field that makes a write necessary, or None if no field does."""
    first = next(differences(desired, live, manager=manager, subresource=subresource), None)
    return None if first is None else first.path


def differences(
    desired: Mapping[str, Any], live: Mapping[str, Any], *, manager: str, subresource: str | None = None
) -> Iterator[Difference]:
    """Yield every field that makes a write necessary."""
    for part in desired:
        if part in {"apiVersion", "kind"}:
            continue
        desired_part, live_part = desired[part], live.get(part)
        if part == "metadata":
            desired_part = {key: value for key, value in desired_part.items() if key not in _IDENTITY}
        yield from _compare(desired_part, live_part, (part,))
    owned_fields = list(_owned_fields(live, manager, subresource))
    for field in sorted(_ATOMIC_WITH_DEFAULTS.intersection(desired.get("spec") or {})):
        wanted, found = desired["spec"][field], (live.get("spec") or {}).get(field)
        if (owned_fields and ("spec", field) not in owned_fields) or _is_wider(wanted, found):
            yield _difference(("spec", field), wanted, found)
    for intruder in intruders(desired, live):
        yield Difference(path=intruder.path, desired=None, observed=intruder.value)
    for owned in owned_fields:
        if not _is_desired(desired, owned):
            path = ".".join(step if isinstance(step, str) else json.dumps(step) for step in owned)
            yield Difference(path=path, desired=None, observed=None)


def _is_wider(desired: Sequence[Any], live: Sequence[Any] | None) -> bool:
    """Whether an item of a live list has a field that it should not have, and that is no default."""
    pairs = zip(desired, live or [], strict=False)
    return any(
        not set(found) <= {*wanted, *_DEFAULTS_OF_ITEMS}
        for wanted, found in pairs
        if isinstance(wanted, dict) and isinstance(found, dict)
    )


def owns(live: Mapping[str, Any], path: Sequence[str], *, manager: str) -> bool:
    """Whether a manager owns the field at `path` (which is in no list) through server-side apply."""
    return any(tuple(path) == found for found in _owned_fields(live, manager))


def template_changed_by(live: Mapping[str, Any], found: Sequence[Difference], *, manager: str) -> str | None:
    """Return the other field manager that last changed the pod template of a live Deployment, or None.

    It is None if no difference is in the template, or if `manager` was the last one to write to the template.
    """
    if not any(each.path.startswith(_TEMPLATE_PATH) for each in found):
        return None
    writers = [
        entry
        for entry in live["metadata"].get("managedFields") or []
        if "f:template" in (entry.get("fieldsV1") or {}).get("f:spec", {}) and not entry.get("subresource")
    ]

    def order(entry: Mapping[str, Any]) -> tuple[str, bool]:  # in the same second, the others wrote after us
        return str(entry.get("time") or ""), entry.get("manager") != manager

    last: Mapping[str, Any] = max(writers, key=order, default={})
    name = last.get("manager")
    return None if name == manager else name


def _compare(desired: Any, live: Any, path: tuple[str, ...]) -> Iterator[Difference]:
    if path[-1] in _ATOMIC:
        if desired != live and (desired or live):  # the API server may omit an empty list
            yield _difference(path, desired, live)
    elif isinstance(desired, dict):
        absent = live is None and not desired  # the API server may omit an empty object
        if not isinstance(live, dict) and not absent:
            yield _difference(path, desired, live)
            return
        for key, value in desired.items():
            yield from _compare(value, live.get(key), (*path, key))
    elif isinstance(desired, list):
        yield from _compare_lists(desired, live or [], path)
    elif not _equal(desired, live, path):
        yield _difference(path, desired, live)


def _compare_lists(desired: list[Any], live: list[Any], path: tuple[str, ...]) -> Iterator[Difference]:
    keys = merge_keys(path[-1], desired)
    if keys is not None:
        live_by_key = {merge_key(item, keys): item for item in live}
        for item in desired:
            key = merge_key(item, keys)
            yield from _compare(item, live_by_key.get(key), (*path, "/".join(key)))
        if path[-1] in _ORDERED:
            yield from _compare_order(dict.fromkeys(merge_key(item, keys) for item in desired), live_by_key, path)
    elif len(desired) != len(live):
        yield _difference(path, desired, live)
    else:
        for index, (desired_item, live_item) in enumerate(zip(desired, live, strict=True)):
            yield from _compare(desired_item, live_item, (*path, str(index)))


def _compare_order(
    desired: Collection[tuple[str, ...]], live: Collection[tuple[str, ...]], path: tuple[str, ...]
) -> Iterator[Difference]:
    """Compare the order of the items that both lists have."""
    wanted = ["/".join(key) for key in desired if key in live]
    found = ["/".join(key) for key in live if key in desired]
    if wanted != found:
        yield _difference(path, wanted, found)


def _difference(path: tuple[str, ...], desired: Any, live: Any) -> Difference:
    return Difference(path=".".join(path), desired=desired, observed=live)


def _equal(desired: Any, live: Any, path: tuple[str, ...]) -> bool:
    if desired == live:
        return type(desired) is type(live) or not isinstance(desired, bool | None)
    is_quantity = path[-1] in _QUANTITY_FIELDS or (len(path) > 1 and path[-2] in _QUANTITY_PARENTS)
    if not is_quantity or live is None:
        return False
    try:
        return parse_quantity(desired) == parse_quantity(live)
    except QuantityError:
        return False


def _owned_fields(
    live: Mapping[str, Any], manager: str, subresource: str | None = None
) -> Iterator[tuple[str | dict[str, Any], ...]]:
    """Yield the paths of the fields that a manager applied, without the objects that contain them.

    A step of a path is the name of a field, or the key of an item in a list. They come from `metav1.FieldsV1`:
    `f:<name of a field>`, `k:<key of an item as JSON>`, `v:<item of a set>`, and `.` for the item itself.
    """
    for entry in live["metadata"].get("managedFields") or []:
        applied = entry.get("manager") == manager and entry.get("operation") == "Apply"
        if applied and (entry.get("subresource") or None) == subresource:
            yield from _leaves(entry.get("fieldsV1") or {}, ())


def _leaves(
    fields: Mapping[str, Any], path: tuple[str | dict[str, Any], ...]
) -> Iterator[tuple[str | dict[str, Any], ...]]:
    steps = [key for key in fields if key != "."]
    if not steps:
        yield path
    for key in steps:
        kind, _, name = key.partition(":")
        step: str | dict[str, Any] = json.loads(name) if kind == "k" else name
        if kind == "v":  # an item of a set, and `_compare_lists` compares all items of it
            continue
        yield from _leaves(fields[key], (*path, step))


def _is_desired(desired: Any, path: Sequence[str | dict[str, Any]]) -> bool:
    for step in path:
        if isinstance(step, dict):
            if not isinstance(desired, list):
                return False
            desired = next((item for item in desired if all(item.get(k) == v for k, v in step.items())), None)
        elif isinstance(desired, dict):
            desired = desired.get(step)
        else:
            return desired is not None  # the API server lists the contents of a field that we apply as a whole
        if desired is None:
            return False
    return True

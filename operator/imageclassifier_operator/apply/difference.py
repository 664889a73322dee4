"""Whether and where a live object differs from the desired one, which is the reason to write it.

An object differs if a desired field has another value, or if our field manager owns a field that is no longer
desired (server-side apply then removes it). Everything else belongs to others: server defaults, other managers,
the user's own annotations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.quantity import QuantityError, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LIST_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "volumes": (("name",),),
    "env": (("name",),),
    "volumeMounts": (("mountPath",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "ownerReferences": (("uid",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "imagePullSecrets": (("name",),),
    "conditions": (("type",),),
}
"""The lists that the API merges by key (`x-kubernetes-list-map-keys`); every other list is compared whole."""

_QUANTITY_PARENTS = frozenset({"limits", "requests"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "averageValue"})
_IDENTITY = frozenset({"name", "namespace", "uid"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that makes a write necessary; None means absent."""

    path: str
    desired: Any
    observed: Any


def difference(
    desired: Mapping[str, Any], live: Mapping[str, Any], *, manager: str, subresource: str | None = None
) -> str | None:
    """Return the path of the first field that makes a write necessary, None if nothing does."""
    first = next(differences(desired, live, manager=manager, subresource=subresource), None)
    return None if first is None else first.path


def differences(
    desired: Mapping[str, Any], live: Mapping[str, Any], *, manager: str, subresource: str | None = None
) -> Iterator[Difference]:
    """Yield every field that makes a write necessary."""
    for part in desired:
        if part in {"apiVersion", "kind"}:
            continue
        want, have = desired[part], live.get(part)
        if part == "metadata":
            want = {key: value for key, value in want.items() if key not in _IDENTITY}
        yield from _differing(want, have, (part,))
    for owned in _owned(live, manager, subresource):
        if not _is_desired(desired, owned):
            path = ".".join(step if isinstance(step, str) else json.dumps(step) for step in owned)
            yield Difference(path=path, desired=None, observed=None)


def owns(live: Mapping[str, Any], path: Sequence[str], *, manager: str) -> bool:
    """Whether a manager owns the plain field at `path` through server-side apply."""
    return any(tuple(path) == found for found in _owned(live, manager))


def _differing(want: Any, have: Any, path: tuple[str, ...]) -> Iterator[Difference]:
    if isinstance(want, dict):
        absent = have is None and not want  # the API server may omit an empty object
        if not isinstance(have, dict) and not absent:
            yield _difference(path, want, have)
            return
        for key, value in want.items():
            yield from _differing(value, have.get(key), (*path, key))
    elif isinstance(want, list):
        yield from _list_differing(want, have or [], path)
    elif not _equal(want, have, path):
        yield _difference(path, want, have)


def _list_differing(want: list[Any], have: list[Any], path: tuple[str, ...]) -> Iterator[Difference]:
    keys = _keys_of(path[-1], want)
    if keys is not None:
        live = {_key(item, keys): item for item in have}
        for item in want:
            yield from _differing(item, live.get(_key(item, keys)), (*path, "/".join(_key(item, keys))))
    elif len(want) != len(have):
        yield _difference(path, want, have)
    else:
        for index, (one, other) in enumerate(zip(want, have, strict=True)):
            yield from _differing(one, other, (*path, str(index)))


def _difference(path: tuple[str, ...], want: Any, have: Any) -> Difference:
    return Difference(path=".".join(path), desired=want, observed=have)


def _keys_of(field: str, items: list[Any]) -> tuple[str, ...] | None:
    for keys in _LIST_KEYS.get(field, ()):
        if all(isinstance(item, dict) and all(key in item for key in keys) for item in items):
            return keys
    return None


def _key(item: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(item.get(key)) for key in keys)


def _equal(want: Any, have: Any, path: tuple[str, ...]) -> bool:
    if want == have:
        return type(want) is type(have) or not isinstance(want, bool | None)
    is_quantity = path[-1] in _QUANTITY_FIELDS or (len(path) > 1 and path[-2] in _QUANTITY_PARENTS)
    if not is_quantity or have is None:
        return False
    try:
        return parse_quantity(want) == parse_quantity(have)
    except QuantityError:
        return False


def _owned(
    live: Mapping[str, Any], manager: str, subresource: str | None = None
) -> Iterator[tuple[str | dict[str, Any], ...]]:
    """Yield the leaves that a manager applied; a step is a field's name, or the key of a list's item.

    The format is `metav1.FieldsV1`: `f:<field>`, `k:<item's key as JSON>`, `v:<item of a set>`, `.` for the item.
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
        if kind == "v":  # sets that we apply are already compared by value
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
            return desired is not None  # we apply this part as a whole, the server lists its contents
        if desired is None:
            return False
    return True

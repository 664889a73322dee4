"""The keys by which the API server merges the items of a list, instead of replacing the list as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIST_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
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
"""The lists that the API server merges by key (`x-kubernetes-list-map-keys`), each with its possible keys.

Other lists differ if their lengths do, or if items at the same position do.
"""


def merge_keys(field: str, items: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the fields that are the key of each item, or None if the list is replaced as a whole."""
    for keys in LIST_KEYS.get(field, ()):
        if all(isinstance(item, dict) and all(key in item for key in keys) for item in items):
            return keys
    return None


def merge_key(item: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """Return the key of an item, as text."""
    return tuple(str(item.get(key)) for key in keys)

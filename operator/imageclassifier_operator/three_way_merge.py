"""The spec that a live object has after `kubectl apply` of a file.

A field that the file lacks is only removed if it was applied before. So the defaults that the API server has
stored are kept, also if the CRD has other defaults now.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def merged_spec(live: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec of a live object after the given object is applied.

    If nothing says which fields were applied before, it is the given spec.
    """
    spec = given.get("spec") or {}
    before = _last_applied(live)
    if before is None:
        before = _owned_by_appliers(live)
    return dict(spec) if before is None else _merged(live.get("spec") or {}, spec, before)


def _last_applied(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the spec that `kubectl apply` has recorded in an annotation, or None if there is no such record."""
    text = (live["metadata"].get("annotations") or {}).get(_LAST_APPLIED)
    try:
        recorded = json.loads(text or "")
    except ValueError:
        return None
    return _object(recorded.get("spec")) if isinstance(recorded, dict) else None


def _owned_by_appliers(live: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the fields of the spec that server-side apply has set, as keys; None if it has set none."""
    owned: dict[str, Any] | None = None
    for entry in live["metadata"].get("managedFields") or []:
        fields = (entry.get("fieldsV1") or {}).get("f:spec")
        if fields is not None and entry.get("operation") == "Apply" and not entry.get("subresource"):
            owned = _union(owned or {}, _names(fields))
    return owned


def _names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested names of fields in the format FieldsV1; what is inside of a list has none."""
    return {key[2:]: _names(inner) for key, inner in fields.items() if key.startswith("f:")}


def _union(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}


def _merged(live: Mapping[str, Any], given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Merge objects field by field, and replace lists as a whole. In a file, null is no value."""
    kept = {key: value for key, value in live.items() if given.get(key) is not None or key not in before}
    for key, value in given.items():
        if isinstance(value, dict):
            kept[key] = _merged(_object(kept.get(key)), value, _object(before.get(key)))
        elif value is not None:
            kept[key] = value
    return kept


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

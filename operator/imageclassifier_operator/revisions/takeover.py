"""Finds the template that a Deployment was given before there were revisions, or after they were deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply import differences
from imageclassifier_operator.ownership import MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATE = ("f:spec", "f:template")


def template_in_use(deployment: Mapping[str, Any], rendered: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the template that our field manager applied to a live Deployment.

    It is the rendered one if nothing differs. Otherwise, it has the fields that our manager owns, with their live
    values: applying them changes nothing, so no pod restarts. The API server's defaults and the fields of other
    managers are not in it.
    """
    desired = {"spec": {"template": rendered}}
    template_only = [each for each in differences(desired, deployment, manager=MANAGER) if _in_template(each.path)]
    owned = _owned_template(deployment)
    if not template_only or owned is None:
        return rendered
    template: Mapping[str, Any] = _owned_part(deployment["spec"]["template"], owned)
    return template


def _in_template(path: str) -> bool:
    return path.startswith("spec.template")


def _owned_template(deployment: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the `metav1.FieldsV1` of the template's fields that our manager applied, None if there are none."""
    for entry in deployment["metadata"].get("managedFields") or []:
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            fields: Mapping[str, Any] | None = entry.get("fieldsV1") or {}
            for step in _TEMPLATE:
                fields = (fields or {}).get(step)
            return fields
    return None


def _owned_part(live: Any, fields: Mapping[str, Any]) -> Any:
    """Return the part of a live value that is in a set of fields (`metav1.FieldsV1`)."""
    steps = [step for step in fields if step != "."]
    if not steps:
        return live
    if isinstance(live, list):
        found = [(item, _step_of(item, steps)) for item in live]
        return [_owned_part(item, fields[step]) for item, step in found if step is not None]
    return {
        step.partition(":")[2]: _owned_part(live[step.partition(":")[2]], fields[step])
        for step in steps
        if step.partition(":")[2] in live
    }


def _step_of(item: Mapping[str, Any], steps: list[str]) -> str | None:
    """Return the step that selects an item of a list by its key."""
    for step in steps:
        key = json.loads(step.removeprefix("k:"))
        if all(item.get(name) == value for name, value in key.items()):
            return step
    return None

"""Finds fields of others that keep a live object from being as desired, and that applying again does not remove.

Server-side apply merges: it sets our fields, and leaves those of others. That fails where the API allows only one
of several fields (a probe with both `httpGet` and `exec`), or is wrong although the API accepts it (two containers
with the server). Everything else that others add is theirs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.apply.list_keys import merge_key, merge_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

_INDEX = re.compile(r"\[[^\]]*\]")
_CONTAINERS = ("containers", "initContainers")
_OURS_ALONE = ("command", "args", "lifecycle", "workingDir")
"""The fields of our containers that decide what runs in them: nobody else may add one."""

_ALLOCATED = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "nodePort", "healthCheckNodePort")
_LEFT_ALONE = frozenset({"metadata", "replicas", *_ALLOCATED})
"""Never what the API server refuses: labels, annotations, the autoscaler's count, and what it has set itself."""


@dataclass(frozen=True, kw_only=True)
class Intruder:
    """A field, or an item of a list, that must not be there. Its steps are those of `metav1.FieldsV1`."""

    steps: tuple[str, ...]
    value: Any

    @property
    def path(self) -> str:
        """The path for people: fields by name, items of lists by key."""
        return ".".join(readable(step) for step in self.steps)


def intruders(desired: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[Intruder]:
    """Yield what the API server accepts in a pod template, but what would change which programs run in the pod."""
    steps = ("f:spec", "f:template", "f:spec")
    wanted, found = _at(desired, steps), _at(live, steps)
    for field in _CONTAINERS:
        ours = {item["name"]: item for item in wanted.get(field) or []}
        present = {item["name"]: item for item in found.get(field) or []}
        missing = [item for name, item in ours.items() if name not in present]
        for name, item in present.items():
            here = (*steps, f"f:{field}", _item_step({"name": name}))
            if name in ours:
                for alone in _OURS_ALONE:
                    if alone in item and alone not in ours[name]:
                        yield Intruder(steps=(*here, f"f:{alone}"), value=item[alone])
            elif any(_replaces(item, each) for each in missing):
                yield Intruder(steps=here, value=item)


def obstacles(
    desired: Mapping[str, Any], live: Mapping[str, Any], *, refused: Collection[str]
) -> Iterator[Intruder]:
    """Yield what may be why the API server refuses the desired object: what is there beside a missing field.

    A field that is replaced by another one, such as `httpGet` by `exec`, is missing, and the other one is new in
    the same object; the same holds for the items of a list. One of the two, or the object, is what is refused.

    refused: the paths of the fields that the API server names as the causes, as `spec.ports[0].name`.
    """
    paths = {_INDEX.sub("", path) for path in refused}
    places = paths | {path.rpartition(".")[0] for path in paths}
    for part, wanted in desired.items():
        if isinstance(wanted, dict) and part not in _LEFT_ALONE:
            found = _obstacles(wanted, live.get(part), (f"f:{part}",))
            yield from (each for each in found if _place(each.steps[:-1]) in places)


def _obstacles(desired: Any, live: Any, steps: tuple[str, ...]) -> Iterator[Intruder]:
    if isinstance(desired, dict) and isinstance(live, dict):
        children = {f"f:{name}": (value, live.get(name)) for name, value in desired.items()}
        others = {f"f:{name}": value for name, value in live.items() if name not in desired}
    elif isinstance(desired, list) and isinstance(live, list):
        keys = merge_keys(steps[-1].removeprefix("f:"), [*desired, *live])
        if keys is None:  # replaced as a whole
            return
        present = {merge_key(item, keys): item for item in live}
        ours = {merge_key(item, keys) for item in desired}
        children = {_key_step(item, keys): (item, present.get(merge_key(item, keys))) for item in desired}
        others = {_key_step(item, keys): item for key, item in present.items() if key not in ours}
    else:
        return
    if any(found is None and wanted not in (None, "", [], {}) for wanted, found in children.values()):
        for step, value in others.items():
            if step.removeprefix("f:") not in _LEFT_ALONE:
                yield Intruder(steps=(*steps, step), value=value)
    for step, (wanted, found) in children.items():
        if step.removeprefix("f:") not in _LEFT_ALONE:
            yield from _obstacles(wanted, found, (*steps, step))


def _place(steps: Sequence[str]) -> str:
    """Return the path of a field without the keys of items."""
    return ".".join(step.removeprefix("f:") for step in steps if step.startswith("f:"))


def _replaces(container: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether a container is one of ours under another name: it has its image, or one of its ports."""
    ports = [{port["containerPort"] for port in each.get("ports") or []} for each in (container, ours)]
    return container.get("image") == ours.get("image") or not ports[0].isdisjoint(ports[1])


def _at(manifest: Mapping[str, Any], steps: Sequence[str]) -> Mapping[str, Any]:
    for step in steps:
        manifest = manifest.get(step.removeprefix("f:")) or {}
    return manifest


def _key_step(item: Mapping[str, Any], keys: Sequence[str]) -> str:
    return _item_step({key: item[key] for key in keys})


def _item_step(key: Mapping[str, Any]) -> str:
    return f"k:{json.dumps(key, sort_keys=True, separators=(',', ':'))}"


def readable(step: str) -> str:
    """Return a step of `metav1.FieldsV1` for people: the name of a field, or the values of an item's key."""
    kind, _, name = step.partition(":")
    return "/".join(str(value) for value in json.loads(name).values()) if kind == "k" else name

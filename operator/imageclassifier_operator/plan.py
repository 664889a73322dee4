"""Prints which pods an operator of this version and configuration would replace, and why. It writes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from imageclassifier_operator.api import GROUP, KIND, VERSION, InvalidSpecError, parse
from imageclassifier_operator.discovery import discover
from imageclassifier_operator.kube import CLASSIFIERS
from imageclassifier_operator.manifests import Capabilities, Params
from imageclassifier_operator.manifests.deployment import pod_template
from imageclassifier_operator.revisions import UNTIL_READY, Cause, Change, Decision, Revision, changes, resolve
from imageclassifier_operator.status import without_credentials
from imageclassifier_operator.three_way_merge import merged_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from imageclassifier_operator.api import ImageClassifier, OperatorConfig
    from imageclassifier_operator.kube import Cluster

EXIT_UNCHANGED, EXIT_INVALID, EXIT_RESTARTS = 0, 1, 2

_MAX_LISTED = 5
_HEADING = ("NAMESPACE", "NAME", "PODS", "REVISION", "CANDIDATE", "PODS RESTART")


class PlanError(ValueError):
    """A file that has no ImageClassifiers, or is not YAML."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What would happen to one object.

    revision: the accepted revision, None if there is none.
    candidate: the revision that would be accepted, None if none would.
    restarts: whether its pods would be replaced without a further action of a user.
    when: when that happens, or why it does not.
    """

    namespace: str
    name: str
    pods: int = 0
    revision: str | None = None
    candidate: str | None = None
    restarts: bool = False
    when: str = "no"
    invalid: bool = False
    changes: Sequence[Change] = field(default_factory=list)


def read_objects(paths: Iterable[Path], *, namespace: str) -> list[dict[str, Any]]:
    """Return the ImageClassifiers in YAML or JSON files; those without a namespace get the given one.

    Raises:
        PlanError: a file is not YAML, or has no ImageClassifier.
        OSError: a file cannot be read.
    """
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise PlanError(f"{path.name} is not YAML: {error}") from error
        objects = [each for document in documents for each in _flatten(document) if _is_classifier(each)]
        if not objects:
            raise PlanError(f"{path.name} has no {KIND} of {GROUP}/{VERSION}")
        found += objects
    for each in found:
        metadata = each.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            raise PlanError(f"a {KIND} has no metadata.name")
        metadata.setdefault("namespace", namespace)
    return found


def _flatten(document: Any) -> list[Any]:
    """Return the object of a document, or the objects of a List."""
    if isinstance(document, dict) and document.get("kind") == "List":
        return list(document.get("items") or [])
    return [document]


def _is_classifier(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.get("kind") == KIND
        and document.get("apiVersion") == f"{GROUP}/{VERSION}"
    )


async def plan(
    cluster: Cluster | None,
    *,
    config: OperatorConfig,
    namespaces: Sequence[str | None],
    objects: Sequence[dict[str, Any]] | None = None,
) -> list[Planned]:
    """Return what would happen to each object: those of the cluster, or the given ones.

    cluster: what the given objects are compared with; without it, they count as new. Raises `KubeError`.
    """
    capabilities = Capabilities() if cluster is None else await discover(cluster)
    planner = _Planner(cluster, config=config, capabilities=capabilities)
    if objects is None:
        if cluster is None:
            raise ValueError("neither a cluster nor objects")
        listings = [await cluster.list(CLASSIFIERS, namespace=namespace) for namespace in namespaces]
        found = [item for listing in listings for item in listing.items]
    else:
        found = [await planner.as_if_applied(each) for each in objects]
    found.sort(key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))
    return [await planner.planned(each) for each in found]


class _Planner:
    """Plans one object after the other, and counts the waves."""

    def __init__(self, cluster: Cluster | None, *, config: OperatorConfig, capabilities: Capabilities) -> None:
        self._cluster = cluster
        self._config = config
        self._capabilities = capabilities
        self._upgrades = 0

    async def as_if_applied(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the live object as `kubectl apply` of the given one changes it, or the given one if it is new."""
        metadata = given["metadata"]
        live = None
        if self._cluster is not None:
            live = await self._cluster.get(CLASSIFIERS, namespace=metadata["namespace"], name=metadata["name"])
        if live is None:
            return {**given, "metadata": {"uid": "", **metadata}}
        annotations = {**(live["metadata"].get("annotations") or {}), **(metadata.get("annotations") or {})}
        return {
            **live,
            "spec": merged_spec(live, given),
            "metadata": {**live["metadata"], "annotations": annotations},
        }

    async def planned(self, live: dict[str, Any]) -> Planned:
        metadata = live["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if metadata.get("deletionTimestamp") is not None:
            return Planned(namespace=namespace, name=name, when="no, it is being deleted")
        try:
            ic = parse(live, config=self._config)
        except InvalidSpecError as error:
            problems = "; ".join(error.problems)
            return Planned(
                namespace=namespace, name=name, invalid=True, when=f"no, the spec is invalid: {problems}"
            )
        params = Params(ic=ic, config=self._config, capabilities=self._capabilities)
        if self._cluster is None or not metadata["uid"]:
            return _new(ic, Revision.of(pod_template(params), owner=name).name)
        turn = self._turn_of_paused if ic.spec.paused else self._turn
        resolved = await resolve(self._cluster, params, live, turn=turn)
        decision = resolved.decision
        base = Planned(namespace=namespace, name=name, pods=int((live.get("status") or {}).get("replicas", 0)))
        if decision.accepted.cause is Cause.CREATED and not resolved.stored:
            return _new(ic, decision.accepted.name)
        if decision.before is not None:
            return replace(
                base,
                revision=decision.before.name,
                candidate=decision.accepted.name,
                restarts=not ic.spec.paused,
                when="no, spec.paused is true" if ic.spec.paused else self._when(decision),
                changes=changes(decision.before.template, decision.accepted.template),
            )
        if decision.candidate is not None:
            waits_only = decision.waits_for == UNTIL_READY and self._config.upgrade_wave_size > 0
            return replace(
                base,
                revision=decision.accepted.name,
                candidate=decision.candidate.name,
                restarts=waits_only,
                when="once it is Ready" if waits_only else f"no, {decision.waits_for}",
                changes=changes(decision.accepted.template, decision.candidate.template),
            )
        return replace(base, revision=decision.accepted.name)

    def _turn(self) -> str | None:
        if self._config.upgrade_wave_size == 0:
            return "the upgrade wave size is 0"
        self._upgrades += 1
        return None

    @staticmethod
    def _turn_of_paused() -> str | None:
        return "spec.paused is true"

    def _when(self, decision: Decision) -> str:
        if decision.accepted.cause is not Cause.UPGRADED:
            return f"at once ({decision.accepted.cause})"
        size = self._config.upgrade_wave_size
        return f"in wave {max(self._upgrades - 1, 0) // max(size, 1) + 1}"


def _new(ic: ImageClassifier, revision: str) -> Planned:
    autoscaling = ic.spec.autoscaling
    return Planned(
        namespace=ic.namespace,
        name=ic.name,
        pods=ic.spec.replicas if autoscaling is None else autoscaling.min_replicas,
        candidate=revision,
        when="no, it is new",
    )


def exit_status(planned: Sequence[Planned]) -> int:
    """Return 2 if pods would restart, else 1 if a spec is invalid, else 0."""
    if any(each.restarts for each in planned):
        return EXIT_RESTARTS
    return EXIT_INVALID if any(each.invalid for each in planned) else EXIT_UNCHANGED


def as_json(planned: Sequence[Planned]) -> str:
    """Return the plan as JSON: an object with the list `objects`. It does not show the credentials of URLs."""
    objects = [without_credentials(asdict(each)) for each in planned]
    return json.dumps({"objects": objects}, indent=2) + "\n"


def as_text(planned: Sequence[Planned]) -> str:
    """Return the plan as an aligned table, the changes of the templates, and a summary."""
    rows = [_HEADING, *(_row(each) for each in planned)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADING) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]
    objects_by_changes: dict[tuple[str, ...], list[str]] = {}
    for each in planned:
        if each.changes:
            key = tuple(str(change) for change in each.changes)
            objects_by_changes.setdefault(key, []).append(f"{each.namespace}/{each.name}")
    for found, names in objects_by_changes.items():
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        of = f"{', '.join(names[:_MAX_LISTED])}{more}"
        lines += ["", f"Changes of the pod template of {of}:", *(f"  {text}" for text in found)]
    return "\n".join([*lines, "", _summary(planned), ""])


def _row(each: Planned) -> tuple[str, ...]:
    return (each.namespace, each.name, str(each.pods), each.revision or "-", each.candidate or "-", each.when)


def _summary(planned: Sequence[Planned]) -> str:
    restarting = [each for each in planned if each.restarts]
    pods = sum(each.pods for each in restarting)
    objects = "1 object" if len(planned) == 1 else f"{len(planned)} objects"
    return f"{len(restarting)} of {objects} would restart their pods, {pods} in total; nothing was changed"

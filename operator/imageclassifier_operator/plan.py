"""Prints which pods an operator of this version and configuration would replace, and why. It writes nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from imageclassifier_operator.api import GROUP, KIND, VERSION, InvalidSpecError, parse, unknown_fields
from imageclassifier_operator.discovery import discover
from imageclassifier_operator.kube import CLASSIFIERS, ForbiddenError
from imageclassifier_operator.manifests import Capabilities, Params
from imageclassifier_operator.manifests.deployment import pod_template
from imageclassifier_operator.revisions import (
    UNTIL_READY,
    Cause,
    Change,
    Decision,
    Revision,
    changes,
    own_deployment,
    resolve,
    was_ready,
)
from imageclassifier_operator.status import Observation, deadline_exceeded, without_credentials
from imageclassifier_operator.three_way_merge import merged_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from imageclassifier_operator.api import ImageClassifier, OperatorConfig
    from imageclassifier_operator.kube import Cluster

EXIT_UNCHANGED, EXIT_INVALID, EXIT_RESTARTS = 0, 1, 2

_MAX_LISTED = 5
_SIZE_0 = "the upgrade wave size is 0"
_HEADING = ("NAMESPACE", "NAME", "PODS", "REVISION", "CANDIDATE", "PODS RESTART")


class PlanError(ValueError):
    """A file that has no ImageClassifiers, or is not YAML."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What would happen to one object.

    pods: how many it should have; during a rollout, there may be one more.
    revision: the accepted revision, None if there is none.
    candidate: the revision that would be accepted, None if none would.
    restarts: whether its pods would be replaced without a further action of a user.
    when: when that happens, or why it does not.
    wave: the number of the upgrade wave, None if it is not known, or if the object is part of no upgrade.
    upgraded: whether the operator's upgrade replaces the pods, in waves, and not a change of the spec.
    """

    namespace: str
    name: str
    pods: int = 0
    revision: str | None = None
    candidate: str | None = None
    restarts: bool = False
    when: str = "no"
    wave: int | None = None
    upgraded: bool = False
    invalid: bool = False
    changes: Sequence[Change] = field(default_factory=list)


def read_objects(paths: Iterable[Path], *, namespace: str) -> list[dict[str, Any]]:
    """Return the ImageClassifiers in YAML or JSON files; those without a namespace get the given one.

    Raises:
        PlanError: a file is not YAML, has no ImageClassifier, one of them twice, or one with an unknown field.
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
    twice = [name for name, count in Counter(map(_name_of, found)).items() if count > 1]
    for each in found:
        unknown = unknown_fields(each.get("spec") or {})
        if unknown:
            raise PlanError(f"{KIND} {'/'.join(_name_of(each))}: {'; '.join(unknown)}")
    if twice:
        raise PlanError(f"{KIND} {'/'.join(twice[0])} is given twice")
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
        found = await _live_objects(cluster, namespaces)
    else:
        found = [await planner.as_if_applied(each) for each in objects]
    asked = {_name_of(each) for each in found}
    if objects is not None and cluster is not None:  # the others have places in the waves, too
        others = await _live_objects_if_allowed(cluster, namespaces)
        found += [each for each in others if _name_of(each) not in asked]
    planned = [await planner.planned(each) for each in sorted(found, key=_name_of)]
    all_planned = planner.after_the_present_wave(planned)
    return [each for each in all_planned if (each.namespace, each.name) in asked]


def _name_of(live: Mapping[str, Any]) -> tuple[str, str]:
    return live["metadata"]["namespace"], live["metadata"]["name"]


async def _live_objects_if_allowed(cluster: Cluster, namespaces: Sequence[str | None]) -> list[dict[str, Any]]:
    """Return the objects of the cluster; none for somebody who may only read those of the files."""
    try:
        return await _live_objects(cluster, namespaces)
    except ForbiddenError:
        return []


async def _live_objects(cluster: Cluster, namespaces: Sequence[str | None]) -> list[dict[str, Any]]:
    listings = [await cluster.list(CLASSIFIERS, namespace=namespace) for namespace in namespaces]
    return [item for listing in listings for item in listing.items]


class _Planner:
    """Plans one object after the other, counts the waves, and notes which objects hold them."""

    def __init__(self, cluster: Cluster | None, *, config: OperatorConfig, capabilities: Capabilities) -> None:
        self._cluster = cluster
        self._config = config
        self._capabilities = capabilities
        self._upgrades = 0
        self._holding: list[str] = []
        self._stopped_by: list[str] = []

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
        await self._note_present_wave(self._cluster, live, ic, decision)
        base = Planned(namespace=namespace, name=name, pods=_desired_pods(ic, live))
        if decision.accepted.cause is Cause.CREATED and not resolved.stored:
            return _new(ic, decision.accepted.name)
        if decision.before is not None:
            wave = self._wave(decision, live)
            when = f"in wave {wave}" if wave else _when_at_once(decision)
            return replace(
                base,
                revision=decision.before.name,
                candidate=decision.accepted.name,
                restarts=not ic.spec.paused,
                when="no, spec.paused is true" if ic.spec.paused else when,
                wave=wave,
                upgraded=wave is not None,
                changes=changes(decision.before.template, decision.accepted.template),
            )
        if decision.candidate is not None:
            waits_for = "spec.paused is true" if ic.spec.paused else decision.waits_for
            if waits_for == UNTIL_READY and self._config.upgrade_wave_size == 0:
                waits_for = _SIZE_0
            waits_only = waits_for == UNTIL_READY
            return replace(
                base,
                revision=decision.accepted.name,
                candidate=decision.candidate.name,
                restarts=waits_only,
                when="once it is Ready" if waits_only else f"no, {waits_for}",
                upgraded=waits_only,
                changes=changes(decision.accepted.template, decision.candidate.template),
            )
        return replace(base, revision=decision.accepted.name)

    def after_the_present_wave(self, planned: Sequence[Planned]) -> list[Planned]:
        """Return the plan with the objects of the present wave that the next waves wait for."""
        if self._stopped_by:
            failed = f"the upgrade has stopped: {_listed(self._stopped_by)} failed with it"
            return [
                replace(each, when=f"no, {failed}", restarts=False, wave=None) if each.upgraded else each
                for each in planned
            ]
        if self._holding:
            after = f"after {_listed(self._holding)}"
            return [replace(each, when=f"{each.when}, {after}") if each.upgraded else each for each in planned]
        return list(planned)

    async def _note_present_wave(
        self, cluster: Cluster, live: Mapping[str, Any], ic: ImageClassifier, decision: Decision
    ) -> None:
        """Note an object that got its revision from an upgrade, and was not Ready with it yet."""
        if ic.spec.paused or ic.spec.upgrade == "Manual" or decision.accepted.cause is not Cause.UPGRADED:
            return
        if _is_unfinished(decision.before or decision.accepted, live):
            stopped = decision.before is None and await _has_failed(cluster, live, ic)
            (self._stopped_by if stopped else self._holding).append(f"{ic.namespace}/{ic.name}")

    def _turn(self) -> str | None:
        if self._config.upgrade_wave_size == 0:
            return _SIZE_0
        self._upgrades += 1
        return None

    @staticmethod
    def _turn_of_paused() -> str | None:
        return "spec.paused is true"

    def _wave(self, decision: Decision, live: Mapping[str, Any]) -> int | None:
        """Return the number of the wave in which an object adopts its revision, or None if it waits for none."""
        if decision.accepted.cause is not Cause.UPGRADED:
            return None
        if decision.before is not None and _is_unfinished(decision.before, live):
            return None
        size = self._config.upgrade_wave_size
        return max(self._upgrades - 1, 0) // max(size, 1) + 1


def _when_at_once(decision: Decision) -> str:
    cause = decision.accepted.cause
    return "at once, since its last upgrade has not finished" if cause is Cause.UPGRADED else f"at once ({cause})"


def _is_unfinished(revision: Revision, live: Mapping[str, Any]) -> bool:
    """Whether an object got its revision from an upgrade, and was not Ready with it yet."""
    return revision.cause is Cause.UPGRADED and not was_ready(revision, live)


async def _has_failed(cluster: Cluster, live: Mapping[str, Any], ic: ImageClassifier) -> bool:
    """Whether an object needs user action, or its rollout has made no progress for too long."""
    if _condition(live, "Stalled").get("status") == "True":
        return True
    return deadline_exceeded(Observation(deployment=await own_deployment(cluster, ic)))


def _condition(live: Mapping[str, Any], condition_type: str) -> Mapping[str, Any]:
    conditions = (live.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == condition_type), {})


def _desired_pods(ic: ImageClassifier, live: Mapping[str, Any]) -> int:
    """Return how many pods an object should have: as its spec says, or its autoscaler.

    `status.readySummary` is `READY/DESIRED`.
    """
    if ic.spec.autoscaling is None and _condition(live, "AutoscalingReady").get("reason") != "External":
        return ic.spec.replicas
    _, _, desired = (live.get("status") or {}).get("readySummary", "").partition("/")
    minimum = 0 if ic.spec.autoscaling is None else ic.spec.autoscaling.min_replicas
    return max(minimum, int(desired) if desired.isdigit() else 0)


def _listed(names: Sequence[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{', '.join(names[:_MAX_LISTED])}{more}"


def _new(ic: ImageClassifier, revision: str) -> Planned:
    autoscaling = ic.spec.autoscaling
    return Planned(
        namespace=ic.namespace,
        name=ic.name,
        pods=ic.spec.replicas if autoscaling is None else autoscaling.min_replicas,
        candidate=revision,
        when="no, it is new" if not ic.spec.paused else "no, it is new, and spec.paused is true",
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
        lines += ["", f"Changes of the pod template of {_listed(names)}:", *(f"  {text}" for text in found)]
    return "\n".join([*lines, "", _summary(planned), ""])


def _row(each: Planned) -> tuple[str, ...]:
    return (each.namespace, each.name, str(each.pods), each.revision or "-", each.candidate or "-", each.when)


def _summary(planned: Sequence[Planned]) -> str:
    restarting = [each for each in planned if each.restarts]
    pods = sum(each.pods for each in restarting)
    objects = "1 object" if len(planned) == 1 else f"{len(planned)} objects"
    return f"{len(restarting)} of {objects} would restart their pods, {pods} in total; nothing was changed"

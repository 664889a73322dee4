"""Computes the whole status: the conditions, the number of replicas, and the model that is served."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_text
from imageclassifier_operator.naming import SERVER_CONTAINER, service_url
from imageclassifier_operator.status.contested import contested_verdict
from imageclassifier_operator.status.overridden import with_overridden_fields
from imageclassifier_operator.status.pods import model_facts
from imageclassifier_operator.status.rollout import desired_replicas, new_pods, ready_verdict
from imageclassifier_operator.status.types import Observation, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imageclassifier_operator.api import ImageClassifier, ModelSource
    from imageclassifier_operator.status.types import Condition

_MAX_MESSAGE_LENGTH = 2000
_MAX_REASON_LENGTH = 100


def compute(
    ic: ImageClassifier,
    observed: Observation,
    *,
    conditions: Mapping[str, Condition],
    previous: Mapping[str, Any],
    now: str,
) -> Status:
    """Return the status of an object whose spec is valid.

    conditions: the conditions of children by the child's kind.
    previous: the status before this reconcile, as it is on the API server.
    now: the current time in RFC 3339 format.
    """
    verdict = ready_verdict(observed)
    summary = _summary(verdict, observed)
    message = with_overridden_fields(
        "; ".join([verdict.message, *_additions(ic, observed, conditions=conditions)]),
        observed.overridden,
        max_length=_MAX_MESSAGE_LENGTH,
    )
    summary["Ready"] = replace(verdict, message=message)
    optional = {each.type: _optional(each, kind, ic, observed) for kind, each in conditions.items()}
    fields = {
        "observedGeneration": ic.generation,
        **_counts(ic.name, observed),
        "url": service_url(name=ic.name, namespace=ic.namespace, port=_port(ic, observed)),
    }
    image = _image(observed.deployment)
    if image:
        fields["image"] = image
    keeps = observed.not_applied and observed.deployment is not None  # what the spec asks for is not served
    served = previous.get("model") if keeps else None
    fields["model"] = model_facts(new_pods(observed)) or served or _expected_facts(ic.spec.model)
    revisions = _revisions(observed, verdict, previous=previous)
    if revisions:
        fields["revisions"] = revisions
    fields["conditions"] = _conditions(
        {**summary, **optional}, previous=previous, generation=ic.generation, now=now
    )
    return Status(ready=verdict.status == "True", progressing=verdict.progressing, fields=fields)


def _port(ic: ImageClassifier, observed: Observation) -> int:
    """Return the port of the Service: of a paused object, the one that it has."""
    live = observed.children.get("Service") if observed.not_applied else None
    ports = ((live or {}).get("spec") or {}).get("ports") or []
    return int(ports[0]["port"]) if ports else ic.spec.service.port


def _expected_facts(model: ModelSource) -> dict[str, Any]:
    """Return what is known about the model if no init container has reported it.

    A server that has the model in its image verifies the digest, and serves its fp32 graph.
    """
    facts: dict[str, Any] = {"name": model.name, "sha256": model.sha256}
    if model.comes_with_server:
        facts["precision"] = model.precision
    return facts


def _additions(
    ic: ImageClassifier, observed: Observation, *, conditions: Mapping[str, Condition]
) -> Iterator[str]:
    """Yield what the message of Ready says in addition: fields and revisions that are not applied."""
    yield from (text for kind, text in observed.unsupported.items() if kind not in conditions)
    if observed.revisions is not None and observed.revisions.message:
        yield observed.revisions.message
    if ic.spec.paused and not observed.not_applied:
        yield "spec.paused is true: the operator writes nothing"


def _revisions(observed: Observation, verdict: Verdict, *, previous: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the names of the accepted revision, of the candidate, and of the last one that was Ready."""
    before: Mapping[str, Any] = previous.get("revisions") or {}
    if observed.revisions is None:
        return before
    accepted, last_ready = observed.revisions.accepted, before.get("ready")
    if verdict.status == "True" and verdict.reason != "Scaling":
        last_ready = accepted
    elif last_ready == accepted != before.get("accepted"):  # a roll-back, whose pods are still to be replaced
        last_ready = None
    names = {"accepted": accepted, "candidate": observed.revisions.candidate, "ready": last_ready}
    return {key: name for key, name in names.items() if name is not None}


def _optional(condition: Condition, kind: str, ic: ImageClassifier, observed: Observation) -> Verdict:
    """Return the condition of an optional part, with a field of it that is not applied."""
    verdict = condition.check(ic.spec, observed.child(kind))
    unsupported = observed.unsupported.get(kind)
    return verdict if unsupported is None else replace(verdict, message=f"{verdict.message}; {unsupported}")


def compute_invalid(
    live: Mapping[str, Any],
    problems: Sequence[str],
    observed: Observation,
    *,
    conditions: Mapping[str, Condition],
    now: str,
) -> Status:
    """Return the status of an object whose spec is invalid. Its children stay those of the last valid spec."""
    verdict = Verdict(status="False", reason="InvalidSpec", message="; ".join(problems), stalled=True)
    unknown = Verdict(status="Unknown", reason="InvalidSpec", message="The spec is invalid; see condition Ready")
    return _without_spec(live, verdict, unknown, observed, conditions=conditions, now=now)


def compute_terminating(
    live: Mapping[str, Any], observed: Observation, *, conditions: Mapping[str, Condition], now: str
) -> Status:
    """Return the status of an object that is being deleted, and that its finalizers hold."""
    finalizers = ", ".join(live["metadata"].get("finalizers") or [])
    waiting = f"; waiting for its finalizers: {finalizers}" if finalizers else ""
    message = f"The ImageClassifier is being deleted{waiting}"
    verdict = Verdict(status="False", reason="Terminating", message=message, progressing=True)
    unknown = Verdict(status="Unknown", reason="Terminating", message="The ImageClassifier is being deleted")
    return _without_spec(live, verdict, unknown, observed, conditions=conditions, now=now)


def _without_spec(
    live: Mapping[str, Any],
    verdict: Verdict,
    optional: Verdict,
    observed: Observation,
    *,
    conditions: Mapping[str, Condition],
    now: str,
) -> Status:
    """Return a status with one verdict for all optional conditions. What needs the spec stays as it is."""
    previous = live.get("status") or {}
    metadata = live["metadata"]
    fields = {
        "observedGeneration": metadata.get("generation", 0),
        **_counts(metadata["name"], observed),
        **{key: previous[key] for key in ("url", "image", "model", "revisions") if key in previous},
    }
    verdicts = {**_summary(verdict, observed), **{each.type: optional for each in conditions.values()}}
    fields["conditions"] = _conditions(
        verdicts, previous=previous, generation=fields["observedGeneration"], now=now
    )
    return Status(ready=False, progressing=verdict.progressing, fields=fields)


def _counts(name: str, observed: Observation) -> dict[str, Any]:
    deployment = observed.deployment or {}
    counts = deployment.get("status") or {}
    ready_replicas = counts.get("readyReplicas", 0)
    desired = desired_replicas(deployment) if observed.deployment is not None else 0
    return {
        "replicas": counts.get("replicas", 0),
        "readyReplicas": ready_replicas,
        "readySummary": f"{ready_replicas}/{desired}",
        "selector": selector_text(name),
    }


def _image(deployment: Mapping[str, Any] | None) -> str | None:
    if deployment is None:
        return None
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return next((container["image"] for container in containers if container["name"] == SERVER_CONTAINER), None)


def _summary(verdict: Verdict, observed: Observation) -> dict[str, Verdict]:
    """Return the conditions about the whole object. Progressing and Stalled follow from the verdict of Ready."""
    available = (observed.deployment or {}).get("status", {}).get("readyReplicas", 0)
    if available:
        message = f"{available} replica{'s are' if available > 1 else ' is'} ready"
        availability = Verdict(status="True", reason="ReplicasAnswer", message=message)
    else:
        availability = Verdict(status="False", reason="NoReplicaReady", message="No replica is ready")
    no_rollout = Verdict(status="False", reason=verdict.reason, message="No rollout in progress")
    no_action = Verdict(status="False", reason=verdict.reason, message="No user action required")
    return {
        "Ready": verdict,
        "Available": availability,
        "Progressing": _same_reason(verdict) if verdict.progressing else no_rollout,
        "Stalled": _same_reason(verdict) if verdict.stalled else no_action,
        "Contested": contested_verdict(observed.contested),
    }


def _same_reason(verdict: Verdict) -> Verdict:
    """Return the verdict True with the reason and message of another one."""
    return Verdict(status="True", reason=verdict.reason, message=verdict.message)


def _conditions(
    verdicts: Mapping[str, Verdict], *, previous: Mapping[str, Any], generation: int, now: str
) -> list[dict[str, Any]]:
    """Return the conditions in the API's format; `lastTransitionTime` changes only when `status` changes."""
    before = {condition["type"]: condition for condition in previous.get("conditions") or []}
    conditions = []
    for condition_type, verdict in verdicts.items():
        last = before.get(condition_type, {})
        unchanged = last.get("status") == verdict.status and last.get("lastTransitionTime")
        conditions.append(
            {
                "type": condition_type,
                "status": verdict.status,
                "reason": _camel_case(verdict.reason),
                "message": verdict.message[:_MAX_MESSAGE_LENGTH],
                "lastTransitionTime": last["lastTransitionTime"] if unchanged else now,
                "observedGeneration": generation,
            }
        )
    return conditions


def _camel_case(reason: str) -> str:
    """Return a reason in CamelCase, which the API requires. Reasons of pods and webhooks can be any text."""
    words = re.findall(r"[A-Za-z0-9]+", reason)
    word = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    return word[:_MAX_REASON_LENGTH] or "Unknown"

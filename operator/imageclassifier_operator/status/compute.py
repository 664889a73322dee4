"""Puts a whole status together: conditions, counts, and what is served."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.labels import selector_text
from imageclassifier_operator.naming import service_url
from imageclassifier_operator.status.overridden import appended
from imageclassifier_operator.status.pods import model_facts
from imageclassifier_operator.status.rollout import new_pods, ready, wanted_replicas
from imageclassifier_operator.status.types import Observation, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imageclassifier_operator.api import ImageClassifier
    from imageclassifier_operator.status.types import Condition

_LONGEST_MESSAGE = 2000
_LONGEST_REASON = 100


def compute(
    ic: ImageClassifier,
    seen: Observation,
    *,
    conditions: Mapping[str, Condition],
    previous: Mapping[str, Any],
    now: str,
) -> Status:
    """Return the status of a valid object.

    `conditions` are those of the children that have one, by kind; `previous` is the live status, `now` RFC 3339.
    """
    verdict = ready(seen)
    summary = _summary(verdict, seen)
    message = appended(verdict.message, seen.overridden, longest=_LONGEST_MESSAGE)
    summary["Ready"] = replace(verdict, message=message)
    optional = {each.type: each.check(ic.spec, seen.child(kind)) for kind, each in conditions.items()}
    fields = {
        "observedGeneration": ic.generation,
        **_counts(ic.name, seen),
        "url": service_url(name=ic.name, namespace=ic.namespace, port=ic.spec.service.port),
    }
    image = _image(seen.deployment)
    if image:
        fields["image"] = image
    facts = model_facts(new_pods(seen))
    source = ic.spec.model
    fields["model"] = facts or {"name": source.name, "sha256": source.sha256}
    fields["conditions"] = _conditions(
        {**summary, **optional}, previous=previous, generation=ic.generation, now=now
    )
    return Status(ready=verdict.status == "True", fields=fields)


def compute_invalid(
    live: Mapping[str, Any],
    problems: Sequence[str],
    seen: Observation,
    *,
    conditions: Mapping[str, Condition],
    now: str,
) -> Status:
    """Return the status of an object whose spec cannot be served: its children are left as they are."""
    previous = live.get("status") or {}
    metadata = live["metadata"]
    verdict = Verdict(status="False", reason="InvalidSpec", message="; ".join(problems), stalled=True)
    unknown = Verdict(status="Unknown", reason="InvalidSpec", message="The spec is invalid, see Ready")
    fields = {
        "observedGeneration": metadata.get("generation", 0),
        **_counts(metadata["name"], seen),
        **{key: previous[key] for key in ("url", "image", "model") if key in previous},
    }
    verdicts = {**_summary(verdict, seen), **{each.type: unknown for each in conditions.values()}}
    fields["conditions"] = _conditions(
        verdicts, previous=previous, generation=fields["observedGeneration"], now=now
    )
    return Status(ready=False, fields=fields)


def _counts(name: str, seen: Observation) -> dict[str, Any]:
    deployment = seen.deployment or {}
    counts = deployment.get("status") or {}
    ready_replicas = counts.get("readyReplicas", 0)
    wanted = wanted_replicas(deployment) if seen.deployment is not None else 0
    return {
        "replicas": counts.get("replicas", 0),
        "readyReplicas": ready_replicas,
        "readySummary": f"{ready_replicas}/{wanted}",
        "selector": selector_text(name),
    }


def _image(deployment: Mapping[str, Any] | None) -> str | None:
    if deployment is None:
        return None
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return next((container["image"] for container in containers if container["name"] == "server"), None)


def _summary(verdict: Verdict, seen: Observation) -> dict[str, Verdict]:
    available = (seen.deployment or {}).get("status", {}).get("readyReplicas", 0)
    if available:
        count = f"{available} replica{'s answer' if available > 1 else ' answers'} requests"
        answers = Verdict(status="True", reason="ReplicasAnswer", message=count)
    else:
        answers = Verdict(status="False", reason="NoReplicaReady", message="No replica answers requests")
    calm = Verdict(status="False", reason=verdict.reason, message="Nothing is under way")
    fine = Verdict(status="False", reason=verdict.reason, message="Nothing asks for a person")
    return {
        "Ready": verdict,
        "Available": answers,
        "Progressing": _flag(verdict) if verdict.progressing else calm,
        "Stalled": _flag(verdict) if verdict.stalled else fine,
    }


def _flag(verdict: Verdict) -> Verdict:
    return Verdict(status="True", reason=verdict.reason, message=verdict.message)


def _conditions(
    verdicts: Mapping[str, Verdict], *, previous: Mapping[str, Any], generation: int, now: str
) -> list[dict[str, Any]]:
    """Write the conditions out; `lastTransitionTime` moves only when a status flips (API conventions)."""
    before = {condition["type"]: condition for condition in previous.get("conditions") or []}
    conditions = []
    for kind, verdict in verdicts.items():
        last = before.get(kind, {})
        same = last.get("status") == verdict.status and last.get("lastTransitionTime")
        conditions.append(
            {
                "type": kind,
                "status": verdict.status,
                "reason": _camel_case(verdict.reason),
                "message": verdict.message[:_LONGEST_MESSAGE],
                "lastTransitionTime": last["lastTransitionTime"] if same else now,
                "observedGeneration": generation,
            }
        )
    return conditions


def _camel_case(reason: str) -> str:
    """Return a reason as the API takes it; the word of a pod or of an admission webhook can be any text."""
    words = re.findall(r"[A-Za-z0-9]+", reason)
    word = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789")
    return word[:_LONGEST_REASON] or "Unknown"

"""Why a pod does not serve: the pod's own cause, in its own words, with the remedy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_KEYS_REMEDY = "spec.model.credentialsSecretRef needs that Secret in this namespace, with the keys of its source"
_SECRETS_REMEDY = (
    "create it in this namespace, with the key that the field takes which names it: password for "
    "spec.cache.redis.credentialsSecretRef, OTEL_EXPORTER_OTLP_HEADERS for spec.tracing.headersSecretRef"
)
# The kubelet has not heard yet of an object that may well be there.
_NOT_SYNCED = re.compile(r"failed to sync (secret|configmap) cache\b")
_CLAIM_NOT_FOUND = re.compile(r'persistentvolumeclaim "([^"]+)" not found', re.IGNORECASE)
_IMAGE_REMEDY = "check the image's name and that the nodes can pull it"

_MODEL_REMEDIES = {
    "ModelDigestMismatch": "correct spec.model.sha256, or put the right model at the source",
    "ModelNotFound": "check spec.model",
    "ModelAccessDenied": "check what spec.model.credentialsSecretRef names, and what its keys may read",
    "ModelCredentialsMissing": "create that Secret in this namespace, with the keys that its source takes",
    "ModelUnreachable": "check that the source answers from inside the namespace; it is tried again",
    "ModelAddressRefused": "serve the model from another address",
    "ModelTooLarge": "serve a smaller model",
    "ModelInvalid": "export the model anew",
    "ApiKeysInvalid": "put API keys into the Secret of spec.security.apiKeysSecretRef, in this namespace",
    "SettingsInvalid": "correct the field of spec, or the key of the Secret, that sets this value",
}
"""By reason of a termination message; the message of ModelPrecisionMissing says itself what to do."""

_PASSING = frozenset({"ModelUnreachable"})


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a pod does not serve; a lower `rank` is nearer to the root."""

    rank: int
    reason: str
    message: str
    stalled: bool


def root_cause(pods: Iterable[Mapping[str, Any]]) -> Cause | None:
    """Return the cause nearest to the root over all the pods, with the number of pods that share it."""
    causes = [cause for cause in map(cause_of, pods) if cause is not None]
    if not causes:
        return None
    first = min(causes, key=lambda cause: (cause.rank, cause.reason, cause.message))
    alike = sum(cause.reason == first.reason for cause in causes)
    if alike == 1:
        return first
    message = f"{first.message} (and {alike - 1} more pod{'s' if alike > 2 else ''})"
    return Cause(rank=first.rank, reason=first.reason, message=message, stalled=first.stalled)


def cause_of(pod: Mapping[str, Any]) -> Cause | None:
    """Return why this pod does not serve, None where it does or is merely on its way."""
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            cause = _container_cause(name, container)
            if cause is not None:
                return cause
    if status.get("phase") == "Failed":
        reason = status.get("reason") or "PodFailed"
        return Cause(rank=3, reason=reason, message=f"{name}: {status.get('message') or reason}", stalled=False)
    return _scheduling_cause(name, status)


def _scheduling_cause(name: str, status: Mapping[str, Any]) -> Cause | None:
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason") or "Unschedulable"
            said = condition.get("message") or reason
            remedy, stalled = _scheduling_remedy(said)
            return Cause(rank=4, reason=reason, message=f"{name}: {said}; {remedy}", stalled=stalled)
    return None


def _scheduling_remedy(said: str) -> tuple[str, bool]:
    """Return what to do, and whether nothing but a person can: in the scheduler's own words."""
    missing = _CLAIM_NOT_FOUND.search(said)
    if missing is not None:
        return f"create the claim {missing[1]} in this namespace, or correct spec.model.uri", True
    if "PersistentVolumeClaim" in said or "volume" in said:
        return "check that a volume fits the claim of spec.model.uri, and that a node may use it", False
    return "lower spec.resources.requests or add nodes", False


def _container_cause(pod: str, container: Mapping[str, Any]) -> Cause | None:
    if container.get("ready"):
        return None
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason in _IMAGE_REASONS:
        detail = waiting.get("message") or container.get("image") or ""
        # the kubelet alternates between the two; one reason keeps conditions and Events calm
        reason = "ImagePullBackOff" if reason == "ErrImagePull" else reason
        return Cause(rank=1, reason=reason, message=f"{pod}: {detail}; {_IMAGE_REMEDY}", stalled=True)
    if reason in _CONFIG_REASONS:
        said = waiting.get("message") or reason
        if _NOT_SYNCED.match(said):
            return Cause(rank=1, reason=reason, message=f"{pod}: {said}; the kubelet tries again", stalled=False)
        remedy = _KEYS_REMEDY if container.get("name") == "model" else _SECRETS_REMEDY
        of_secret = reason == "CreateContainerConfigError" and "secret" in said.lower()
        message = f"{pod}: {said}; {remedy}" if of_secret else f"{pod}: {said}"
        return Cause(rank=1, reason=reason, message=message, stalled=True)
    ended = _last_end(container)
    if ended is None or ended.get("exitCode") == 0:
        return None
    told = _told(ended.get("message"))
    if told is not None:
        return _model_cause(pod, *told)
    if ended.get("reason") == "OOMKilled":
        message = f"{pod}: container {container['name']} was killed for memory; raise spec.resources.limits.memory"
        return Cause(rank=0, reason="OOMKilled", message=message, stalled=True)
    looping = reason == "CrashLoopBackOff" or container.get("restartCount", 0) > 0
    return _crash_cause(pod, container, ended, looping=looping)


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for where in ("state", "lastState"):
        ended: Mapping[str, Any] | None = (container.get(where) or {}).get("terminated")
        if ended is not None:
            return ended
    return None


def _crash_cause(pod: str, container: Mapping[str, Any], ended: Mapping[str, Any], *, looping: bool) -> Cause:
    lines = (ended.get("message") or "").strip().splitlines()
    said = f": {lines[-1][:300]}" if lines else ""
    message = (
        f"{pod}: container {container['name']} ended with exit code {ended.get('exitCode')}{said}; "
        f"kubectl logs {pod} -c {container['name']} --previous shows why"
    )
    reason = "CrashLoopBackOff" if looping else ended.get("reason") or "Error"
    return Cause(rank=2, reason=reason, message=message, stalled=looping)


def _told(message: str | None) -> tuple[str, str] | None:
    """The reason and message that `fetch` and `serve` leave in their termination message."""
    try:
        said = json.loads(message or "")
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("reason"), str):
        return None
    return said["reason"], str(said.get("message") or "")


def _model_cause(pod: str, reason: str, message: str) -> Cause:
    remedy = _MODEL_REMEDIES.get(reason)
    text = f"{pod}: {message}; {remedy}" if remedy else f"{pod}: {message}"
    return Cause(rank=0, reason=reason, message=text, stalled=reason not in _PASSING)


def model_facts(pods: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the init step of a ready pod reported: name, sha256, precision, classes."""
    for pod in pods:
        for container in (pod.get("status") or {}).get("initContainerStatuses") or []:
            ended = (container.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode") != 0:
                continue
            try:
                facts = json.loads(ended.get("message") or "")
            except ValueError:
                continue
            if isinstance(facts, dict) and "sha256" in facts:
                return {key: facts[key] for key, fits in _FACTS.items() if key in facts and fits(facts[key])}
    return None


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest


_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: _is_text(value, 253),
    "sha256": lambda value: _is_text(value, 64),
    "precision": lambda value: _is_text(value, 32),
    "classes": lambda value: type(value) is int and 0 <= value < 2**31,
}
"""What the schema of the status takes: one fact of another form would have the whole status refused."""

"""Argo CD's health check, on the statuses that the operator computes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.children import CONDITIONS
from imageclassifier_operator.status import Observation, Problem, compute_invalid
from imageclassifier_operator.status.types import Revisions
from lupa.lua51 import LuaRuntime  # Argo CD runs Lua 5.1

from tests.crd import ROOT
from tests.unit.operator.test_status import NOW, deployment, exited, pod, status_of, world

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCRIPT = (ROOT / "charts" / "argocd" / "health.lua").read_text()
_NOT_IN_ARGO_CD = ("coroutine", "debug", "io", "math", "os", "package", "require", "string")
"""Libraries that a health check may not have used: Argo CD loads them only on request, or never."""

_GENERATION = 3
_REJECTED = json.dumps({"reason": "ModelDigestMismatch", "message": "expected sha256 a, got b"})
_UNREACHABLE = json.dumps({"reason": "ModelUnreachable", "message": "connection refused"})


def _failing(message: str) -> Observation:
    return world(pod("p", initContainerStatuses=[exited(message)]), deployment=deployment(ready=0))


def _health(status: Mapping[str, Any] | None, *, generation: int = _GENERATION, **spec: Any) -> tuple[str, str]:
    lua = LuaRuntime(unpack_returned_tuples=True)
    for library in _NOT_IN_ARGO_CD:
        lua.globals()[library] = None
    live = {"metadata": {"name": "pets", "generation": generation}, "spec": spec}
    lua.globals().obj = lua.table_from(live if status is None else {**live, "status": status}, recursive=True)
    health = lua.execute(_SCRIPT)
    assert set(health) == {"status", "message"}
    return health["status"], health["message"]


@pytest.mark.parametrize(
    ("observed", "status", "words"),
    [
        (Observation(), "Progressing", "DeploymentMissing: Creating the Deployment"),
        (world(deployment=deployment(updated=1, replicas=3)), "Progressing", "RollingOut: 1/2"),
        (_failing(_UNREACHABLE), "Progressing", "ModelUnreachable: p: connection refused"),
        (world(), "Healthy", "2/2 replicas are ready"),
        (world(deployment=deployment(desired=0, updated=0, ready=0)), "Healthy", "Scaled to zero"),
        (
            world(revisions=Revisions(accepted="pets-1", candidate="pets-2", message="UpgradeAvailable: waits")),
            "Healthy",
            "UpgradeAvailable: waits",
        ),
        (_failing(_REJECTED), "Degraded", "ModelDigestMismatch: p: expected sha256 a, got b"),
        (
            world(
                problems=[Problem(kind="Service", reason="NameConflict", message="Service pets exists already")]
            ),
            "Degraded",
            "NameConflict: Service pets exists already",
        ),
    ],
)
def test_health_is_what_the_conditions_say(observed: Observation, status: str, words: str) -> None:
    found, message = _health(status_of(observed))
    assert found == status
    assert words in message


@pytest.mark.parametrize(
    ("observed", "status"),
    [
        (world(), "Suspended"),
        (world(not_applied=["Deployment pets: spec.replicas from 2 to 1"]), "Suspended"),
        (_failing(_REJECTED), "Degraded"),
    ],
)
def test_a_paused_object_is_suspended_unless_user_action_is_required(observed: Observation, status: str) -> None:
    assert _health(status_of(observed, paused=True), paused=True)[0] == status


def test_an_invalid_spec_is_degraded() -> None:
    live = {"metadata": {"name": "pets", "generation": _GENERATION}}
    invalid = compute_invalid(
        live, ["spec.replicas: must be at most 1000"], world(), conditions=CONDITIONS, now=NOW
    )
    assert _health(dict(invalid.fields)) == ("Degraded", "InvalidSpec: spec.replicas: must be at most 1000")


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": _GENERATION}])
def test_an_object_without_conditions_is_progressing(status: Mapping[str, Any] | None) -> None:
    assert _health(status)[0] == "Progressing"


@pytest.mark.parametrize("observed", [world(), _failing(_REJECTED)])
def test_conditions_of_an_older_generation_do_not_count(observed: Observation) -> None:
    assert _health(status_of(observed), generation=_GENERATION + 1)[0] == "Progressing"

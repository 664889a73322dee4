"""The table of the restricted Pod Security Standard detects a violation of each rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests import pod_security
from tests.unit.operator.manifests.building import FETCHED, template

_VIOLATIONS: dict[str, dict[str, Any]] = {
    "no host namespaces": {"hostPID": True},
    "no host ports": {"containers": {"ports": [{"containerPort": 80, "hostPort": 80}]}},
    "volumes of allowed types": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
    "not privileged": {"containers": {"securityContext": {"privileged": True}}},
    "no privilege escalation": {"initContainers": {"securityContext": {}}},
    "all capabilities dropped": {"containers": {"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}},
    "no capabilities added": {"containers": {"securityContext": {"capabilities": {"add": ["SYS_TIME"]}}}},
    "runs as non-root": {"containers": {"securityContext": {"runAsNonRoot": False}}},
    "no root user": {"initContainers": {"securityContext": {"runAsUser": 0}}},
    "seccomp profile": {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "Unconfined"}}},
    "no unmasked proc": {"containers": {"securityContext": {"procMount": "Unmasked"}}},
    "no sysctls": {"securityContext": {"sysctls": [{"name": "kernel.shm", "value": "1"}]}},
}


@pytest.mark.parametrize("rule", pod_security.RULES)
def test_a_violation_is_detected(rule: str) -> None:
    pod = copy.deepcopy(template(FETCHED)["spec"])
    for key, value in _VIOLATIONS[rule].items():
        if key in {"containers", "initContainers"}:
            pod[key][0].update(value)
        else:
            pod[key] = value
    assert rule in pod_security.violations(pod)

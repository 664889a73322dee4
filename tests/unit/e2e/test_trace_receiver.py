"""The trace receiver of the scenarios: a hardened pod, and a program without our packages."""

from __future__ import annotations

import ast

from e2e.trace_receiver import PORT, endpoint, manifests
from tests import pod_security


def test_the_receiver_meets_the_restricted_pod_security_standard() -> None:
    _, deployment, service = manifests("vision", "imageclassifier-runtime:0.1.0")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod_security.violations(pod) == []
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_its_program_imports_none_of_our_packages() -> None:
    program, *_ = manifests("vision", "imageclassifier-runtime:0.1.0")
    tree = ast.parse(program["data"]["otlp.py"])
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name.startswith(("e2e", "tests", "imageclassifier"))}


def test_the_url_is_that_of_the_service() -> None:
    assert endpoint("vision") == f"http://trace-receiver.vision.svc:{PORT}"

"""Which protocol a path belongs to, and which requests are probes."""

from __future__ import annotations

import pytest
from imageclassifier_runtime.errors import BodyInvalidError
from imageclassifier_runtime.request.paths import NATIVE, OTHER, PROTOCOLS, V1, V2, Protocol, is_probe, protocol_of


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/api/v1/classify", "native"),
        ("/api/v1/classify/batch", "native"),
        ("/v2", "v2"),
        ("/v2/models/x/infer", "v2"),
        ("/v2x", "other"),
        ("/v1/models/x:predict", "v1"),
        ("/v1x", "other"),
        ("/", "other"),
        ("/nowhere", "other"),
    ],
)
def test_the_protocol_of_a_path(path: str, protocol: str) -> None:
    assert protocol_of(path).name == protocol


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/health/ready", True),
        ("GET", "/metrics", True),
        ("GET", "/v2/health/live", True),
        ("GET", "/v2/models/x/ready", True),
        ("GET", "/v2/models/x/versions/1/ready", True),
        ("GET", "/v1/models/x", True),
        ("GET", "/v1/models/x/versions/1", True),
        ("GET", "/v1/models/x/metadata", False),
        ("POST", "/v1/models/x:predict", False),
        ("POST", "/v1/models/x", False),
        ("POST", "/v2/models/x/ready", False),
        ("GET", "/v2/models/x", False),
        ("POST", "/v2/models/x/infer", False),
        ("POST", "/api/v1/classify", False),
    ],
)
def test_probes(method: str, path: str, *, expected: bool) -> None:
    assert is_probe(method, path) is expected


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_typed_and_untyped_errors_have_the_protocols_media_type(protocol: Protocol) -> None:
    for answer in (
        protocol.errors.error_response(BodyInvalidError("no")),
        protocol.errors.status_response(404, "no", None),
    ):
        assert answer.headers["content-type"] == protocol.errors.media_type


def test_problem_details_are_used_by_the_native_api_and_other_paths() -> None:
    types = {protocol: protocol.errors.media_type for protocol in PROTOCOLS}
    assert types == {
        NATIVE: "application/problem+json",
        V2: "application/json",
        V1: "application/json",
        OTHER: "application/problem+json",
    }

"""A spec is parsed with the same defaults as in the schema, or rejected with all of its problems."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from imageclassifier_operator.api import (
    Autoscaling,
    Cache,
    CatalogueEntry,
    ImageClassifier,
    InvalidSpecError,
    Limits,
    Monitoring,
    OperatorConfig,
    Resources,
    Rollout,
    S3Store,
    Service,
    Spec,
    parse,
)

from tests import crd

_CONFIG = OperatorConfig(
    runtime_image="runtime:test",
    catalogue={"cifar10-mobilenet-v2": CatalogueEntry(uris=("bundled:cifar10-mobilenet-v2",), sha256="c1fa" * 16)},
)
_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"


def _live(spec: Any) -> dict[str, Any]:
    live: dict[str, Any] = {"metadata": {"name": "pets", "namespace": "vision", "uid": "u", "generation": 4}}
    return live if spec is None else {**live, "spec": spec}


def _parse(spec: Any, config: OperatorConfig = _CONFIG) -> ImageClassifier:
    return parse(_live(spec), config=config)


def _problems(spec: Any, config: OperatorConfig = _CONFIG) -> list[str]:
    with pytest.raises(InvalidSpecError) as raised:
        _parse(spec, config)
    assert str(raised.value) == "; ".join(raised.value.problems)
    return raised.value.problems


def test_the_object_has_its_namespace_name_uid_and_generation() -> None:
    ic = _parse({})
    assert (ic.namespace, ic.name, ic.uid, ic.generation) == ("vision", "pets", "u", 4)


@pytest.mark.parametrize("spec", [None, {}, {"model": None}, {"model": {}, "limits": {}, "rollout": {}}])
def test_absent_fields_get_the_defaults(spec: Any) -> None:
    found = _parse(spec).spec
    assert found == Spec(model=found.model)
    assert found.model.name == "cifar10-mobilenet-v2"
    assert found.model.uris == ("bundled:cifar10-mobilenet-v2",)


@pytest.mark.parametrize("spec", [{}, {"autoscaling": {}}], ids=["plain", "autoscaling"])
def test_the_defaults_of_the_schema_and_the_operator_are_equal(spec: dict[str, Any]) -> None:
    defaulted = _parse(crd.defaulted(spec, crd.schema()["properties"]["spec"])).spec
    plain = _parse(spec).spec
    assert defaulted.resources == plain.resources == Resources()
    assert defaulted.limits == plain.limits == Limits()
    assert defaulted.service == plain.service == Service()
    assert defaulted.monitoring == plain.monitoring == Monitoring()
    assert defaulted.rollout == plain.rollout == Rollout()
    assert defaulted.replicas == plain.replicas


def test_autoscaling_without_a_target_has_a_cpu_target() -> None:
    assert _parse({"autoscaling": {}}).spec.autoscaling == Autoscaling()


def test_a_memory_target_alone_adds_no_cpu_target() -> None:
    autoscaling = _parse({"autoscaling": {"targetMemoryUtilization": 80}}).spec.autoscaling
    assert autoscaling is not None
    assert autoscaling.target_cpu_utilization is None
    assert autoscaling.target_memory_utilization == 80


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("https://models.example.org/mobilenet_v2.onnx", "mobilenet_v2"),
        ("https://models.example.org/pets/v3/", "v3"),
        ("http://store:8000/m.onnx?version=3", "m"),
        ("https://models.example.org", "model"),
        ("https://models.example.org/.onnx", "model"),
        ("https://models.example.org/a%20b;c.onnx", "a-20b-c"),
        (f"https://models.example.org/{'x' * 200}.onnx", "x" * 63),
        ("s3://models/pets/v3/", "v3"),
        ("s3://models/", "models"),
        (f"hf://owner/mobilenet-v2@{'0' * 40}", "mobilenet-v2"),
        (f"hf://owner/mobilenet-v2@{'0' * 40}/", "mobilenet-v2"),
        (f"hf://owner/mobilenet-v2@{'0' * 40}/onnx/pets.onnx", "pets"),
        ("pvc://models", "models"),
        ("pvc://models/pets/v3.onnx", "v3"),
    ],
)
def test_a_model_from_a_uri_is_named_after_the_last_part_of_the_path(uri: str, name: str) -> None:
    assert _parse({"model": {"uri": uri, "sha256": _SHA256}}).spec.model.name == name


def test_a_source_has_its_store_and_the_name_of_its_secret() -> None:
    model = {
        "uri": "s3://models/pets/",
        "sha256": _SHA256,
        "credentialsSecretRef": {"name": "model-store"},
        "s3": {"endpoint": "http://minio:9000", "region": "eu-west-3", "addressing": "Path"},
    }
    found = _parse({"model": model}).spec.model
    assert found.s3 == S3Store(endpoint="http://minio:9000", region="eu-west-3", addressing="Path")
    assert (found.credentials_secret, found.claim) == ("model-store", None)


def test_a_secret_reference_of_a_model_without_a_name_is_rejected() -> None:
    model = {"uri": "s3://models/m", "sha256": _SHA256, "credentialsSecretRef": {}}
    with pytest.raises(InvalidSpecError, match="credentialsSecretRef: name is required"):
        _parse({"model": model})


def test_a_secret_reference_of_tracing_without_a_name_is_rejected() -> None:
    tracing = {"otlpEndpoint": "http://collector:4318", "headersSecretRef": {}}
    with pytest.raises(InvalidSpecError, match="headersSecretRef: name is required"):
        _parse({"tracing": tracing})


def test_the_persistent_volume_claim_is_the_first_part_of_the_uri() -> None:
    found = _parse({"model": {"uri": "pvc://models.v2/pets/", "sha256": _SHA256}}).spec.model
    assert (found.scheme, found.claim) == ("pvc", "models.v2")


def test_an_upper_case_digest_is_converted_to_lower_case() -> None:
    model = {"uri": "https://models.example.org/m.onnx", "sha256": _SHA256.upper()}
    assert _parse({"model": model}).spec.model.sha256 == _SHA256


def test_another_default_model_can_be_configured() -> None:
    entry = CatalogueEntry(uris=("https://models.example.org/m.onnx",), sha256=_SHA256)
    config = OperatorConfig(runtime_image="r", default_model="ours", catalogue={"ours": entry})
    assert _parse({}, config).spec.model.name == "ours"


def test_a_default_model_that_is_not_in_the_catalogue_is_reported() -> None:
    config = OperatorConfig(runtime_image="r")
    assert _problems({}, config) == [
        "spec.model.name: cifar10-mobilenet-v2 is not in the operator's catalogue, which has nothing"
    ]


def test_the_largest_image_must_fit_into_the_memory_limit() -> None:
    # of 512 MiB, the server needs 160 MiB and the body 10 MiB: 342 MiB remain for 8 bytes per pixel
    maximum = 342 * 1024 * 1024 // 8
    assert _parse({"limits": {"maxImagePixels": maximum}}).spec.limits.max_image_pixels == maximum
    (problem,) = _problems({"limits": {"maxImagePixels": maximum + 1}})
    assert "needs 513 MiB" in problem
    assert "raise it to 513Mi" in problem


def test_the_cache_must_also_fit_into_the_memory_limit() -> None:
    maximum = 342 * 1024 * 1024 // 8
    fits = {"limits": {"maxImagePixels": maximum - 2 * 1024 * 1024}}
    assert _parse({**fits, "cache": {}}).spec.cache == Cache(max_bytes=16 * 1024 * 1024)
    (problem,) = _problems({**fits, "cache": {"maxBytes": "17Mi"}})
    assert "alongside the cache, needs 513 MiB" in problem
    assert "or spec.cache.maxBytes" in problem


def test_the_cache_is_off_by_default() -> None:
    assert _parse({}).spec.cache is None


@pytest.mark.parametrize(
    "url",
    ["", "redis://", "http://redis", "redis://user:hunter2@redis", "redis://redis/name", "redis://redis?db=1"],
)
def test_an_invalid_redis_url_is_reported_without_showing_it(url: str) -> None:
    # an older schema may accept it
    (problem,) = _problems({"cache": {"redis": {"url": url}}})
    assert problem.startswith("spec.cache.redis.url: must be redis://host")
    assert "hunter2" not in problem


def test_all_problems_are_reported_together() -> None:
    problems = _problems(
        {
            "model": {"uri": "https://models.example.org/m.onnx"},
            "autoscaling": {"minReplicas": 3, "maxReplicas": 2},
            "rollout": {"maxSurge": 0},
            "monitoring": {"labels": {"app.kubernetes.io/name": "mine"}},
        }
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "spec.model",
        "spec.autoscaling",
        "spec.monitoring.labels",
        "spec.rollout",
    ]


@pytest.mark.parametrize(
    "spec",
    [
        {"model": "mobilenet-v2"},
        {"model": ["mobilenet-v2"]},
        {"replicas": "two"},
        {"replicas": None},
        {"resources": {"limits": ["2"]}},
        {"limits": {"maxImagePixels": "many"}},
        {"autoscaling": {"minReplicas": "two"}},
        {"autoscaling": []},
        {"cache": "on"},
        {"cache": {"redis": "redis://redis", "maxBytes": []}},
        {"cache": {"redis": {"url": "redis://redis", "ttlSeconds": "long", "credentialsSecretRef": "x"}}},
        {"monitoring": {"labels": ["a"]}},
        {"rollout": {"maxSurge": "25%", "maxUnavailable": []}},
    ],
    ids=str,
)
def test_a_spec_that_the_schema_rejects_never_causes_another_error(spec: Any) -> None:
    with contextlib.suppress(InvalidSpecError):
        _parse(spec)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [("512mi", "not a quantity"), ("-1Gi", "greater than 0"), ("", "not a quantity"), (True, "not a quantity")],
)
def test_an_invalid_quantity_is_reported_with_its_field(memory: Any, expected: str) -> None:
    (problem,) = _problems({"resources": {"limits": {"memory": memory}}})
    assert problem.startswith("spec.resources.limits.memory: ")
    assert expected in problem


def test_a_whole_number_is_a_quantity() -> None:
    assert _parse({"resources": {"limits": {"cpu": 2}}}).spec.resources.limits.cpu == "2"


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("on", "spec: must be an object"),
        ({"model": "mobilenet-v2"}, "spec.model: must be an object"),
        ({"monitoring": {"labels": ["a"]}}, "spec.monitoring.labels: must be an object"),
        ({"replicas": "two"}, "spec.replicas: must be an integer"),
        ({"replicas": 1.5}, "spec.replicas: must be an integer"),
        ({"replicas": True}, "spec.replicas: must be an integer"),
        ({"replicas": 1001}, "spec.replicas: must be at most 1000, is 1001"),
        ({"rollout": {"drainSeconds": -1}}, "spec.rollout.drainSeconds: must be at least 0, is -1"),
        (
            {"service": {"type": "External"}},
            "spec.service.type: must be 'ClusterIP', 'NodePort' or 'LoadBalancer'",
        ),
        ({"security": {"trustedProxies": "10.0.0.0/8"}}, "spec.security.trustedProxies: must be a list"),
        *(
            (
                {"security": {"trustedProxies": [proxy]}},
                "spec.security.trustedProxies[0]: must be a network such as 10.0.0.0/8 or fd00::/8",
            )
            for proxy in (7, "10.0.0.0")
        ),
        ({"tracing": {}}, "spec.tracing: otlpEndpoint is required"),
        ({"model": {"sha256": "5010"}}, "spec.model.sha256: must be a SHA-256 digest of 64 hexadecimal digits"),
        (
            {"autoscaling": {"behavior": {"scaleUp": {"policies": []}}}},
            "spec.autoscaling.behavior.scaleUp.policies: must have 1 or more entries",
        ),
        (
            {"security": {"trustedProxies": ["10.0.0.0/8"] * 65}},
            "spec.security.trustedProxies: must have 64 or fewer entries",
        ),
        (
            {"resources": {"requests": {"memory": "256m"}}},
            'spec.resources.requests.memory: must be a number of bytes such as 512Mi, 1Gi or "1.5Gi", is 256m',
        ),
        ({"resources": {"limits": {"cpu": 1025}}}, "spec.resources.limits.cpu: must be at most 1024, is 1025"),
    ],
    ids=str,
)
def test_an_invalid_value_is_reported_in_the_terms_of_the_api(spec: Any, problem: str) -> None:
    assert _problems(spec) == [problem]


def test_an_invalid_field_does_not_prevent_checks_of_the_others() -> None:
    problems = _problems(
        {
            "model": {"name": "Resnet", "precision": "INT4"},
            "limits": {"maxImagePixels": "many", "maxQueueSize": 1},
            "batching": {"maxBatchSize": 2},
            "cache": {"redis": {"url": "redis", "ttlSeconds": 0}, "maxBytes": "1Gi"},
            "security": {"trustedProxies": ["10.0.0.1/8", "10.0.0.0/8", "::/0"]},
            "rollout": {"maxSurge": 0},
        }
    )
    assert [problem.split(": ")[0] for problem in problems] == [
        "spec.model.name",
        "spec.model.precision",
        "spec.limits.maxImagePixels",
        "spec.batching.maxBatchSize",
        "spec.cache.redis.url",
        "spec.cache.redis.ttlSeconds",
        "spec.security.trustedProxies[0]",
        "spec.security.trustedProxies[2]",
        "spec.rollout",
    ]


def test_a_rule_is_not_checked_on_an_invalid_value() -> None:
    (problem,) = _problems({"rollout": {"maxSurge": "none", "maxUnavailable": 0}})
    assert problem == "spec.rollout.maxSurge: must be an integer"
    (problem,) = _problems(
        {"resources": {"limits": {"memory": "1 Gi"}}, "limits": {"maxImagePixels": 200_000_000}}
    )
    assert problem.startswith("spec.resources.limits.memory: ")


def test_the_live_object_is_not_modified() -> None:
    live = _live({"replicas": "two", "model": {"uri": 7}})
    with pytest.raises(InvalidSpecError):
        parse(live, config=_CONFIG)
    assert live["spec"] == {"replicas": "two", "model": {"uri": 7}}


def test_null_is_an_absent_field_and_a_whole_float_an_integer() -> None:
    spec = _parse({"replicas": 2.0, "autoscaling": None, "service": {"port": None}}).spec
    assert (spec.replicas, spec.autoscaling, spec.service.port) == (2, None, 80)


def test_python_names_are_not_fields_of_the_api() -> None:
    assert _parse({"limits": {"max_queue_size": 7}, "colour": "red"}).spec.limits.max_queue_size == 64


def test_an_empty_otlp_endpoint_disables_tracing() -> None:
    assert _parse({"tracing": {"otlpEndpoint": ""}}).spec.tracing is None


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\x0b"])
def test_a_uri_may_contain_unicode_spaces_as_in_the_schema(space: str) -> None:
    uri = f"https://models.example.org/a{space}b"
    assert _parse({"model": {"uri": uri, "sha256": "a" * 64}}).spec.model.uris == (uri,)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"autoscaling": {"minReplicas": 0}}, "spec.autoscaling.minReplicas: must be at least 1, is 0"),
        (
            {
                "autoscaling": {
                    "behavior": {"scaleUp": {"policies": [{"type": "Cores", "value": 1, "periodSeconds": 1}]}}
                }
            },
            "spec.autoscaling.behavior.scaleUp.policies[0].type: must be 'Pods' or 'Percent'",
        ),
        ({"replicas": 10**300}, f"spec.replicas: must be at most 1000, is 1{'0' * 39}"),
        ({"model": {"precision": "\ud800"}}, "spec.model.precision: must be a string"),
    ],
    ids=["default", "entries", "digits", "surrogate"],
)
def test_one_mistake_is_reported_once(spec: Any, problem: str) -> None:
    assert _problems(spec) == [problem]


def test_a_key_that_cannot_be_encoded_is_the_only_reported_problem() -> None:
    (problem,) = _problems({"monitoring": {"labels": {"\ud800": "x"}}, "replicas": 1})
    assert problem.startswith("spec.monitoring.labels")

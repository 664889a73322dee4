"""The NetworkPolicy: whom it admits, and which ports of other servers the pods may connect to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from imageclassifier_operator.api import CatalogueEntry, OperatorConfig
from imageclassifier_operator.manifests import networkpolicy

from tests.unit.operator.manifests.building import built, params_for, template

_KIND = "NetworkPolicy"
_SHA256 = "501096f942c4064c5a6a9aa1cd6afa840b16147a7910f7373a809c9f99cb6370"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_DNS = [{"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")]
_PROMETHEUS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}


def _policy(spec: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = built({"networkPolicy": {}, **(spec or {})}, **options)[_KIND]["spec"]
    return found


def _egress(spec: dict[str, Any] | None = None, **options: Any) -> list[int]:
    """Return the ports besides DNS, which is always allowed."""
    [rule] = _policy(spec, **options)["egress"]
    assert set(rule) == {"ports"}, "a NetworkPolicy cannot name hosts"
    assert rule["ports"][:4] == _DNS
    assert all(port["protocol"] == "TCP" for port in rule["ports"][4:])
    return [port["port"] for port in rule["ports"][4:]]


def _model(uri: str, **fields: Any) -> dict[str, Any]:
    return {"model": {"uri": uri, "sha256": _SHA256, **fields}}


def _catalogue(*uris: str) -> OperatorConfig:
    entry = CatalogueEntry(uris=uris, sha256=_SHA256)
    return OperatorConfig(runtime_image="i", catalogue={"cifar10-mobilenet-v2": entry})


@pytest.mark.parametrize(
    ("accepted", "ports"),
    [
        (_model("http://models.vision.svc:8080/pets.onnx"), [443, 8080]),
        (_model("s3://models/pets.onnx", s3={"endpoint": "http://store.vision.svc:9000"}), [443, 9000]),
        (_model("s3://models/pets.onnx"), [443]),
        ({"cache": {"redis": {"url": "redis://redis.vision.svc"}}}, [443, 6379]),
        ({"tracing": {"otlpEndpoint": "http://collector.vision.svc:4318"}}, [443, 4318]),
        ({"runtime": {"env": [{"name": "https_proxy", "value": "http://proxy.example.org:3128"}]}}, [443, 3128]),
        ({"runtime": {"env": [{"name": "OTHER", "value": "http://other.example.org:81"}]}}, [443]),
    ],
)
def test_the_ports_of_the_accepted_template_stay_open(accepted: dict[str, Any], ports: list[int]) -> None:
    params = params_for({"networkPolicy": {}, **_model("https://models.example.org/pets.onnx")})
    policy = networkpolicy.build(replace(params, template=template(accepted)))
    assert policy is not None
    [rule] = policy["spec"]["egress"]
    assert [port["port"] for port in rule["ports"][4:]] == ports


def test_there_is_none_by_default() -> None:
    assert _KIND not in built()


@pytest.mark.parametrize("name", ["pets", "pets.v2", "p" * 70])
def test_it_selects_the_pods_of_the_deployment(name: str) -> None:
    children = built({"networkPolicy": {}}, name=name)
    assert children[_KIND]["spec"]["podSelector"] == children["Deployment"]["spec"]["selector"]


def test_an_empty_policy_denies_everything_but_prometheus_and_dns() -> None:
    policy = _policy()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"from": [_PROMETHEUS], "ports": [{"protocol": "TCP", "port": 8080}]}]
    assert _egress() == []


def test_the_allowed_port_is_that_of_the_server() -> None:
    children = built({"networkPolicy": {}})
    [rule] = children[_KIND]["spec"]["ingress"]
    [server] = children["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert [port["port"] for port in rule["ports"]] == [port["containerPort"] for port in server["ports"]]


def test_peers_are_kept_as_they_are_given() -> None:
    peers = [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "vision"}}},
        {
            "namespaceSelector": {},
            "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["gallery"]}]},
        },
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
        {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        {"ipBlock": {"cidr": "0.0.0.0/0"}},
    ]
    [rule] = _policy({"networkPolicy": {"allowFrom": peers}})["ingress"]
    assert rule["from"] == [*peers, _PROMETHEUS]
    [rule] = _policy({"networkPolicy": {"allowMetricsFrom": peers}})["ingress"]
    assert rule["from"] == peers


def test_without_any_peer_there_is_no_rule() -> None:
    # a rule whose `from` is empty would allow every client
    assert _policy({"networkPolicy": {"allowFrom": [], "allowMetricsFrom": []}})["ingress"] == []


@pytest.mark.parametrize(
    ("uri", "ports"),
    [
        ("https://models.example.org/pets.onnx", [443]),
        ("https://models.example.org:8443/pets/", [8443]),
        ("http://models.example.org/pets.onnx", [80, 443]),  # it may redirect to https
        ("http://models.example.org:80/pets.onnx", [80, 443]),
        ("http://store.vision.svc:9000/pets.onnx", [9000]),
        ("http://[fd00::1]:9000/pets.onnx", [9000]),
        ("https://dns.example.org:53/pets.onnx", []),  # 53 is open already
        ("https://models.example.org:99999/pets.onnx", []),
        ("https://models.example.org:0/pets.onnx", []),
        ("https://[:::]:443", []),
        (f"hf://owner/repo@{_COMMIT}", [443]),
        ("s3://models/pets.onnx", [443]),
        ("pvc://models/pets.onnx", []),
    ],
)
def test_the_port_of_the_source_is_open(uri: str, ports: list[int]) -> None:
    assert _egress(_model(uri)) == ports


@pytest.mark.parametrize(
    ("s3", "ports"),
    [
        ({}, [443]),
        ({"endpoint": "https://store.example.org"}, [443]),
        ({"endpoint": "http://minio.storage.svc:9000"}, [9000]),
        ({"endpoint": "http://minio.storage.svc"}, [80]),
        ({"endpoint": "http://[:::]"}, []),
    ],
)
def test_the_port_of_the_store_is_open(s3: dict[str, str], ports: list[int]) -> None:
    assert _egress(_model("s3://models/pets.onnx", s3=s3)) == ports


@pytest.mark.parametrize(
    ("uris", "ports"),
    [
        (["bundled:cifar10-mobilenet-v2"], []),
        (["bundled:cifar10-mobilenet-v2", "https://one.example.org/m.onnx"], [443]),
        (["https://one.example.org:8443/m.onnx", "http://two.example.org:81/m.onnx"], [81, 8443]),
    ],
)
def test_the_ports_of_all_mirrors_are_open(uris: list[str], ports: list[int]) -> None:
    assert _egress(config=_catalogue(*uris)) == ports


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("redis://redis.vision.svc", [6379]),
        ("rediss://redis.vision.svc/1", [6379]),
        ("rediss://redis.vision.svc:6380/1", [6380]),
        ("redis://redis.vision.svc:99999", []),
    ],
)
def test_the_port_of_redis_is_open(url: str, ports: list[int]) -> None:
    assert _egress({"cache": {"redis": {"url": url}}}) == ports
    assert _egress({"cache": {}}) == []


@pytest.mark.parametrize(
    ("endpoint", "ports"),
    [
        ("http://collector.observability.svc:4318", [4318]),
        ("https://collector.example.org/otlp", [443]),
        ("http://collector.example.org", [80]),
        ("", []),
    ],
)
def test_the_port_of_the_receiver_of_traces_is_open(endpoint: str, ports: list[int]) -> None:
    assert _egress({"tracing": {"otlpEndpoint": endpoint}}) == ports


@pytest.mark.parametrize(
    ("name", "value", "ports"),
    [
        ("HTTPS_PROXY", "http://proxy.example.org:3128", [3128]),
        ("http_proxy", "http://user:word@proxy.example.org:3128/", [3128]),
        ("ALL_PROXY", "proxy.example.org:3128", [3128]),
        ("HTTPS_PROXY", "https://proxy.example.org", [443]),
        ("HTTPS_PROXY", "http://$(HOST):3128", [3128]),
        ("HTTPS_PROXY", "$(PROXY)", [80]),
        ("HTTPS_PROXY", "http://proxy.example.org:$(PORT)", []),
        ("HTTPS_PROXY", "", []),
        ("NO_PROXY", "10.0.0.0/8,models.example.org:8443", []),
        ("OTHER", "http://proxy.example.org:3128", []),
    ],
)
def test_the_port_of_a_proxy_is_open(name: str, value: str, ports: list[int]) -> None:
    assert _egress({"runtime": {"env": [{"name": name, "value": value}]}}) == ports


def test_the_ports_of_all_needs_are_sorted_and_listed_once() -> None:
    spec = {
        **_model("https://models.example.org/pets.onnx"),
        "cache": {"redis": {"url": "redis://redis.vision.svc"}},
        "tracing": {"otlpEndpoint": "https://collector.example.org"},
        "runtime": {"env": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.org:3128"}]},
    }
    assert _egress(spec) == [443, 3128, 6379]


def test_it_is_applied_before_the_pods_start() -> None:
    order = list(built({"networkPolicy": {}}))
    assert order.index(_KIND) < order.index("Deployment")

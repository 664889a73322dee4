"""What makes the Service reachable from outside the cluster."""

from __future__ import annotations

from typing import Any

import pytest
from imageclassifier_operator.api import InvalidSpecError

from tests.unit.operator.manifests.building import built

_HOST = {"host": "pets.example.org"}


def _ingress(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = built({"ingress": {**_HOST, **fields}})["Ingress"]
    return found


def test_without_the_field_there_is_no_ingress() -> None:
    assert "Ingress" not in built()


def test_the_ingress_refers_to_the_port_of_the_service_by_its_name() -> None:
    children = built({"ingress": _HOST, "service": {"port": 8080}}, name="pets.v2")
    (rule,) = children["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = children["Service"]
    assert path["backend"]["service"] == {
        "name": service["metadata"]["name"],
        "port": {"name": service["spec"]["ports"][0]["name"]},
    }
    assert (rule["host"], path["path"], path["pathType"]) == ("pets.example.org", "/", "Prefix")


def test_tls_is_for_the_host_of_the_rule() -> None:
    assert "tls" not in _ingress()["spec"]
    tls = [{"hosts": ["pets.example.org"], "secretName": "pets-tls"}]
    assert _ingress(tlsSecretName="pets-tls")["spec"]["tls"] == tls


def test_without_a_class_the_cluster_chooses_one() -> None:
    assert "ingressClassName" not in _ingress()["spec"]
    assert _ingress(className="haproxy")["spec"]["ingressClassName"] == "haproxy"


@pytest.mark.parametrize(
    "host", ["pets", "pets.example.org", "*.example.org", "xn--bcher-kva.example", "3.pets.example.org", "a.1a"]
)
def test_a_host_name_may_have_a_wildcard_as_its_first_label(host: str) -> None:
    assert _ingress(host=host)["spec"]["rules"][0]["host"] == host


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "Pets.example.org",
        "pets.*.org",
        "*pets.example.org",
        "pets.example.org.",
        "192.0.2.10",
        "*.0.2.10",
        "pets..example.org",
        "-pets.example.org",
        "pets.example.org:443",
        "https://pets.example.org",
        "[2001:db8::1]",
    ],
)
def test_what_is_not_a_host_name_is_rejected(host: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"spec\.ingress\.host: must be a lower-case DNS name"):
        _ingress(host=host)


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/api/v1", "/.well-known/pets", "/~pets/a-b_c.d"])
def test_a_path_is_absolute(path: str) -> None:
    assert _ingress(path=path)["spec"]["rules"][0]["http"]["paths"][0]["path"] == path


@pytest.mark.parametrize(
    "path",
    ["", "api", "//", "/api//v1", "/api/./v1", "/api/../v1", "/..", "/.", "/a%2fb", "/a b", "/a?b", "/(.*)"],
)
def test_a_path_that_the_api_server_or_controllers_reject_is_rejected(path: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"spec\.ingress\.path: must be an absolute path"):
        _ingress(path=path)


def _route(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = built({"gateway": {"parentRefs": [{"name": "public"}], **fields}})["HTTPRoute"]
    return found


def test_without_the_field_there_is_no_route() -> None:
    assert "HTTPRoute" not in built()


def test_the_route_refers_to_the_port_of_the_service() -> None:
    spec = {"gateway": {"parentRefs": [{"name": "public"}]}, "service": {"port": 8080}}
    children = built(spec, name="pets.v2")
    (rule,) = children["HTTPRoute"]["spec"]["rules"]
    service = children["Service"]
    port = service["spec"]["ports"][0]["port"]
    assert rule == {"backendRefs": [{"name": service["metadata"]["name"], "port": port}]}


def test_a_gateway_is_named_as_in_the_spec() -> None:
    parents = [
        {"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443},
        {"name": "internal"},
    ]
    assert _route(parentRefs=parents)["spec"]["parentRefs"] == parents


def test_without_host_names_the_listeners_decide() -> None:
    assert "hostnames" not in _route()["spec"]
    assert _route(hostnames=["*.example.org"])["spec"]["hostnames"] == ["*.example.org"]


@pytest.mark.parametrize(
    ("parents", "valid"),
    [
        ([{"name": "a"}, {"name": "b"}, {"name": "a", "namespace": "x"}, {"name": "a", "namespace": "y"}], True),
        ([{"name": "a", "sectionName": "http"}, {"name": "a", "sectionName": "https"}], True),
        ([{"name": "a"}, {"name": "a"}], False),
        ([{"name": "a", "port": 80}, {"name": "a", "port": 443}], False),
        ([{"name": "a", "sectionName": "http"}, {"name": "a"}], False),
        ([{"name": "a", "sectionName": "http"}, {"name": "b"}, {"name": "a", "sectionName": "http"}], False),
    ],
)
def test_two_references_to_a_gateway_require_different_listeners(
    parents: list[dict[str, Any]], valid: bool
) -> None:
    if valid:
        assert len(_route(parentRefs=parents)["spec"]["parentRefs"]) == len(parents)
    else:
        with pytest.raises(
            InvalidSpecError, match="parentRefs of the same Gateway require different sectionNames"
        ):
            _route(parentRefs=parents)

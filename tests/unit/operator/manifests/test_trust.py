"""CA certificates and proxies of the pods, from the spec and from the operator's configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import crd
from tests.unit.operator.manifests.building import CONFIG, FETCHED, built, template

_PROXIES = {
    "HTTPS_PROXY": "http://proxy.example.org:3128",
    "HTTP_PROXY": "http://proxy.example.org:3129",
    "NO_PROXY": ".svc,10.0.0.0/8",
}
_CONFIGURED = replace(
    CONFIG,
    runtime_https_proxy=_PROXIES["HTTPS_PROXY"],
    runtime_http_proxy=_PROXIES["HTTP_PROXY"],
    runtime_no_proxy=_PROXIES["NO_PROXY"],
    runtime_ca_config_map="corporate-ca",
)


def _containers(spec: dict[str, Any] | None = None, **options: Any) -> list[dict[str, Any]]:
    assert not crd.schema_errors({"metadata": {}, "spec": spec or {}})
    pod = template({**FETCHED, **(spec or {})}, **options)["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def _proxies(container: dict[str, Any]) -> dict[str, str]:
    env = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert len(env) == len(container["env"]), "a variable that is listed twice"
    return {name: value for name, value in env.items() if name.upper().endswith("_PROXY")}


def _ca(spec: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """Return the names of the ConfigMaps with CA certificates, and check that every container reads them."""
    found = [volume for volume in template(spec, **options)["spec"]["volumes"] if "configMap" in volume]
    for container in _containers(spec, **options):
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        names = {volume["name"] for volume in found}
        mounts = [mount for mount in container["volumeMounts"] if mount["name"] in names]
        assert [mount["mountPath"] for mount in mounts] == [
            value for name, value in env.items() if name == "IMAGECLASSIFIER_CA_DIR"
        ]
        assert all(mount["readOnly"] for mount in mounts)
    assert all(volume["configMap"]["optional"] for volume in found)
    return [volume["configMap"]["name"] for volume in found]


def test_without_settings_the_pod_is_unchanged() -> None:
    assert _ca() == []
    assert [_proxies(container) for container in _containers()] == [{}, {}]
    empty: dict[str, Any] = {"runtime": {"env": []}}
    assert template(empty, config=replace(CONFIG, runtime_https_proxy="", runtime_ca_config_map="")) == template()


def test_both_containers_mount_the_config_map_of_the_spec() -> None:
    assert _ca({"runtime": {"caConfigMapRef": {"name": "pets-ca"}}}) == ["pets-ca"]


def test_the_config_map_of_the_spec_takes_precedence_over_the_configured_one() -> None:
    assert _ca(config=_CONFIGURED) == ["corporate-ca"]
    assert _ca({"runtime": {"caConfigMapRef": {"name": "pets-ca"}}}, config=_CONFIGURED) == ["pets-ca"]


def test_the_path_has_the_name_of_the_config_map_so_that_messages_show_it() -> None:
    (model, _) = _containers({"runtime": {"caConfigMapRef": {"name": "pets-ca"}}})
    (mount,) = [mount for mount in model["volumeMounts"] if mount["name"] == "ca-certificates"]
    assert mount["mountPath"].endswith("/pets-ca")


def test_both_containers_get_the_configured_proxies() -> None:
    assert [_proxies(container) for container in _containers(config=_CONFIGURED)] == [_PROXIES, _PROXIES]


@pytest.mark.parametrize("value", ["http://other.example.org:8080", ""])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_of_the_spec_replaces_the_configured_one_in_any_case(name: str, value: str) -> None:
    spec = {"runtime": {"env": [{"name": name, "value": value}]}}
    others = {key: value for key, value in _PROXIES.items() if key != "HTTPS_PROXY"}
    assert [_proxies(container) for container in _containers(spec, config=_CONFIGURED)] == 2 * [
        {**others, name: value}
    ]


def test_variables_of_the_spec_may_refer_to_the_configured_ones() -> None:
    spec = {"runtime": {"env": [{"name": "OTHER", "value": "$(HTTPS_PROXY)"}]}}
    for container in _containers(spec, config=_CONFIGURED):
        names = [entry["name"] for entry in container["env"]]
        assert names.index("HTTPS_PROXY") < names.index("OTHER")


def test_a_dollar_sign_in_a_configured_proxy_is_not_expanded() -> None:
    config = replace(CONFIG, runtime_https_proxy="http://user:$(HOME)$@proxy.example.org:3128")
    for container in _containers(config=config):
        assert _proxies(container) == {"HTTPS_PROXY": "http://user:$$(HOME)$$@proxy.example.org:3128"}


def test_a_network_policy_allows_the_ports_of_the_configured_proxies() -> None:
    [rule] = built({"networkPolicy": {}}, config=_CONFIGURED)["NetworkPolicy"]["spec"]["egress"]
    assert {3128, 3129} <= {port["port"] for port in rule["ports"]}
    spec = {"networkPolicy": {}, "runtime": {"env": [{"name": "https_proxy"}]}}
    [rule] = built(spec, config=_CONFIGURED)["NetworkPolicy"]["spec"]["egress"]
    assert {3128, 3129} & {port["port"] for port in rule["ports"]} == {3129}

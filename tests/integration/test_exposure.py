"""Ingresses on a real API server, without a controller: what controllers report is written by the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator_harness import (
    Api,
    OperatorCluster,
    classifier,
    condition,
    eventually,
    no_writes,
    reconciled,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


@pytest.fixture
def api(cluster: OperatorCluster) -> Api:
    return cluster.fresh_namespace()


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: OperatorCluster) -> Iterator[subprocess.Popen[str]]:
    with cluster.operator() as process:
        yield process


def test_an_ingress_is_created_reports_its_address_and_is_deleted(cluster: OperatorCluster, api: Api) -> None:
    ingress = {"host": "pets.example.org", "className": "haproxy", "tlsSecretName": "pets-tls"}
    api.apply(classifier(ingress=ingress))
    live = reconciled(api)
    assert condition(live, "IngressReady")["reason"] == "AddressPending"
    created = api.get("ingress", "pets")
    assert created is not None
    assert created["spec"]["ingressClassName"] == "haproxy"
    api.patch_status("ingress", "pets", {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}})
    ready = eventually(
        lambda: (found := condition(api.get("ic", "pets"), "IngressReady"))["status"] == "True" and found,
        what="the address in the condition",
    )
    assert "192.0.2.10" in ready["message"]
    assert no_writes(cluster, seconds=3)

    api.patch("ic", "pets", {"spec": {"ingress": None}})
    eventually(lambda: api.get("ingress", "pets") is None, what="no Ingress")
    eventually(
        lambda: condition(api.get("ic", "pets"), "IngressReady")["reason"] == "NotRequested",
        what="IngressReady NotRequested",
    )


def test_an_edited_ingress_is_restored(cluster: OperatorCluster, api: Api) -> None:
    api.apply(classifier(ingress={"host": "pets.example.org"}))
    reconciled(api)
    api.patch("ingress", "pets", {"spec": {"rules": [{"host": "other.example.org"}]}})

    def restored() -> bool:
        live = api.get("ingress", "pets")
        assert live is not None
        (rule,) = live["spec"]["rules"]
        return bool(rule["host"] == "pets.example.org" and rule["http"]["paths"][0]["path"] == "/")

    eventually(restored, what="the rule of the spec")
    assert no_writes(cluster, seconds=3)

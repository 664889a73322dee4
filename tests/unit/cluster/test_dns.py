"""The names that pods resolve."""

from __future__ import annotations

from typing import Any

from e2e.cluster.dns import hosts


def _service(name: str, address: str, namespace: str = "vision") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": address}}


def _endpoints(name: str, *addresses: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"namespace": "vision", "name": name}, "subsets": [{"addresses": list(addresses)}]}


def test_a_service_has_its_long_and_its_short_name() -> None:
    assert (
        hosts([_service("pets", "10.96.0.7")], []) == "10.96.0.7 pets.vision.svc.cluster.local pets.vision.svc\n"
    )


def test_a_headless_service_has_the_addresses_of_its_ready_pods() -> None:
    pods = _endpoints("db", {"ip": "10.88.0.9", "hostname": "db-0"}, {"ip": "10.88.0.8"})
    assert hosts([_service("db", "None")], [pods]).splitlines() == [
        "10.88.0.8 db.vision.svc.cluster.local db.vision.svc",
        "10.88.0.9 db-0.db.vision.svc.cluster.local db-0.db.vision.svc",
        "10.88.0.9 db.vision.svc.cluster.local db.vision.svc",
    ]


def test_endpoints_of_a_service_with_an_address_of_its_own_do_not_show() -> None:
    text = hosts([_service("pets", "10.96.0.7")], [_endpoints("pets", {"ip": "10.88.0.9"})])
    assert "10.88.0.9" not in text


def test_services_without_an_address_and_endpoints_without_a_service_have_no_name() -> None:
    external: dict[str, Any] = {
        "metadata": {"namespace": "vision", "name": "out"},
        "spec": {"type": "ExternalName"},
    }
    empty: dict[str, Any] = {"metadata": {"namespace": "vision", "name": "empty"}}
    assert hosts([external, _service("empty", "None")], [empty, _endpoints("lost", {"ip": "10.88.0.9"})]) == ""

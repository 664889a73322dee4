"""The settings of the cache: only in the server, with the credentials from the Secret."""

from __future__ import annotations

from typing import Any

import pytest

from tests import crd
from tests.unit.operator.manifests.building import FETCHED, template

_URL = "rediss://redis.vision.svc:6380/1"
_LOGIN = {"IMAGECLASSIFIER_CACHE_REDIS_PASSWORD": "x", "IMAGECLASSIFIER_CACHE_REDIS_USERNAME": "pets"}


def _pod(cache: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    assert not crd.schema_errors({"metadata": {}, "spec": {"cache": cache}})
    pod = template({**FETCHED, "cache": cache})["spec"]
    (model,), (server,) = pod["initContainers"], pod["containers"]
    return model, server


def _plain(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


@pytest.mark.parametrize("login", [{}, _LOGIN], ids=["without login", "with login"])
def test_the_credentials_come_from_the_secret(login: dict[str, str]) -> None:
    redis = {"url": _URL, "ttlSeconds": 60, **({"credentialsSecretRef": {"name": "redis-login"}} if login else {})}
    _, server = _pod({"maxBytes": "2Mi", "redis": redis})
    references = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in server["env"] if "valueFrom" in entry
    }
    assert set(references) == set(login)
    assert all(reference["name"] == "redis-login" for reference in references.values())
    optional = {reference["key"]: reference.get("optional", False) for reference in references.values()}
    assert not login or optional == {"password": False, "username": True}


def test_the_init_container_gets_no_settings_of_the_cache() -> None:
    model, _ = _pod({"redis": {"url": _URL, "credentialsSecretRef": {"name": "redis-login"}}})
    assert "redis" not in str(model).lower()
    assert "CACHE" not in str(model)

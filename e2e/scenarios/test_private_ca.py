"""A model from a server of a private CA, which a ConfigMap makes trusted, and through a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.model import digest
from imageclassifier_runtime.model.folder import bundled

from e2e import private_servers
from e2e.classifiers import (
    condition,
    manifest,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)
from e2e.cluster.pki import Authority
from e2e.model_store import BUNDLED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from e2e.kube import Kube


def test_a_server_of_a_private_ca_is_trusted_once_its_config_map_exists(
    kube: Kube, namespace: str, images: Mapping[str, str], photograph: bytes, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority", "ca")
    kube.apply(*private_servers.manifests(namespace, images["runtime"], authority))
    private_servers.wait_for_servers(kube, namespace)
    source = bundled(BUNDLED)
    assert source is not None
    spec: dict[str, Any] = {
        "model": {"uri": private_servers.model_url(namespace), "sha256": digest.of_folder(source)}
    }
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_for_reason(kube, "pets", "ModelUnreachable", namespace=namespace)
    message = condition(live, "Ready")["message"]
    assert "certificate verify failed" in message
    assert "spec.runtime.caConfigMapRef" in message

    spec["runtime"] = {"caConfigMapRef": {"name": "corporate-ca"}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_for_reason(
        kube, "pets", "CACertificatesInvalid", containing="/corporate-ca is empty", namespace=namespace
    )
    assert "the ConfigMap corporate-ca in this namespace" in condition(live, "Ready")["message"]
    assert condition(live, "Stalled")["status"] == "True"
    assert private_servers.requested_tunnels(kube, namespace) == []

    kube.apply(private_servers.ca_config_map(namespace, "corporate-ca", authority))
    # The proxy is also a change of the template: the waiting pod would see the ConfigMap only after a minute.
    spec["runtime"]["env"] = [{"name": "HTTPS_PROXY", "value": private_servers.proxy_url(namespace)}]
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert live["status"]["model"]["sha256"] == digest.of_folder(source)
    assert set(private_servers.requested_tunnels(kube, namespace)) == {
        f"{private_servers.STORE}.{namespace}.svc:443"
    }
    wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)

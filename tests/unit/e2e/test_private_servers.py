"""The private store and the proxy of the scenarios: hardened pods, and a certificate for the store's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from e2e.cluster.pki import Authority
from e2e.private_servers import ca_config_map, manifests, model_url, proxy_url
from tests import pod_security

if TYPE_CHECKING:
    from pathlib import Path


def test_the_pods_meet_the_restricted_pod_security_standard(tmp_path: Path) -> None:
    found = manifests("vision", "imageclassifier-runtime:0.1.0", Authority(tmp_path, "ca"))
    pods = [item["spec"]["template"]["spec"] for item in found if item["kind"] == "Deployment"]
    assert len(pods) == 2
    assert [pod_security.violations(pod) for pod in pods] == [[], []]


def test_the_certificate_is_for_the_host_of_the_url(tmp_path: Path) -> None:
    secret, *_ = manifests("vision", "imageclassifier-runtime:0.1.0", Authority(tmp_path, "ca"))
    certificate = x509.load_pem_x509_certificate(secret["stringData"]["tls.crt"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["private-store.vision.svc"]
    assert model_url("vision").startswith("https://private-store.vision.svc/")
    assert proxy_url("vision") == "http://proxy.vision.svc:3128"


def test_the_config_map_has_the_certificate_of_the_ca(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    found = ca_config_map("vision", "corporate-ca", authority)["data"]["ca.crt"]
    assert x509.load_pem_x509_certificate(found.encode()).subject == (
        x509.load_pem_x509_certificate(authority.certificate.read_bytes()).subject
    )

"""Certificates identify a component and limit its use."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from e2e.cluster.pki import Authority, write_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki", "ca")


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_client_certificate_has_user_and_groups(authority: Authority) -> None:
    certificate = _read(authority.issue("kubelet", user="system:node:n", groups=["system:nodes"]))
    certificate.verify_directly_issued_by(_read(authority.certificate))
    subject = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert subject == {NameOID.COMMON_NAME: "system:node:n", NameOID.ORGANIZATION_NAME: "system:nodes"}
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_server_certificate_has_names_and_addresses(authority: Authority) -> None:
    certificate = _read(authority.issue("server", user="server", hosts=["10.88.0.1", "kubernetes.default"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.88.0.1")]
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usage


def test_keys_are_readable_only_by_their_owner(authority: Authority) -> None:
    certificate = authority.issue("client", user="client")
    for key in (authority.key, certificate.with_suffix(".key")):
        assert key.stat().st_mode & 0o777 == 0o600


def test_an_issued_certificate_is_kept(authority: Authority, tmp_path: Path) -> None:
    first = authority.issue("client", user="client").read_bytes()
    assert Authority(tmp_path / "pki", "ca").issue("client", user="client").read_bytes() == first


def test_a_kubeconfig_has_one_context_and_needs_no_other_file(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    certificate = authority.issue("admin", user="admin")
    write_kubeconfig(
        path, server="https://h:1", authority=authority.certificate, certificate=certificate, context="c"
    )
    config = json.loads(path.read_text())
    assert [context["name"] for context in config["contexts"]] == ["c"] == [config["current-context"]]
    assert set(config["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert path.stat().st_mode & 0o777 == 0o600

"""Creates certificate authorities, and the certificates that components authenticate with."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_YEAR = datetime.timedelta(days=365)
_CLOCK_SKEW = datetime.timedelta(minutes=5)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.touch(mode=mode, exist_ok=True)
    path.chmod(mode)
    path.write_bytes(data)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    key_format = serialization.PrivateFormat.TraditionalOpenSSL
    _write(path, key.private_bytes(serialization.Encoding.PEM, key_format, serialization.NoEncryption()), 0o600)


def signing_key(folder: Path, name: str) -> None:
    """Create a key pair (`name.key`, `name.pub`) for service account tokens."""
    if (folder / f"{name}.pub").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / f"{name}.key", key)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write(folder / f"{name}.pub", public, 0o644)


class Authority:
    """A certificate authority in a folder, created on first use."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.certificate.exists():
            self._create(f"imageclassifier-{name}")
        self._ca = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        key = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._ca_key = key

    def _create(self, common_name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(ca=True), True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        certificate = builder.sign(key, hashes.SHA256())
        _write_key(self.key, key)
        _write(self.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)

    def issue(self, name: str, *, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> Path:
        """Issue a client certificate, also for a server if it has hosts; returns the certificate's path.

        The key is next to it with the suffix `.key`. An existing certificate is kept.
        """
        path = self._folder / f"{name}.crt"
        if path.exists():
            return path
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
                x509.NameAttribute(NameOID.COMMON_NAME, user),
            ]
        )
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(subject, self._ca.subject, key)
        if hosts:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(ca=False), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key())
        builder = builder.add_extension(authority, False)
        certificate = builder.sign(self._ca_key, hashes.SHA256())
        _write_key(path.with_suffix(".key"), key)
        _write(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return path


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _YEAR)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_kubeconfig(path: Path, *, server: str, authority: Path, certificate: Path, context: str) -> None:
    """Write a self-contained kubeconfig with one context, as JSON, which is valid YAML."""

    def embed(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": embed(authority)}}
        ],
        "users": [
            {
                "name": certificate.stem,
                "user": {
                    "client-certificate-data": embed(certificate),
                    "client-key-data": embed(certificate.with_suffix(".key")),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": certificate.stem}}],
        "current-context": context,
    }
    text = json.dumps(config, indent=1) + "\n"
    if not path.exists() or path.read_text() != text:
        _write(path, text.encode(), 0o600)

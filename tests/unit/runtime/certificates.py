"""Certificates for servers of tests: a self-signed one for loopback, and those of a private CA."""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from e2e.cluster.pki import Authority

if TYPE_CHECKING:
    from pathlib import Path


def write_certificate(folder: Path) -> Path:
    """Write a certificate for 127.0.0.1 with its key into one file and return it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "store.pem"
    file.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return file


def issue_certificate(folder: Path, *hosts: str) -> tuple[Path, Path]:
    """Create a CA that issues a certificate for `hosts`.

    Returns the folder with the CA's certificate, for CA_DIR, and one file with the server's certificate and key.
    """
    authority = Authority(folder / "authority", "ca")
    issued = authority.issue("server", user="server", hosts=hosts)
    server = folder / "server.pem"
    server.write_bytes(issued.read_bytes() + issued.with_suffix(".key").read_bytes())
    trusted = folder / "trusted"
    trusted.mkdir()
    (trusted / "ca.crt").write_bytes(authority.certificate.read_bytes())
    return trusted, server

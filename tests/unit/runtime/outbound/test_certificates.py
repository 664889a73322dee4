"""Which files of CA_DIR are read, and what is reported if they cannot be used."""

from __future__ import annotations

import json
import os
import ssl
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.errors import CaCertificatesError
from imageclassifier_runtime.outbound import certificates
from imageclassifier_runtime.outbound.certificates import authorities, client_context

from tests.unit.runtime.certificates import issue_certificate, write_certificate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    ca_dir, _ = issue_certificate(tmp_path, "models.example.org")
    return (ca_dir / "ca.crt").read_text()


@pytest.fixture
def ca_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "certificates"
    folder.mkdir()
    return folder


def count(text: str) -> int:
    return text.count("-----BEGIN CERTIFICATE-----")


def problem(ca_dir: Path) -> str:
    with pytest.raises(CaCertificatesError) as caught:
        authorities(ca_dir)
    return str(caught.value).replace(str(ca_dir), "FOLDER")


def test_a_mounted_config_map_is_read_through_its_links(ca_dir: Path, certificate: str) -> None:
    version = ca_dir / "..2026_11_26"
    version.mkdir()
    for name in ("ca.crt", "other.pem", "readme.txt", "keystore.jks"):
        (version / name).write_text(certificate if name != "readme.txt" else "text")
        (ca_dir / name).symlink_to(f"..data/{name}")
    (ca_dir / "..data").symlink_to(version.name)
    assert count(authorities(ca_dir)) == 2


def test_hidden_files_and_folders_are_not_read(ca_dir: Path, certificate: str) -> None:
    (ca_dir / ".hidden.crt").write_text("no certificate")
    (ca_dir / "folder.crt").mkdir()
    (ca_dir / "ca.crt").write_text(certificate)
    assert count(authorities(ca_dir)) == 1


def test_a_bundle_with_comments_line_ends_of_windows_and_repetitions_is_read(
    ca_dir: Path, certificate: str
) -> None:
    text = f"# Größe: CA für München\n{certificate}\n\nkommentar\n{certificate}".replace("\n", "\r\n")
    (ca_dir / "bundle.pem").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (ca_dir / "latin.pem").write_bytes("Größe\n".encode("latin-1") + certificate.encode())
    assert count(authorities(ca_dir)) == 3
    assert client_context(ca_dir).cert_store_stats()["x509_ca"] >= 1


def test_the_context_verifies_servers_and_trusts_the_system_too(
    ca_dir: Path, certificate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(write_certificate(tmp_path)))
    (ca_dir / "ca.crt").write_text(certificate)
    context = client_context(ca_dir)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    names = {entry["subject"][0][0][1] for entry in context.get_ca_certs()}
    assert names >= {"store", "imageclassifier-ca"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is not a file of valid certificates in PEM"),
        ("no certificate", "is not a file of valid certificates in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "is not a file of valid certificates"),
        ("{certificate}-----BEGIN CERTIFICATE-----\nAAAA\n", "is not a file of valid certificates in PEM"),
    ],
)
def test_an_invalid_file_is_named_with_the_remedy(
    ca_dir: Path, certificate: str, content: str, expected: str
) -> None:
    (ca_dir / "a.crt").write_text(certificate)
    (ca_dir / "b.crt").write_text(content.format(certificate=certificate))
    message = problem(ca_dir)
    assert message.startswith(f"IMAGECLASSIFIER_CA_DIR: FOLDER/b.crt {expected}")
    assert "replace or remove it" in message


def test_a_certificate_in_der_is_named_with_the_command_that_converts_it(ca_dir: Path, certificate: str) -> None:
    (ca_dir / "ca.crt").write_bytes(ssl.PEM_cert_to_DER_cert(certificate))
    assert "convert it from DER with openssl x509 -inform der" in problem(ca_dir)


def test_a_file_that_cannot_be_read_is_named(ca_dir: Path, certificate: str) -> None:
    (ca_dir / "ca.crt").write_text(certificate)
    (ca_dir / "lost.pem").symlink_to("nowhere")
    assert problem(ca_dir) == "IMAGECLASSIFIER_CA_DIR: FOLDER/lost.pem cannot be read: No such file or directory"


def test_a_pipe_is_not_read(ca_dir: Path) -> None:
    os.mkfifo(ca_dir / "ca.crt")
    assert problem(ca_dir) == "IMAGECLASSIFIER_CA_DIR: FOLDER/ca.crt cannot be read: it is not a file"


def test_the_size_of_all_files_is_bounded(ca_dir: Path, certificate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MAX_BYTES", 2 * len(certificate))
    for name in ("a.crt", "b.crt"):
        (ca_dir / name).write_text(certificate)
    assert count(authorities(ca_dir)) == 2
    (ca_dir / "c.pem").write_text(certificate)
    assert problem(ca_dir).startswith(f"IMAGECLASSIFIER_CA_DIR: FOLDER has more than {2 * len(certificate)} bytes")


def test_a_folder_without_certificates_is_named(ca_dir: Path) -> None:
    # what the kubelet mounts for an optional ConfigMap that does not exist
    (ca_dir / "..2026_11_26").mkdir()
    (ca_dir / "..data").symlink_to("..2026_11_26")
    assert problem(ca_dir) == "IMAGECLASSIFIER_CA_DIR: FOLDER is empty"
    (ca_dir / "ca.txt").touch()
    assert problem(ca_dir) == "IMAGECLASSIFIER_CA_DIR: FOLDER has no file *.crt or *.pem"
    missing = problem(ca_dir / "missing")
    assert missing == "IMAGECLASSIFIER_CA_DIR: FOLDER is not a readable folder: No such file or directory"


@pytest.mark.parametrize("command", ["fetch", "serve"])
def test_neither_command_starts_without_them(
    command: str, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setenv("IMAGECLASSIFIER_TERMINATION_LOG", str(log))
    folder = tmp_path / "fetched" if command == "fetch" else model_path
    assert main([command, "--model-dir", str(folder), "--ca-dir", str(tmp_path / "corporate-ca")]) == 2
    entry = json.loads(log.read_text())
    assert entry["reason"] == "CACertificatesInvalid"
    assert str(tmp_path / "corporate-ca") in entry["message"]

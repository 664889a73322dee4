"""Fetching over TLS: certificates are verified, and the deadline applies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import UNREACHABLE

from tests.unit.runtime.certificates import issue_certificate, write_certificate
from tests.unit.runtime.fetch.fetching import fetch, refused
from tests.unit.runtime.fetch.tls_store import headers_without_end, serving, whole

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_runtime.settings.commands import FetchSettings


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path)


def test_a_model_is_fetched_over_tls(
    settings: FetchSettings, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate, whole) as url:
        assert fetch(settings, f"{url}/m.onnx").classes == 1000


def test_an_untrusted_certificate_is_rejected(settings: FetchSettings, certificate: Path) -> None:
    with serving(certificate, whole) as url:
        error = refused(settings, f"{url}/m.onnx")
    assert (error.reason, "certificate verify failed" in error.message) == (UNREACHABLE, True)


def test_slow_headers_time_out_at_the_deadline(
    settings: FetchSettings, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    start = time.monotonic()
    with serving(certificate, headers_without_end) as url:
        error = refused(settings, f"{url}/m.onnx", timeout_seconds=1.5)
    assert (error.reason, "not fetched within 1.5 s" in error.message) == (UNREACHABLE, True)
    assert time.monotonic() - start < 30


def test_a_server_of_a_private_ca_is_trusted_with_its_folder(settings: FetchSettings, tmp_path: Path) -> None:
    ca_dir, server = issue_certificate(tmp_path, "127.0.0.1")
    with serving(server, whole) as url:
        error = refused(settings, f"{url}/m.onnx")
        assert "unable to get local issuer certificate" in error.message
        assert fetch(settings, f"{url}/m.onnx", ca_dir=ca_dir).classes == 1000


def test_the_authorities_of_the_system_stay_trusted(
    settings: FetchSettings, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    ca_dir, _ = issue_certificate(tmp_path, "127.0.0.1")
    with serving(certificate, whole) as url:
        assert fetch(settings, f"{url}/m.onnx", ca_dir=ca_dir).classes == 1000


def test_a_private_ca_does_not_make_another_name_valid(settings: FetchSettings, tmp_path: Path) -> None:
    ca_dir, server = issue_certificate(tmp_path, "models.example.org")
    with serving(server, whole) as url:
        error = refused(settings, f"{url}/m.onnx", ca_dir=ca_dir)
    assert "IP address mismatch" in error.message

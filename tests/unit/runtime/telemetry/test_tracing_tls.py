"""Traces over TLS: only a receiver with a trusted certificate gets spans and the key."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.tracing import TracingSettings
from imageclassifier_runtime.telemetry.sender import Sender

from tests.unit.runtime.certificates import write_certificate
from tests.unit.runtime.telemetry.traces import finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from e2e.otlp import Receiver
    from tests.unit.runtime.support import Running


@pytest.fixture
def secure(receiver: Receiver, tmp_path: Path) -> Path:
    """Enable TLS in the receiver; returns its certificate."""
    certificate = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True, do_handshake_on_connect=False)
    return certificate


def settings_of(receiver: Receiver, certificate: Path | None) -> TracingSettings:
    endpoint = receiver.url.replace("http:", "https:")
    return TracingSettings(endpoint=endpoint, certificate=certificate, headers={"api-key": "s3cret"})


async def test_a_receiver_with_the_configured_certificate_gets_the_spans(
    make_server: Callable[..., Running], receiver: Receiver, secure: Path
) -> None:
    server = make_server(tracing=settings_of(receiver, secure))
    await server.client.get("/v2")
    finish(server)
    assert [span.name for span in receiver.spans] == ["GET /v2"]


@pytest.mark.usefixtures("secure")
async def test_a_receiver_with_another_certificate_gets_nothing(
    make_server: Callable[..., Running], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(tracing=settings_of(receiver, None))
    assert (await server.client.get("/v2")).status_code == 200
    finish(server)
    assert receiver.bodies == []
    (record,) = [record for record in caplog.records if record.message == "Trace export failed"]
    assert "CERTIFICATE_VERIFY_FAILED" in record.fields["cause"]  # type: ignore[attr-defined]


def test_an_invalid_certificate_is_rejected_at_the_start(receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(SettingsError, match="certificates of OTEL_EXPORTER_OTLP"):
        Sender(settings_of(receiver, file))

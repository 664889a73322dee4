"""Fixtures of the runtime's tests: a server in this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from imageclassifier_runtime import serve
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.tracing import TracingSettings
from imageclassifier_runtime.web.app import create_app

from e2e.otlp import Receiver
from tests.unit.runtime.support import Running, write_model, write_pictures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from imageclassifier_runtime.protocols.state import ServerState


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "colours")


@pytest.fixture(scope="session")
def quantized_path(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with an int8 graph, created by the command from plain pictures."""
    pictures = write_pictures(tmp_path_factory.mktemp("pictures"))
    out = tmp_path_factory.mktemp("quantized") / "colours"
    arguments = ["--pictures", str(pictures), "--out", str(out), "--calibrate", "12", "--min-speedup", "0"]
    assert main(["quantize", str(model_path), *arguments, "--labels-from-folders"]) == 0
    return out


@pytest.fixture
def make_state(model_path: Path) -> Iterator[Callable[..., ServerState]]:
    started = []

    def make(**changes: Any) -> ServerState:
        settings = ServeSettings(model_dir=model_path, memory_limit_bytes=1 << 30, **changes)
        state, workers = serve.build(settings, model_folder.load(model_path), threads=1)
        started.append((state, workers))
        state.lifecycle.ready = True
        return state

    yield make
    for state, workers in started:
        workers.shutdown()
        if state.tracing is not None:
            state.tracing.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real trace receiver on loopback."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
async def make_server(make_state: Callable[..., ServerState]) -> AsyncIterator[Callable[..., Running]]:
    clients, caches = [], []

    def make(**changes: Any) -> Running:
        state = make_state(**changes)
        transport = httpx.ASGITransport(create_app(state))
        client = httpx.AsyncClient(transport=transport, base_url="http://server", timeout=60)
        clients.append(client)
        caches.append(state.cache)
        return Running(state, client)

    yield make
    for client in clients:
        await client.aclose()
    for cache in caches:
        if cache is not None:
            await cache.close()


@pytest.fixture
def traced(make_server: Callable[..., Running], receiver: Receiver) -> Callable[..., Running]:
    """Returns a function that creates servers that send their spans to the receiver immediately."""

    def make(**changes: object) -> Running:
        settings = {"endpoint": receiver.url, "delay_seconds": 0.02, **changes}
        return make_server(tracing=TracingSettings(**settings))  # type: ignore[arg-type]

    return make


@pytest.fixture
def server(make_server: Callable[..., Running]) -> Running:
    return make_server()

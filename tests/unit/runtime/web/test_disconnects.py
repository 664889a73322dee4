"""Clients that disconnect, and memory that requests must free when they end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import re
import socket
import urllib.request
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
import uvicorn
from imageclassifier_runtime.errors import ImageUndecodableError, RequestError
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.decode import decode
from imageclassifier_runtime.protocols.request_context import Image as ImageItem
from imageclassifier_runtime.protocols.request_context import RequestContext, handle
from imageclassifier_runtime.request import scope_keys
from imageclassifier_runtime.request.paths import NATIVE
from imageclassifier_runtime.scheduling.admission import Admission, Sizes
from imageclassifier_runtime.scheduling.resource_pools import Lease
from imageclassifier_runtime.scheduling.workers import Workers
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.web.connection import bounded_protocol
from PIL import Image
from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from tests.unit.runtime.process import Served
from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from tests.unit.runtime.support import Running

DISCONNECTING = 20
HEAD = b"POST /api/v1/classify HTTP/1.1\r\nHost: h\r\nContent-Type: image/png\r\n"


@pytest.fixture
def without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection, which is rare in a server: memory must be freed without it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def empty_response(_: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def expensive_image() -> bytes:
    noise = np.random.default_rng(0).integers(0, 4, (2500, 2500, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "png", compress_level=1)
    return out.getvalue()


def truncated_image() -> bytes:
    data = image_bytes(size=(300, 300))
    return data[: len(data) // 2]


@pytest.mark.parametrize("batching", [1, 4])
def test_requests_of_disconnected_clients_are_cancelled(model_path: Path, batching: int) -> None:
    data = expensive_image()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(data) + data
    served = Served(MODEL_DIR=model_path, THREADS=1, MAX_BATCH_SIZE=batching)
    try:
        clients = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(DISCONNECTING)]
        for client in clients:
            client.sendall(request)
        for client in clients:
            client.close()
        while json.loads(get(served, "/api/v1/health"))["waiting"]:
            pass
        # The image of a connected client is processed after those that had already reached a worker.
        connection = served.connect()
        connection.request("POST", "/api/v1/classify", image_bytes(), {"Content-Type": "image/png"})
        assert connection.getresponse().status == 200
        connection.close()
        metrics = get(served, "/metrics")
    finally:
        served.kill()
    found = re.search(r'requests_total\{code="499",protocol="native"\} (\d+)', metrics)
    assert found is not None
    # Requests that had reached a worker, or finished, before their client disconnected.
    processed = DISCONNECTING - int(found[1])
    assert processed <= DISCONNECTING // 2


def get(served: Served, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}{path}", timeout=20) as response:
        return str(response.read(), "utf-8")


@pytest.mark.usefixtures("without_garbage_collection")
@pytest.mark.parametrize("fails", [False, True])
async def test_the_work_of_a_request_is_freed_with_its_response(*, fails: bool) -> None:
    class Pixels:
        pass

    held: list[weakref.ref[Pixels]] = []

    def work() -> None:
        pixels = Pixels()
        held.append(weakref.ref(pixels))
        if fails:
            raise ImageUndecodableError("broken")

    workers = Workers(1)
    room = Admission(sizes=Sizes(bodies=10, pixels=10), workers=workers, max_queue=2, queue_timeout=30)
    with contextlib.suppress(RequestError):
        await room.run(Lease(), peak=1, work=work, limit=30)
    assert held[0]() is None
    workers.shutdown()


@pytest.mark.usefixtures("without_garbage_collection")
async def test_pixels_are_freed_before_their_memory_is_granted_to_others() -> None:
    workers = Workers(1)
    room = Admission(sizes=Sizes(bodies=10, pixels=10), workers=workers, max_queue=2, queue_timeout=30)
    errors = []
    for _ in range(5):
        with pytest.raises(ImageUndecodableError) as caught:
            await room.run(Lease(), peak=1, work=lambda: decode(image_headers.read(truncated_image())), limit=30)
        errors.append(caught.value)
    assert len(errors) == 5
    assert not [found for found in gc.get_objects() if type(found).__name__ == "PngImageFile"]
    workers.shutdown()


@pytest.mark.usefixtures("without_garbage_collection")
async def test_a_batch_of_broken_images_frees_all_of_them(server: Running) -> None:
    files = [("file", ("a.png", truncated_image(), "image/png")) for _ in range(8)]
    response = await server.client.post("/api/v1/classify/batch", files=files)
    assert {tuple(result) for result in response.json()["results"]} == {("problem",)}
    assert not [found for found in gc.get_objects() if type(found).__name__ == "PngImageFile"]


@pytest.mark.usefixtures("without_garbage_collection")
async def test_a_disconnect_during_a_batch_frees_its_images(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blob(bytearray):
        pass

    async def forever(*_: Any) -> NoReturn:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def work(context: RequestContext) -> Response:
        blob = Blob(b"image")
        held.append(weakref.ref(blob))
        await context.process_each([ImageItem(blob)] * 2, 1)
        raise AssertionError

    monkeypatch.setattr(RequestContext, "process_item", forever)
    begun, held = asyncio.Event(), list[weakref.ref[Blob]]()
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/", "headers": []}
    task = asyncio.create_task(handle(server.state, Request(scope), work, NATIVE))
    await begun.wait()
    scope[scope_keys.DISCONNECTED] = True
    scope[scope_keys.TASK].cancel()
    with pytest.raises(ClientDisconnect):
        await task
    del task
    await asyncio.sleep(0)
    assert held[0]() is None


class StalledTransport(asyncio.Transport):
    """A connection whose client reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = False
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 1000

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted.set()

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


@pytest.mark.parametrize("behind", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"", b"nonsense\r\n\r\n"])
async def test_a_closing_connection_with_an_unread_response_is_aborted(behind: bytes) -> None:
    config = uvicorn.Config(empty_response, log_config=None, access_log=False)
    config.load()
    settings = ServeSettings(header_timeout_seconds=0.1)
    protocol: Any = bounded_protocol(settings, lambda _: None)(
        config=config, server_state=ServerState(), app_state={}
    )
    transport = StalledTransport()
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + behind)
    async with asyncio.timeout(10):
        await transport.aborted.wait()
    protocol.connection_lost(None)


@pytest.mark.usefixtures("without_garbage_collection")
async def test_a_request_leaves_no_cycle_of_references() -> None:
    config = uvicorn.Config(empty_response, log_config=None, access_log=False)
    config.load()
    protocol = bounded_protocol(ServeSettings(), lambda _: None)
    state = ServerState()

    def made() -> Any:
        return protocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1")
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for _ in range(20):
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        await reader.readuntil(b"\r\n\r\n")
    left = sum(isinstance(found, RequestResponseCycle) for found in gc.get_objects())
    writer.close()
    server.close()
    assert left <= 2

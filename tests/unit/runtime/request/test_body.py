"""Bodies are counted as they arrive, and time out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.web.app import create_app

from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from imageclassifier_runtime.protocols.state import ServerState


async def post(
    state: ServerState, chunks: AsyncIterator[bytes | None], headers: dict[str, str]
) -> list[dict[str, Any]]:
    """Send chunks as an ASGI server would; None stands for a disconnect."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        async for chunk in chunks:
            if chunk is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/classify",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 1),
    }
    await create_app(state)(scope, receive, send)
    admission = state.admission
    assert admission.bodies.free == admission.bodies.capacity
    return sent


async def stream(*chunks: bytes | None) -> AsyncIterator[bytes | None]:
    for chunk in chunks:
        yield chunk


async def test_a_chunked_body_is_accepted(make_state: Callable[..., ServerState]) -> None:
    image = image_bytes()
    sent = await post(make_state(), stream(image[:50], image[50:]), {"Content-Type": "image/png"})
    assert sent[0]["status"] == 200


async def test_a_body_over_the_limit_gets_413_whatever_was_declared(
    make_state: Callable[..., ServerState],
) -> None:
    state = make_state(max_image_bytes=2000)
    for headers in ({}, {"Content-Length": "100"}):
        sent = await post(state, stream(*[bytes(500)] * 10), {"Content-Type": "image/png", **headers})
        assert sent[0]["status"] == 413


async def test_a_declared_length_over_the_limit_gets_413_before_the_body_is_read(
    make_state: Callable[..., ServerState],
) -> None:
    headers = {"Content-Type": "image/png", "Content-Length": str(1 << 40)}
    sent = await post(make_state(), stream(b"x"), headers)
    assert sent[0]["status"] == 413
    # The whole response is sent before the rest of the body is read; then the connection is closed.
    assert sent[1]["more_body"] is True
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_stalled_body_gets_408(make_state: Callable[..., ServerState]) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"\xff\xd8"
        await asyncio.Event().wait()

    state = make_state(body_idle_seconds=0.05, body_timeout_seconds=30)
    sent = await post(state, stalls(), {"Content-Type": "image/png"})
    assert sent[0]["status"] == 408


async def test_a_slow_body_gets_408_at_its_deadline(make_state: Callable[..., ServerState]) -> None:
    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    state = make_state(body_idle_seconds=30, body_timeout_seconds=0.1)
    sent = await post(state, drips(), {"Content-Type": "image/png"})
    assert sent[0]["status"] == 408


async def test_a_disconnect_frees_the_memory(make_state: Callable[..., ServerState]) -> None:
    sent = await post(
        make_state(), stream(b"\xff\xd8", None), {"Content-Type": "image/png", "Content-Length": "900"}
    )
    assert sent[0]["status"] == 499

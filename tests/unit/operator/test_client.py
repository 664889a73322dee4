"""The client uses the current token of its pod, and rejects invalid responses."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import certifi
import pytest
from aiohttp import web
from imageclassifier_operator.kube import Resource, SilentError, UnreachableError
from imageclassifier_operator.kube import client as client_module
from imageclassifier_operator.kube.client import KubeClient, connect
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import incluster_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


SERVICE_MONITORS = Resource("monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor")


class Later(datetime.datetime):
    """A clock that is two minutes ahead."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Later:
        return super().now(tz) + datetime.timedelta(minutes=2)


async def test_a_rotated_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    async with await connect(kubeconfig=None, context=None) as client:
        assert (await client.configuration.auth_settings())["BearerToken"]["value"] == "bearer first"
        token.write_text("second")
        clock = SimpleNamespace(datetime=Later, timedelta=datetime.timedelta)
        monkeypatch.setattr(incluster_config, "datetime", clock)
        assert (await client.configuration.auth_settings())["BearerToken"]["value"] == "bearer second"


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
async def client(response: str, warnings: list[str]) -> AsyncIterator[KubeClient]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=response, headers=[("Warning", warning) for warning in warnings])

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with KubeClient(ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))) as found:
        yield found
    await runner.cleanup()


@pytest.mark.parametrize("response", ["<html>Try later</html>", '{"resources": ['])
async def test_a_response_that_is_not_json_is_an_error(client: KubeClient) -> None:
    with pytest.raises(UnreachableError):
        await client.serves(SERVICE_MONITORS)


def api_of(*verbs: str) -> str:
    return json.dumps({"resources": [{"name": "servicemonitors", "verbs": verbs}]})


@pytest.mark.parametrize("response", [api_of("get", "list", "create", "patch")])
async def test_an_installed_api_is_served(client: KubeClient) -> None:
    assert await client.serves(SERVICE_MONITORS)


@pytest.mark.parametrize("response", [api_of("get", "list", "delete", "watch"), '{"resources": []}'])
async def test_an_api_that_is_being_deleted_is_not_served(client: KubeClient) -> None:
    assert not await client.serves(SERVICE_MONITORS)


@pytest.mark.parametrize("response", ['{"resources": []}'])
@pytest.mark.parametrize("warnings", [['299 - "v1beta1 is deprecated"', '299 - "another"']])
async def test_warnings_of_the_server_are_logged(client: KubeClient, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        await client.serves(SERVICE_MONITORS)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "Warning from the API server for GET /apis/monitoring.coreos.com/v1: v1beta1 is deprecated",
        "Warning from the API server for GET /apis/monitoring.coreos.com/v1: another",
    ]


async def test_requests_are_counted_by_method_and_code() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response({}, status=404 if request.path.endswith("/gone") else 200)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    counted: list[tuple[str, str]] = []
    host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with KubeClient(ApiClient(Configuration(host=host)), count=lambda *each: counted.append(each)) as client:
        assert await client.get(SERVICE_MONITORS, namespace="vision", name="there") == {}
        assert await client.get(SERVICE_MONITORS, namespace="vision", name="gone") is None
        await runner.cleanup()
        with pytest.raises(UnreachableError):
            await client.get(SERVICE_MONITORS, namespace="vision", name="there")
    assert counted == [("GET", "200"), ("GET", "404"), ("GET", "<error>")]


@asynccontextmanager
async def served(handle: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[KubeClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with KubeClient(ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))) as client:
        yield client
    await runner.cleanup()


MANIFEST = {"metadata": {"namespace": "vision", "name": "pets", "uid": "1", "resourceVersion": "1"}}


async def test_without_time_to_write_no_write_is_sent_and_reads_are() -> None:
    methods: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        methods.append(request.method)
        return web.json_response({})

    async with served(handle) as client:
        fenced = client.fenced(lambda: 0.0)
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: fenced.apply(SERVICE_MONITORS, MANIFEST, manager="m"),
            lambda: fenced.set_managed_fields(SERVICE_MONITORS, MANIFEST, []),
            lambda: fenced.create(SERVICE_MONITORS, MANIFEST),
            lambda: fenced.replace(SERVICE_MONITORS, MANIFEST),
            lambda: fenced.delete(SERVICE_MONITORS, MANIFEST),
        ]
        for write in writes:
            with pytest.raises(UnreachableError, match="the Lease was not renewed"):
                await write()
        assert methods == []
        await fenced.get(SERVICE_MONITORS, namespace="vision", name="pets")
        await client.apply(SERVICE_MONITORS, MANIFEST, manager="m")
        assert methods == ["GET", "PATCH"]


@pytest.mark.parametrize(("sends_headers", "error"), [(True, SilentError), (False, UnreachableError)])
async def test_a_watch_that_sends_nothing_ends(
    monkeypatch: pytest.MonkeyPatch, sends_headers: bool, error: type[Exception]
) -> None:
    monkeypatch.setattr(client_module, "WATCH_SILENCE_SECONDS", 0.2)

    async def handle(request: web.Request) -> web.Response:
        if sends_headers:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "2"}}}\n')
        await asyncio.sleep(2)
        return web.Response()

    async with served(handle) as client:
        events = client.watch(SERVICE_MONITORS, namespace=None, resource_version="1")
        if sends_headers:
            assert (await anext(events)).type == "BOOKMARK"
        with pytest.raises(UnreachableError) as raised:
            await anext(events)
    assert raised.type is error


async def test_a_write_ends_within_the_time_that_is_left() -> None:
    async def handle(_: web.Request) -> web.Response:
        await asyncio.sleep(2)
        return web.json_response({})

    async with served(handle) as client:
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            await client.fenced(lambda: 0.1).apply(SERVICE_MONITORS, MANIFEST, manager="m")
        assert time.monotonic() - began < 1.5

"""The load generator counts responses, rejections, closed connections and timeouts as the server caused them."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.bench import wire
from runtime.bench.jobs import Load, LoadJob
from runtime.bench.loadgen import Run
from tools.paths import REPOSITORY

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: %d\r\n\r\n"
Behaviour = Callable[[int], bytes | None]


class ScriptedServer:
    """A real server on loopback; `behaviour` returns the response to the nth request, or None to close."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.requests = 0
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                self.requests += 1
                response = self._behaviour(self.requests)
                if response is None:
                    break
                writer.write(response)
                await writer.drain()
                if b"Connection: close" in response:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(scripted: ScriptedServer) -> AsyncIterator[int]:
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def load(behaviour: Behaviour, **changes: object) -> tuple[ScriptedServer, Load]:
    scripted = ScriptedServer(behaviour)
    async with serving(scripted) as port:
        values = {"clients": 2, "seconds": 20.0, "warmup": 0.0, "max_answers": 20, "timeout": 5.0}
        job = LoadJob(port=port, path="/", pictures="", **(values | changes))  # type: ignore[arg-type]
        requests = [wire.request("/", bytes(size), form=True) for size in (10, 100_000, 300_000)]
        return scripted, await Run(job, requests).go()


async def test_it_stops_at_the_number_of_responses_and_reuses_its_connections() -> None:
    scripted, measured = await load(lambda _: OK, clients=3)
    assert (measured.answers, measured.statuses, measured.unfinished) == (20, {"200": 20}, 0)
    assert scripted.connections == 3
    assert 0 < measured.p50 <= measured.p95 <= measured.p99


async def test_it_stops_after_the_duration() -> None:
    _, measured = await load(lambda _: OK, seconds=2.0, max_answers=1_000_000)
    assert 1.9 < measured.seconds < 20
    assert 0 < measured.answers < 1_000_000


async def test_responses_during_the_warm_up_are_not_counted() -> None:
    scripted, measured = await load(lambda _: OK, warmup=0.1, seconds=0.1, max_answers=1_000_000)
    assert measured.answers < scripted.requests


async def test_a_client_sends_one_request_at_a_time() -> None:
    requests = 0

    def behaviour(_: int) -> bytes:
        nonlocal requests
        requests += 1
        return OK

    scripted, measured = await load(behaviour, clients=1, max_answers=5)
    assert scripted.connections == 1
    assert measured.answers == 5
    assert requests - measured.answers <= 1


async def test_a_503_is_counted_separately_and_its_client_waits_for_retry_after() -> None:
    scripted, measured = await load(lambda number: BUSY % 1 if number == 1 else OK, clients=1, max_answers=3)
    assert measured.statuses == {"200": 3, "503": 1}
    assert measured.seconds >= 1
    assert scripted.connections == 2


async def test_an_impatient_client_ignores_retry_after() -> None:
    _, measured = await load(
        lambda number: BUSY % 60 if number == 1 else OK, clients=1, max_answers=3, impatient=True
    )
    assert measured.statuses == {"200": 3, "503": 1}
    assert measured.seconds < 20


async def test_a_connection_closed_without_a_response_is_a_reset() -> None:
    _, measured = await load(lambda number: None if number % 5 == 0 else OK)
    assert measured.statuses["200"] == 20
    assert measured.statuses["reset"] >= 3


async def test_a_request_without_a_response_times_out_and_is_counted() -> None:
    _, measured = await load(lambda number: b"" if number == 1 else OK, clients=1, max_answers=2, timeout=0.5)
    assert measured.statuses == {"200": 2, "timeout": 1}


async def test_a_request_without_a_response_at_the_end_is_unfinished() -> None:
    _, measured = await load(lambda _: b"", clients=2, seconds=0.1, timeout=0.3)
    assert (measured.answers, measured.unfinished) == (0, 2)


async def test_a_response_that_is_not_http_is_malformed() -> None:
    _, measured = await load(lambda number: b"hello\r\n\r\n" if number == 1 else OK, clients=1, max_answers=2)
    assert measured.statuses == {"200": 2, "malformed": 1}


async def test_a_refused_connection_is_counted() -> None:
    scripted = ScriptedServer(lambda _: OK)
    async with serving(scripted) as port:
        pass
    job = LoadJob(port=port, path="/", pictures="", clients=1, seconds=0.3, warmup=0.0, max_answers=9)
    measured = await Run(job, [b"x"]).go()
    assert measured.answers == 0
    assert measured.statuses["refused"] >= 1


@pytest.mark.timeout(120)
def test_the_process_measures_the_null_server_and_its_own_cpu_time(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(50_000))
    command = [sys.executable, "-m", "runtime.bench.null_server"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as null:
        try:
            assert null.stdout is not None
            port = json.loads(null.stdout.readline())["port"]
            job = {
                "port": port,
                "path": "/",
                "pictures": str(tmp_path),
                "clients": 5,
                "seconds": 60,
                "warmup": 0,
                "max_answers": 2000,
                "server_pid": null.pid,
            }
            done = subprocess.run(
                [sys.executable, "-m", "runtime.bench.loadgen"],
                cwd=REPOSITORY,
                input=json.dumps(job),
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            null.kill()
    measured = json.loads(done.stdout)
    assert measured["statuses"] == {"200": 2000}
    assert measured["generator_cpu_seconds"] > 0
    assert measured["server_cpu_seconds"] > 0

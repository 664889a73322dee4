"""Checks that SIGTERM under load loses no request: clients keep sending and reconnect until the server exits.

    python -m tests.acceptance.drain [--clients 50] [--seconds 4] [--assert]

Every request that is sent before the drain ends must get a 200, and the process must exit with status 0 within the
grace period of its pods.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

from runtime.bench import servers, wire, workload
from runtime.bench.command import run
from runtime.bench.errors import BenchError
from runtime.bench.table import aligned
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_GRACE_SECONDS = 30.0
_RECONNECT_SECONDS = 0.05
# The server's timer has a resolution of milliseconds and starts when the server handles SIGTERM: it is unknown
# whether a request that is sent this close to the end of the drain is before or after it.
_TOLERANCE_SECONDS = 0.1
_CHUNK = 65_536


@dataclasses.dataclass(frozen=True, kw_only=True)
class SentRequest:
    """One request: when it was sent, in seconds after SIGTERM, and its status or the type of its error."""

    sent: float
    outcome: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DrainRun:
    """One run: the length of the drain, the exit of the process in seconds after SIGTERM, and all requests."""

    precision: str
    drain_seconds: float
    exited: float
    status: int
    requests: list[SentRequest]

    def lost(self) -> list[SentRequest]:
        """Return the requests that were sent before the drain ended and did not get a 200."""
        end = self.drain_seconds - _TOLERANCE_SECONDS
        return [request for request in self.requests if request.sent < end and request.outcome != "200"]

    def held(self) -> bool:
        """Return whether no request was lost, some were sent during the drain, and the process exited in time."""
        during = any(0 <= request.sent < self.drain_seconds for request in self.requests)
        return during and not self.lost() and self.exited < _GRACE_SECONDS and self.status == 0


class Clients:
    """Clients on keep-alive connections, each with one request at a time until one fails after the drain."""

    def __init__(self, port: int, requests: Sequence[bytes], *, number: int, drain_seconds: float) -> None:
        self._port = port
        self._requests = requests
        self._number = number
        self._drain_seconds = drain_seconds
        self._records: list[tuple[float, str]] = []
        self.signalled = 0.0

    async def run(self) -> None:
        """Send requests until all clients have stopped."""
        await asyncio.gather(*(self._client(first) for first in range(self._number)))

    def sent(self) -> list[SentRequest]:
        """Return all requests in the order of their responses."""
        return [SentRequest(sent=sent - self.signalled, outcome=outcome) for sent, outcome in self._records]

    async def _client(self, position: int) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            sent = time.monotonic()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._port)
                sent = time.monotonic()
                head = await _send(*streams, self._requests[position % len(self._requests)])
                outcome, closes = str(head.status), head.closes
            except (OSError, EOFError, wire.ResponseError) as error:
                outcome, closes = type(error).__name__, True
            refused = streams is None
            # a refused connection after the drain is expected: the client would use another server
            if not (refused and self._over(sent)):
                self._records.append((sent, outcome))
            if closes and streams is not None:
                streams[1].close()
                streams = None
            if outcome != "200":
                if self._over(sent):
                    return
                await asyncio.sleep(_RECONNECT_SECONDS)
            position += self._number

    def _over(self, sent: float) -> bool:
        return bool(self.signalled) and sent - self.signalled >= self._drain_seconds


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> wire.Head:
    writer.write(request)
    data = bytearray()
    while (head := wire.parse_head(data)) is None or len(data) < head.end:
        more = await reader.read(_CHUNK)
        if not more:
            raise EOFError
        data += more
    return head


def measure(
    server: servers.Server, requests: Sequence[bytes], command: argparse.Namespace, precision: str
) -> DrainRun:
    """Load the server, send it SIGTERM, and wait for its exit. Raises BenchError if it does not exit."""
    clients = Clients(server.port, requests, number=command.clients, drain_seconds=command.drain_seconds)

    async def terminate_under_load() -> tuple[float, int]:
        load = asyncio.create_task(clients.run())
        await asyncio.wait({load}, timeout=command.seconds)
        if load.done():
            await load
            raise BenchError("the clients stopped before SIGTERM")
        clients.signalled = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        status = await asyncio.to_thread(server.wait, command.drain_seconds + _GRACE_SECONDS)
        exited = time.monotonic() - clients.signalled
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(load, _GRACE_SECONDS)
        return exited, status

    exited, status = asyncio.run(terminate_under_load())
    return DrainRun(
        precision=precision,
        drain_seconds=command.drain_seconds,
        exited=exited,
        status=status,
        requests=clients.sent(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; returns 1 if a bar was missed with --assert, 2 if the measurement failed."""
    command = _parser().parse_args(arguments)
    return run(lambda work: _report(command, _measure(command, work)))


def _report(command: argparse.Namespace, found: Sequence[DrainRun]) -> int:
    print("\n" + table(found))
    for drain in found:
        for request in drain.lost()[:5]:
            print(f"lost, {drain.precision}: sent {request.sent:+.3f} s, {request.outcome}")
    held = all(drain.held() for drain in found)
    if command.judge:
        print("no request lost, and exit in time: " + ("held" if held else "MISSED"))
    return int(command.judge and not held)


def _measure(command: argparse.Namespace, work: Path) -> list[DrainRun]:
    prepared = workload.prepare(
        work, model=command.model, photographs=command.photographs, precisions=("FP32", "INT8")
    )
    (work / "logs").mkdir()
    say(prepared.describe())
    found = []
    for precision in prepared.precisions:
        settings = {"DRAIN_SECONDS": f"{command.drain_seconds:g}"}
        kind = servers.ours(prepared, precision, settings)
        requests = wire.requests(kind.path, prepared.pictures, form=True)
        with servers.Server(kind, work / "logs") as server:
            found.append(measure(server, requests, command, precision))
        say(f"{precision}: exited {found[-1].exited:.2f} s after SIGTERM, {len(found[-1].lost())} requests lost")
    return found


def table(found: Sequence[DrainRun]) -> str:
    """Return one aligned row for each run."""
    rows: list[tuple[str, ...]] = [
        (
            "precision",
            "200s before, during, after the drain",
            "lost",
            "first without 200",
            "exit after s",
            "status",
        )
    ]
    for drain in found:
        when = Counter(
            "before" if request.sent < 0 else "during" if request.sent < drain.drain_seconds else "after"
            for request in drain.requests
            if request.outcome == "200"
        )
        others = sorted(request.sent for request in drain.requests if request.outcome != "200")
        rows.append(
            (
                drain.precision,
                ", ".join(str(when[name]) for name in ("before", "during", "after")),
                str(len(drain.lost())),
                f"{others[0]:+.3f} s" if others else "-",
                f"{drain.exited:.2f}",
                str(drain.status),
            )
        )
    return aligned(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.drain", description=__doc__)
    add = parser.add_argument
    workload.add_options(parser)
    add("--clients", type=int, default=50)
    add("--seconds", type=float, default=4.0, help="duration of the load before SIGTERM (default: 4)")
    add(
        "--drain-seconds",
        type=float,
        default=10.0,
        help="the server's DRAIN_SECONDS (default: 10, like the server's)",
    )
    add(
        "--assert",
        dest="judge",
        action="store_true",
        help="exit with status 1 if a request was lost or the exit was late",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

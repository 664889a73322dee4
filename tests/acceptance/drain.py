"""Whether SIGTERM under load costs a request: clients go on and reconnect until the server has gone.

    python -m tests.acceptance.drain [--clients 50] [--seconds 4] [--assert]

A request that was sent before the drain ended has to be answered with 200, and the process has to be gone, with
status 0, inside the grace period that its pods have.
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
# The server's timer counts whole milliseconds, from when it heard: just then is neither before nor after.
_JUST_THEN_SECONDS = 0.01
_CHUNK = 65_536


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: when it was sent, in seconds after SIGTERM (negative: before), and what came of it."""

    sent: float
    outcome: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drain:
    """One run: the drain's length, when the process had gone (seconds after SIGTERM), its status, all requests."""

    precision: str
    drain_seconds: float
    gone: float
    status: int
    asked: list[Asked]

    def lost(self) -> list[Asked]:
        """Return the requests that came before the drain ended and were not answered with 200."""
        end = self.drain_seconds - _JUST_THEN_SECONDS
        return [it for it in self.asked if it.sent < end and it.outcome != "200"]

    def held(self) -> bool:
        """Return whether nothing was lost, something was asked during the drain, and the end came in time."""
        during = any(0 <= it.sent < self.drain_seconds for it in self.asked)
        return during and not self.lost() and self.gone < _GRACE_SECONDS and self.status == 0


class Clients:
    """Clients in a closed loop on kept connections, each until no new connection is taken after the drain."""

    def __init__(self, port: int, requests: Sequence[bytes], *, number: int, drain_seconds: float) -> None:
        self._port = port
        self._requests = requests
        self._number = number
        self._drain_seconds = drain_seconds
        self._records: list[tuple[float, str]] = []
        self.signalled = 0.0

    async def run(self) -> None:
        """Send until all clients have found the door closed."""
        await asyncio.gather(*(self._client(first) for first in range(self._number)))

    def asked(self) -> list[Asked]:
        """Return all requests in the order of their answers."""
        return [Asked(sent=sent - self.signalled, outcome=outcome) for sent, outcome in self._records]

    async def _client(self, position: int) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            sent = time.monotonic()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._port)
                sent = time.monotonic()
                head = await _ask(*streams, self._requests[position % len(self._requests)])
                outcome, closes = str(head.status), head.closes
            except (OSError, EOFError, wire.ResponseError) as error:
                outcome, closes = type(error).__name__, True
            refused = streams is None
            # the door is closed once the drain is over, and that is how a client learns to go elsewhere
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


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> wire.Head:
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
) -> Drain:
    """Load the server, send it SIGTERM, and wait for its end; raises BenchError where that does not come."""
    clients = Clients(server.port, requests, number=command.clients, drain_seconds=command.drain_seconds)

    async def go() -> tuple[float, int]:
        load = asyncio.create_task(clients.run())
        await asyncio.wait({load}, timeout=command.seconds)
        if load.done():
            await load
            raise BenchError("the clients ended before the signal")
        clients.signalled = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        status = await asyncio.to_thread(server.wait, command.drain_seconds + _GRACE_SECONDS)
        gone = time.monotonic() - clients.signalled
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(load, _GRACE_SECONDS)
        return gone, status

    gone, status = asyncio.run(go())
    return Drain(
        precision=precision,
        drain_seconds=command.drain_seconds,
        gone=gone,
        status=status,
        asked=clients.asked(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where --assert and something was lost or late, 2 where it could not be measured."""
    command = _parser().parse_args(arguments)
    return run(lambda work: _report(command, _measure(command, work)))


def _report(command: argparse.Namespace, found: Sequence[Drain]) -> int:
    print("\n" + table(found))
    for drain in found:
        for it in drain.lost()[:5]:
            print(f"lost, {drain.precision}: sent {it.sent:+.3f} s, {it.outcome}")
    held = all(drain.held() for drain in found)
    if command.judge:
        print("nothing lost, and gone in time: " + ("held" if held else "MISSED"))
    return int(command.judge and not held)


def _measure(command: argparse.Namespace, work: Path) -> list[Drain]:
    prepared = workload.prepare(
        work, model=command.model, photographs=command.photographs, wanted=("FP32", "INT8")
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
        say(f"{precision}: gone {found[-1].gone:.2f} s after SIGTERM, {len(found[-1].lost())} lost")
    return found


def table(found: Sequence[Drain]) -> str:
    """Return one aligned row for each run."""
    rows: list[tuple[str, ...]] = [
        (
            "precision",
            "answers before, during, after the drain",
            "lost",
            "first without 200",
            "gone after s",
            "status",
        )
    ]
    for drain in found:
        when = Counter(
            "before" if it.sent < 0 else "during" if it.sent < drain.drain_seconds else "after"
            for it in drain.asked
            if it.outcome == "200"
        )
        others = sorted(it.sent for it in drain.asked if it.outcome != "200")
        rows.append(
            (
                drain.precision,
                ", ".join(str(when[name]) for name in ("before", "during", "after")),
                str(len(drain.lost())),
                f"{others[0]:+.3f} s" if others else "-",
                f"{drain.gone:.2f}",
                str(drain.status),
            )
        )
    return aligned(rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.drain", description=__doc__)
    add = parser.add_argument
    workload.add_options(parser)
    add("--clients", type=int, default=50)
    add("--seconds", type=float, default=4.0, help="of load before SIGTERM (default: 4)")
    add("--drain-seconds", type=float, default=10.0, help="the server's DRAIN_SECONDS (default: 10, as its own)")
    add("--assert", dest="judge", action="store_true", help="fail where a request was lost or the end was late")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

"""The load generator: N clients in a closed loop, each with one keep-alive connection, in a separate process.

    python -m runtime.bench.loadgen < job.json > result.json

Closed loop: a client sends its next request after a response, so latencies are those of one of N such clients, not
of clients that arrive whether or not the server keeps up. A client that gets 503 waits for Retry-After;
`impatient` ones retry immediately.

It shares the server's CPUs. Like one on another machine, it does not preempt the server's threads: it waits for a
CPU, and that wait is part of the latencies.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import os
import sys
import time
from array import array
from collections import Counter
from pathlib import Path

import uvloop

from runtime.bench import procfs, wire
from runtime.bench.errors import BenchError
from runtime.bench.jobs import Load, LoadJob
from runtime.bench.statistics import percentile

_RECONNECT_SECONDS = 0.1


class Connection(asyncio.Protocol):
    """One connection of a client; it ignores events once the client has replaced it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send the first request."""
        self.transport = transport
        self._client.connection = self
        self._client.send()

    def data_received(self, data: bytes) -> None:
        """Pass a response to the client once it is complete."""
        if self._client.connection is not self:
            return
        self._buffer += data
        try:
            head = wire.parse_head(self._buffer)
        except wire.ResponseError:
            self._client.failed("malformed")
            return
        if head is not None and len(self._buffer) >= head.end:
            del self._buffer[: head.end]
            self._client.answered(head)

    def connection_lost(self, _: Exception | None) -> None:
        """Notify the client, if this is still its connection."""
        if self._client.connection is self:
            self._client.lost()


class Client:
    """One client, with one request in flight at a time."""

    def __init__(self, run: Run, number: int) -> None:
        self._run = run
        self._next = number
        self.connection: Connection | None = None
        self.sent_at = 0.0

    def send(self) -> None:
        """Send the next picture, on a new connection if there is none."""
        run = self._run
        transport = self.connection.transport if self.connection is not None else None
        if run.stopping:
            self.close()
        elif transport is None or transport.is_closing():
            self.connection = None
            run.connect(self)
        else:
            data = run.requests[self._next % len(run.requests)]
            self._next += run.job.clients
            self.sent_at = time.perf_counter()
            transport.write(data)

    def answered(self, head: wire.Head) -> None:
        """Count a response and send the next request, after Retry-After if given."""
        now = time.perf_counter()
        began, self.sent_at = self.sent_at, 0.0
        if not began:
            self.failed("malformed")
            return
        self._run.record(str(head.status), now - began)
        if head.closes and self.connection is not None and self.connection.transport is not None:
            self.connection.transport.close()
        if head.retry_after and not self._run.job.impatient:
            self._run.loop.call_later(head.retry_after, self.send)
        else:
            self.send()

    def lost(self) -> None:
        """Count a connection that closes during a request as an error; between requests it is not one."""
        self.connection = None
        if self.sent_at:
            self.failed("reset")

    def failed(self, kind: str) -> None:
        """Count a failed request, and retry on a new connection."""
        self.sent_at = 0.0
        self._run.record(kind, 0.0)
        self.close()
        self._run.loop.call_later(_RECONNECT_SECONDS, self.send)

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


class Run:
    """All clients of one job, and their counters."""

    def __init__(self, job: LoadJob, requests: list[bytes]) -> None:
        self.job = job
        self.requests = requests
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        self._clients = [Client(self, number) for number in range(job.clients)]
        self._measuring = False
        self._ended = asyncio.Event()
        self._idle = asyncio.Event()
        self._connecting: set[asyncio.Task[None]] = set()
        self._statuses: Counter[str] = Counter()
        self._latencies = array("d")
        self._marks: list[tuple[float, float, float]] = []

    async def go(self) -> Load:
        """Send until the window ends, wait for requests in flight, and return the result."""
        job = self.job
        for client in self._clients:
            self.connect(client)
        self.loop.call_later(job.warmup, self._begin)
        self.loop.call_later(1.0, self._watch)
        await self._ended.wait()
        self._check_idle()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), job.timeout)
        unfinished = sum(bool(client.sent_at) for client in self._clients)
        for client in self._clients:
            client.sent_at = 0.0
            client.close()
        return self._load(unfinished)

    def connect(self, client: Client) -> None:
        """Open a connection for a client, which then sends."""
        task = self.loop.create_task(self._connect(client))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, client: Client) -> None:
        try:
            await self.loop.create_connection(lambda: Connection(client), "127.0.0.1", self.job.port)
        except OSError:
            self.record("refused", 0.0)
            self.loop.call_later(_RECONNECT_SECONDS, client.send)

    def record(self, status: str, seconds: float) -> None:
        """Count one outcome, if it falls into the window."""
        if self.stopping:
            self._check_idle()
        if not self._measuring:
            return
        self._statuses[status] += 1
        if status == "200":
            self._latencies.append(seconds)
            if len(self._latencies) >= self.job.max_answers:
                self._end()

    def _check_idle(self) -> None:
        if not any(client.sent_at for client in self._clients):
            self._idle.set()

    def _begin(self) -> None:
        self._measuring = True
        self._mark()
        # Scheduled here, not at the start: on a busy machine this may run late, and must not shorten the window.
        self.loop.call_later(self.job.seconds, self._end)

    def _end(self) -> None:
        if self._measuring:
            self._mark()
            self._measuring, self.stopping = False, True
            self._ended.set()

    def _mark(self) -> None:
        pid = self.job.server_pid
        self._marks.append((time.perf_counter(), time.process_time(), procfs.cpu_seconds(pid) if pid else 0.0))

    def _watch(self) -> None:
        before = time.perf_counter() - self.job.timeout
        for client in self._clients:
            if client.sent_at and client.sent_at < before:
                client.failed("timeout")
        self.loop.call_later(1.0, self._watch)

    def _load(self, unfinished: int) -> Load:
        begin, end = self._marks
        ordered = sorted(self._latencies)
        return Load(
            seconds=end[0] - begin[0],
            answers=len(ordered),
            statuses=dict(sorted(self._statuses.items())),
            p50=1000 * percentile(ordered, 50),
            p95=1000 * percentile(ordered, 95),
            p99=1000 * percentile(ordered, 99),
            server_cpu_seconds=end[2] - begin[2],
            generator_cpu_seconds=end[1] - begin[1],
            unfinished=unfinished,
        )


async def run(job: LoadJob, requests: list[bytes]) -> Load:
    """Run one job in this process."""
    return await Run(job, requests).go()


def main() -> None:
    """Read a job, run it, write its result."""
    job = LoadJob(**json.load(sys.stdin))
    if job.cpus:
        os.sched_setaffinity(0, job.cpus)
    with contextlib.suppress(OSError, AttributeError):  # a sandbox may deny it, and only Linux has it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        requests = wire.requests(job.path, Path(job.pictures), form=job.form)
    except BenchError as error:
        raise SystemExit(str(error)) from None
    # The run is short and creates few reference cycles.
    gc.disable()
    print(json.dumps(dataclasses.asdict(uvloop.run(run(job, requests)))))


if __name__ == "__main__":
    main()

"""Jobs for the driver's two kinds of worker processes, and their results, as plain JSON."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadJob:
    """Pictures to send to a server until `seconds` have passed, or `max_answers` had status 200.

    Times in seconds; the first `warmup` seconds do not count. `form` sends the picture in a form, else as body.
    """

    port: int
    path: str
    pictures: str
    clients: int
    seconds: float
    warmup: float
    max_answers: int
    form: bool = True
    impatient: bool = False
    server_pid: int = 0
    timeout: float = 30.0
    cpus: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Load:
    """The result of the measured window. Latencies in milliseconds, only of status 200.

    `statuses` counts responses by status, and failures as `reset`, `refused`, `timeout` or `malformed`.
    `unfinished` requests had no response within the timeout after the window.
    """

    seconds: float
    answers: int
    statuses: dict[str, int]
    p50: float
    p95: float
    p99: float
    server_cpu_seconds: float
    generator_cpu_seconds: float
    unfinished: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitJob:
    """`loops` threads over the pictures, with a session of `session_threads`; times in seconds."""

    folder: str
    graph: str
    pictures: str
    loops: int
    session_threads: int
    seconds: float
    warmup: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limit:
    """The result of the measured window; latencies in milliseconds."""

    seconds: float
    answers: int
    p50: float
    p95: float
    p99: float
    cpu_seconds: float

"""What the driver gives its two working processes, and what they give back; plain JSON both ways."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadJob:
    """What to send, to whom, and when to stop: after `seconds`, or `max_answers` with status 200.

    Times in seconds; the first `warmup` ones do not count. `form` sends the picture in a form, else as the body.
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
    """What was seen inside the window. Latencies in milliseconds, of status 200 alone.

    `statuses` counts answers by status, and what was no answer as `reset`, `refused`, `timeout` or `malformed`.
    `unfinished` requests were still without an answer when waiting for them ended, long after the window.
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
    """What was done inside the window; latencies in milliseconds."""

    seconds: float
    answers: int
    p50: float
    p95: float
    p99: float
    cpu_seconds: float

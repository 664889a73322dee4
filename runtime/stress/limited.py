"""Run the server in a container-sized cgroup under the worst images, and check its memory and responses.

    python -m runtime.stress.limited --memory-mib 512 --cpus 0.5 [--model FOLDER] [--rounds 2]

Needs root and a writable cgroup hierarchy (version 1 or 2). The exit status is 1 if a response is neither correct
for its image nor a 503 with Retry-After, if the server exits, or if a process is OOM-killed.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.scenarios.hostile_images import Case, cases, largest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path("/sys/fs/cgroup")
_MIB = 1 << 20
_START_SECONDS = 60


class Cgroup:
    """A cgroup with a memory limit and a CPU quota, version 1 or 2."""

    def __init__(self, name: str, memory: int, cpus: float) -> None:
        self.unified = (_ROOT / "cgroup.controllers").exists()
        self._folders = [_ROOT / name] if self.unified else [_ROOT / part / name for part in ("memory", "cpu")]
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
        quota = int(cpus * 100_000)
        if self.unified:
            self._write(0, "memory.max", memory)
            self._write(0, "cpu.max", f"{quota} 100000")
        else:
            self._write(0, "memory.limit_in_bytes", memory)
            self._write(1, "cpu.cfs_period_us", 100_000)
            self._write(1, "cpu.cfs_quota_us", quota)

    def join(self) -> None:
        """Move the calling process into the cgroup; called between fork and exec."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def report(self) -> dict[str, int]:
        """Return the peak in bytes, and the numbers of limit hits and OOM kills."""
        memory = self._folders[0]
        if self.unified:
            events = dict(line.split() for line in (memory / "memory.events").read_text().splitlines())
            peak = int((memory / "memory.peak").read_text()) if (memory / "memory.peak").exists() else 0
            return {"peak": peak, "limit_reached": int(events["max"]), "killed": int(events["oom_kill"])}
        control = dict(line.split() for line in (memory / "memory.oom_control").read_text().splitlines())
        return {
            "peak": int((memory / "memory.max_usage_in_bytes").read_text()),
            "limit_reached": int((memory / "memory.failcnt").read_text()),
            "killed": int(control.get("oom_kill", 0)),
        }

    def remove(self) -> None:
        """Remove the cgroup once its processes have exited."""
        for folder in self._folders:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                if not folder.exists():
                    break
                time.sleep(0.1)

    def _write(self, index: int, name: str, value: object) -> None:
        (self._folders[index] / name).write_text(str(value))


@contextlib.contextmanager
def server(
    group: Cgroup, model: Path | None, extra: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `imageclassifier serve` in the cgroup, and yield the process and its port once it is ready."""
    log_read, log_write = os.pipe()
    env = {**os.environ, "IMAGECLASSIFIER_PORT": "0", "IMAGECLASSIFIER_HOST": "127.0.0.1", **extra}
    if model is not None:
        env["IMAGECLASSIFIER_MODEL_DIR"] = str(model)
    program = Path(sys.executable).with_name("imageclassifier")
    started = time.monotonic()
    process = subprocess.Popen(
        [program, "serve"],
        env=env,
        stdout=log_write,
        preexec_fn=group.join,  # noqa: PLW1509 - no other thread runs yet
    )
    os.close(log_write)
    port = 0
    log = os.fdopen(log_read)
    for line in log:
        entry = json.loads(line)
        if entry["level"] != "info" or entry["message"] in {"Ready", "Serving"}:
            print(f"  {time.monotonic() - started:.2f} s  {line.strip()[:400]}")
        if entry["message"] == "Serving":
            port = entry["port"]
            break
    faults: list[str] = []
    threading.Thread(target=_watch_log, args=(log, faults), daemon=True).start()
    try:
        if not port:
            raise SystemExit("the server did not start")
        yield process, port
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for fault in faults:
            print("  log:", fault[:2000])


def _watch_log(log: Iterator[str], faults: list[str]) -> None:
    faults.extend(line for line in log if '"level":"info"' not in line)


def post(port: int, case: Case) -> tuple[int, bool, float]:
    """Send one case; return the status (0 for a failed connection), whether it had Retry-After, and seconds."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        headers = {"Content-Type": case.content_type} if case.content_type else {}
        connection.request("POST", "/api/v1/classify", case.body, headers)
        response = connection.getresponse()
        response.read()
        return response.status, "Retry-After" in response.headers, time.monotonic() - started
    except OSError as error:
        print("  connection failed:", case.name, repr(error))
        return 0, False, time.monotonic() - started
    finally:
        connection.close()


def send_all(port: int, to_send: list[Case], *, clients: int, rounds: int) -> list[tuple[Case, int, bool, float]]:
    """Send every case `rounds` times from every client concurrently; each client starts with a different case."""
    results: list[tuple[Case, int, bool, float]] = []
    barrier = threading.Barrier(clients)

    def client(number: int) -> None:
        barrier.wait()
        for step in range(len(to_send) * rounds):
            case = to_send[(number + step) % len(to_send)]
            results.append((case, *post(port, case)))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.suppress(OSError):
            connection.request("GET", "/api/v1/health/live")
            connection.getresponse().read()
            _liveness.append(time.monotonic() - started)
        connection.close()
        time.sleep(0.5)
    return results


_liveness: list[float] = []


def judge(name: str, results: list[tuple[Case, int, bool, float]]) -> bool:
    """Print a summary and return whether every response was correct."""
    counts = collections.Counter(status for _, status, _, _ in results)
    wrong = [
        f"{case.name}: {status}"
        for case, status, retry, _ in results
        if status not in case.statuses and not (status == 503 and retry)
    ]
    slowest = max(seconds for *_, seconds in results)
    print(
        f"  {name}: {len(results)} responses {dict(counts)}, slowest {slowest:.1f} s, "
        f"{len(wrong)} incorrect {wrong[:5]}"
    )
    by_case: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for case, status, _, _ in results:
        by_case[case.name][status] += 1
    if name == "largest":
        print("   ", {case.removeprefix("largest-"): dict(statuses) for case, statuses in by_case.items()})
    return not wrong


def main() -> int:
    """Send the largest and the small cases and print a report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory-mib", type=int, default=512, help="memory limit in MiB (default: 512)")
    parser.add_argument("--cpus", type=float, default=0.5, help="CPU limit (default: 0.5)")
    parser.add_argument("--clients", type=int, default=64, help="clients for the largest images (default: 64)")
    parser.add_argument("--rounds", type=int, default=1, help="times that a client sends each image (default: 1)")
    parser.add_argument("--pixels", type=int, default=25_000_000, help="the server's limit of pixels")
    parser.add_argument("--bytes", type=int, default=10 * _MIB, help="the server's limit of bytes per image")
    parser.add_argument("--model", type=Path, help="model folder (if not set: the bundled model)")
    options = parser.parse_args()
    group = Cgroup(f"imageclassifier-stress-{os.getpid()}", options.memory_mib * _MIB, options.cpus)
    extra = {
        "IMAGECLASSIFIER_MAX_IMAGE_PIXELS": str(options.pixels),
        "IMAGECLASSIFIER_MAX_IMAGE_BYTES": str(options.bytes),
    }
    big = largest(pixels=options.pixels, max_bytes=options.bytes)
    padded = [Case(case.name, case.body.ljust(options.bytes, b"\0"), case.statuses) for case in big[:8]]
    small = cases()
    if (options.pixels, options.bytes) != (25_000_000, 10 * _MIB):
        small = [dataclasses.replace(case, statuses=case.statuses | {413}) for case in small]
    good = True
    try:
        with server(group, options.model, extra) as (process, port):
            print("  after start", {key: value for key, value in group.report().items() if key == "peak"})
            for name, to_send in (("largest", big), ("largest, padded", padded), ("small", small)):
                clients = options.clients if name != "small" else 8
                good &= judge(name, send_all(port, to_send, clients=clients, rounds=options.rounds))
                usage = group.report()
                print(
                    f"    peak {usage['peak'] / _MIB:.0f} MiB, limit reached {usage['limit_reached']}, "
                    f"killed {usage['killed']}"
                )
            good &= process.poll() is None and group.report()["killed"] == 0
            times = sorted(_liveness)
            print(
                f"  liveness: {len(times)} responses, median {times[len(times) // 2]:.3f} s, "
                f"slowest {times[-1]:.3f} s"
            )
    finally:
        group.remove()
    print("held" if good else "FAILED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Daemons are found by later commands, replaced if their command line changes, and never mistaken for another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from e2e.cluster.errors import ClusterError
from e2e.cluster.processes import Processes, start_time, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
_STUBBORN = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(600)"
    ),
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    for name in processes.names():
        processes.stop(name, seconds=0.2)


def _pid(processes: Processes, name: str) -> int:
    record = processes.record(name)
    assert record is not None
    return record.pid


def test_a_daemon_is_started_once_and_found_by_another_command(processes: Processes, tmp_path: Path) -> None:
    assert processes.ensure("d", _SLEEP)
    assert not Processes(tmp_path).ensure("d", _SLEEP)
    assert Processes(tmp_path).alive("d")


def test_a_changed_command_line_replaces_the_daemon(processes: Processes) -> None:
    processes.ensure("d", _SLEEP)
    before = _pid(processes, "d")
    assert processes.ensure("d", [*_SLEEP, "more"])
    assert start_time(before) is None
    assert processes.alive("d")


def test_a_daemon_that_ignores_sigterm_is_killed(processes: Processes) -> None:
    processes.ensure("d", _STUBBORN)
    wait_until(lambda: "ready" in processes.tail("d"), seconds=20, what="the daemon")
    pid = _pid(processes, "d")
    processes.stop("d", seconds=0.2)
    assert start_time(pid) is None
    assert processes.names() == []


def test_another_process_with_the_pid_of_a_dead_daemon_is_not_stopped(
    processes: Processes, tmp_path: Path
) -> None:
    with subprocess.Popen(_SLEEP) as other:
        record = {"name": "d", "pid": other.pid, "started": 1, "command": _SLEEP}
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "d.json").write_text(json.dumps(record))
        assert not processes.alive("d")
        processes.stop("d")
        assert other.poll() is None
        other.kill()


def test_a_dead_daemon_is_reported_with_the_end_of_its_log(processes: Processes) -> None:
    processes.ensure("d", [sys.executable, "-c", "raise SystemExit('no disk')"])
    wait_until(lambda: not processes.alive("d"), seconds=20, what="the daemon to die")
    with pytest.raises(ClusterError, match=r"d died(.|\n)*no disk"):
        processes.require_alive("d")


def test_the_processes_of_a_test_run_stop_with_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from e2e.cluster.processes import Processes;"
        "Processes(Path(sys.argv[1]), die_with_parent=True).ensure('d', ['sleep', '600']);"
        "sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE) as parent:
        processes = Processes(tmp_path)
        wait_until(lambda: processes.record("d") is not None, seconds=20, what="the daemon")
        pid = _pid(processes, "d")
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: start_time(pid) is None, seconds=10, what="the daemon to stop with its parent")

"""Starts daemons that outlive the command, and stops only them, never another process that got the same id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PROC = Path("/proc")


@dataclass(frozen=True)
class Record:
    """The record of a started process; the start time distinguishes it from a later one with the same id."""

    name: str
    pid: int
    started: int
    command: list[str]


def start_time(pid: int) -> int | None:
    """The kernel's start time of a process in clock ticks, or None if it does not exist or is a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name is in parentheses and may contain parentheses and blanks.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, every: float = 0.05, hint: str = ""
) -> None:
    """Wait for a condition. Raises ClusterError on timeout."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            suffix = f"; {hint}" if hint else ""
            raise ClusterError(f"timed out after {seconds:.0f} s waiting for {what}{suffix}")
        time.sleep(every)


class Processes:
    """The daemons of one folder, with records in `run/` and output in `logs/`."""

    def __init__(self, folder: Path, *, die_with_parent: bool = False) -> None:
        self._run = folder / "run"
        self._logs = folder / "logs"
        self._die_with_parent = die_with_parent

    def log(self, name: str) -> Path:
        """The log file of a daemon."""
        return self._logs / f"{name}.log"

    def record(self, name: str) -> Record | None:
        """The record of a daemon, None if it was not started."""
        try:
            return Record(**json.loads((self._run / f"{name}.json").read_text()))
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Daemons that were started and not stopped, alive or dead."""
        return sorted(path.stem for path in self._run.glob("*.json"))

    def alive(self, name: str) -> bool:
        """Whether the process that was started still runs."""
        record = self.record(name)
        return record is not None and start_time(record.pid) == record.started

    def ensure(self, name: str, command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> bool:
        """Start a daemon unless it runs with this command line; returns whether it was started."""
        line = [str(part) for part in command]
        record = self.record(name)
        if record is not None and self.alive(name):
            if record.command == line:
                return False
            self.stop(name)
        self._start(name, line, env or {})
        return True

    def _start(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        prefix = ["setpriv", "--pdeathsig", "TERM", "--"] if self._die_with_parent else []
        with self.log(name).open("ab") as out:
            process = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                start_new_session=True,
            )
        started = start_time(process.pid)
        # Prevents a ResourceWarning about the running process when the object is collected.
        process.returncode = 0
        if started is None:
            raise ClusterError(f"{name} exited immediately:\n{self.tail(name)}")
        record = Record(name, process.pid, started, command)
        path = self._run / f"{name}.json"
        path.with_suffix(".new").write_text(json.dumps(asdict(record), indent=1))
        path.with_suffix(".new").rename(path)

    def stop(self, name: str, *, seconds: float = 10) -> None:
        """Terminate a daemon, kill it if it does not exit in time, and delete its record."""
        record = self.record(name)
        if record is None:
            return
        if self.alive(name):
            _kill(record.pid, signal.SIGTERM)
            try:
                wait_until(lambda: not self._running(record), seconds=seconds, what=f"{name} to stop")
            except ClusterError:
                _kill(record.pid, signal.SIGKILL)
                wait_until(lambda: not self._running(record), seconds=10, what=f"{name} to die")
        (self._run / f"{name}.json").unlink(missing_ok=True)

    @staticmethod
    def _running(record: Record) -> bool:
        reap(record.pid)
        return start_time(record.pid) == record.started

    def require_alive(self, name: str) -> None:
        """Raise ClusterError with the end of the daemon's log if it has died."""
        record = self.record(name)
        if record is not None:
            reap(record.pid)
        if not self.alive(name):
            raise ClusterError(f"{name} died; the end of {self.log(name)}:\n{self.tail(name)}")

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a daemon's output."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def reap(pid: int) -> None:
    """Reap an exited child process; does nothing for other processes."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def with_command_line(text: str) -> dict[int, str]:
    """Processes, except this one and its ancestors, whose command line contains a text."""
    ours = _ancestors()
    found = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) in ours:
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if text in command:
            found[int(entry.name)] = command
    return found


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            status = (_PROC / str(pid) / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            break
        pid = int(status.split("PPid:", 1)[1].split(None, 1)[0])
    return found

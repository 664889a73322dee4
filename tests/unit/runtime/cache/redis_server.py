"""A real redis-server on loopback for tests, from Debian's package redis-tools (or redis-server)."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_NAMES = ("redis-server", "redis-check-rdb")  # one program, whose function depends on its name
_ATTEMPTS = 5


class RedisServer:
    """A server that can be killed, restarted on the same port, and paused."""

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, _NAMES)), None)
        if program is None:
            pytest.skip("redis-server is not installed: install Debian's package redis-tools")
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self, *options: str) -> RedisServer:
        """Start the server with additional options, such as `--requirepass x`, and wait until it is ready."""
        for _ in range(_ATTEMPTS):
            port = self.port or free_port()
            if self._start(port, *options):
                self.port = port
                return self
        raise AssertionError("redis-server could not listen on any port")

    def _start(self, port: int, *options: str) -> bool:
        fixed = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(self._folder))
        self._process = subprocess.Popen(
            ["redis-server", *fixed, *options],
            executable=self._program,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Ready to accept connections" in line:
                return True
        self.kill()
        return False

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server, even if it is paused."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port

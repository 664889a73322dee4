"""Runs the real `imageclassifier` command on loopback, for tests that need a process."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("imageclassifier")


def environment(**settings: object) -> dict[str, str]:
    """Return the environment with exactly these settings of the runtime."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("IMAGECLASSIFIER_")}
    return env | {f"IMAGECLASSIFIER_{name}": str(value) for name, value in settings.items()}


class Served:
    """A running `imageclassifier serve`."""

    def __init__(self, **settings: object) -> None:
        self.process = subprocess.Popen(
            [PROGRAM, "serve"],
            env=environment(**{"HOST": "127.0.0.1", "PORT": 0, **settings}),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.logged: dict[str, dict[str, Any]] = {}
        self.port = int(self.wait_for("Serving")["port"])

    def wait_for(self, message: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            entry: dict[str, Any] = json.loads(line)
            self.logged[entry["message"]] = entry
            if entry["message"] == message:
                return entry
        raise AssertionError(f"exited with {self.process.wait()} before it logged {message!r}")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def get(self, path: str) -> int:
        connection = self.connect()
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    def end(self, seconds: float = 20) -> int:
        """Wait until the process exits and return its exit status."""
        assert self.process.stdout is not None
        status = self.process.wait(seconds)
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.end()

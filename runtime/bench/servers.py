"""Starts and stops the servers and sends them requests; each is one process on a free loopback port."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.bench import wire
from runtime.bench.errors import BenchError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from runtime.bench.workload import Workload

_START_SECONDS = 300.0
_STOP_SECONDS = 30.0
_RESPONSE_SECONDS = 120.0
# The log line of our server and the null server, or uvicorn's.
_PORT = re.compile(r'"Serving".*"port": ?(\d+)|running on http://127\.0\.0\.1:(\d+)')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """The command of a server, and its path for pictures."""

    name: str
    command: tuple[str, ...]
    path: str
    env: dict[str, str] = dataclasses.field(default_factory=dict)


def ours(workload: Workload, precision: str, settings: Mapping[str, str] | None = None) -> Kind:
    """`imageclassifier serve` with default settings except `settings`, environment variables without prefix."""
    program = Path(sys.executable).with_name("imageclassifier")
    return Kind(
        name=" ".join(("server", precision, *(settings or {}).values())),
        command=(str(program), "serve", "--model", str(workload.folder), "--host", "127.0.0.1", "--port", "0"),
        path="/api/v1/classify",
        env={
            "IMAGECLASSIFIER_PRECISION": precision,
            "IMAGECLASSIFIER_TERMINATION_LOG": str(workload.folder.parent / "termination-log"),
            **{f"IMAGECLASSIFIER_{name}": value for name, value in (settings or {}).items()},
        },
    )


def baseline(workload: Workload, *, style: str) -> Kind:
    """The tutorial's application on one uvicorn worker; `style` is `async` or `sync`."""
    return Kind(
        name="baseline",
        command=(
            *(sys.executable, "-m", "uvicorn", "runtime.bench.baseline:app"),
            *("--host", "127.0.0.1", "--port", "0"),
        ),
        path="/predict" if style == "async" else "/predict-sync",
        env={"BENCH_MODEL_DIR": str(workload.folder)},
    )


def null() -> Kind:
    """The server that does nothing."""
    return Kind(name="null", command=(sys.executable, "-m", "runtime.bench.null_server"), path="/")


def environment() -> dict[str, str]:
    """Return the environment of servers and bare imports: no settings of ours, and bytecode, as in the image."""
    names = (name for name in os.environ if not name.startswith("IMAGECLASSIFIER_"))
    return {name: os.environ[name] for name in names if name != "PYTHONDONTWRITEBYTECODE"}


class Server:
    """A running server, as a context manager. `started_at` is just before its process was created."""

    def __init__(self, kind: Kind, logs: Path) -> None:
        self.kind = kind
        self._log = logs / f"{kind.name.replace(' ', '-')}.log"
        with self._log.open("wb") as log:
            self.started_at = time.perf_counter()
            self._process = subprocess.Popen(
                kind.command, cwd=REPOSITORY, env=environment() | kind.env, stdout=log, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def classify(self, picture: bytes) -> list[dict[str, Any]]:
        """Send one picture and return its predictions; raises BenchError unless there are five."""
        document = self.post_form(self.kind.path, picture)
        predictions: list[dict[str, Any]] = document.get("predictions") or []
        if len(predictions) != 5 or not {"class_id", "probability"} <= set(predictions[0]):
            raise BenchError(f"{self.kind.name} did not return five predictions: {str(document)[:300]}")
        return predictions

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON document at a path; raises BenchError."""
        return self._document("GET", path)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Post a body and return the JSON response; raises BenchError."""
        return self._document("POST", path, body, headers)

    def post_form(self, path: str, picture: bytes) -> dict[str, Any]:
        """Post a form with one picture and return the JSON response; raises BenchError."""
        head, _, body = wire.request(path, picture, form=True).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
        return self.post(path, body, headers)

    def _document(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_RESPONSE_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read()
            if response.status != HTTPStatus.OK:
                raise BenchError(f"{self.kind.name} responded {response.status} to {path}: {text[:300]!r}")
            document: dict[str, Any] = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BenchError(f"{self.kind.name} did not respond: {error!r}\n{self.log_tail()}") from error
        finally:
            connection.close()
        return document

    def check_alive(self) -> None:
        """Raise BenchError if the process has exited."""
        if self._process.poll() is not None:
            raise BenchError(f"{self.kind.name} exited with {self._process.returncode}\n{self.log_tail()}")

    def wait(self, seconds: float) -> int:
        """Wait for the process to exit and return its status; raises BenchError on timeout."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.kind.name} did not exit in {seconds:g} s\n{self.log_tail()}") from None

    def stop(self) -> None:
        """Stop the process with SIGINT, which skips our drain, then kill it if it does not exit."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def log_tail(self) -> str:
        """Return the end of the process's output."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-1500:]

    def _wait_for_port(self) -> int:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            self.check_alive()
            found = _PORT.search(self._log.read_text(encoding="utf-8", errors="replace"))
            if found is not None:
                return int(found[1] or found[2])
            time.sleep(0.005)
        raise BenchError(f"{self.kind.name} did not start in {_START_SECONDS:g} s\n{self.log_tail()}")

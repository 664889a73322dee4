"""Starts, asks and stops the servers, as anyone would; each is one process on a free loopback port."""

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
_ASK_SECONDS = 120.0
# Ours and the null server's log line; uvicorn's own.
_PORT = re.compile(r'"Serving".*"port": ?(\d+)|running on http://127\.0\.0\.1:(\d+)')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """How to run one server, and where it takes a picture."""

    name: str
    command: tuple[str, ...]
    path: str
    env: dict[str, str] = dataclasses.field(default_factory=dict)


def ours(workload: Workload, precision: str, settings: Mapping[str, str] | None = None) -> Kind:
    """`imageclassifier serve` with default settings but for `settings`, environment variables without prefix."""
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


class Server:
    """A running server; leaving the `with` stops it. `started_at` is just before the process was made."""

    def __init__(self, kind: Kind, logs: Path) -> None:
        self.kind = kind
        self._log = logs / f"{kind.name.replace(' ', '-')}.log"
        env = {name: value for name, value in os.environ.items() if not name.startswith("IMAGECLASSIFIER_")}
        with self._log.open("wb") as log:
            self.started_at = time.perf_counter()
            self._process = subprocess.Popen(
                kind.command, cwd=REPOSITORY, env=env | kind.env, stdout=log, stderr=subprocess.STDOUT
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

    def ask(self, picture: bytes) -> list[dict[str, Any]]:
        """Send one picture and return its predictions; raises BenchError for anything but five of them."""
        document = self.post_form(self.kind.path, picture)
        predictions: list[dict[str, Any]] = document.get("predictions") or []
        if len(predictions) != 5 or not {"class_id", "probability"} <= set(predictions[0]):
            raise BenchError(f"{self.kind.name} gave no five predictions: {str(document)[:300]}")
        return predictions

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON document at a path; raises BenchError."""
        return self._document("GET", path)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Return the JSON document that answers a body; raises BenchError."""
        return self._document("POST", path, body, headers)

    def post_form(self, path: str, picture: bytes) -> dict[str, Any]:
        """Return the JSON document that answers a form with one picture; raises BenchError."""
        head, _, body = wire.request(path, picture, form=True).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n")[1:])
        return self.post(path, body, headers)

    def _document(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ASK_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read()
            if response.status != HTTPStatus.OK:
                raise BenchError(f"{self.kind.name} answered {response.status} to {path}: {text[:300]!r}")
            document: dict[str, Any] = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise BenchError(f"{self.kind.name} did not answer: {error!r}\n{self.log_tail()}") from error
        finally:
            connection.close()
        return document

    def check_alive(self) -> None:
        """Raise BenchError where the process has ended."""
        if self._process.poll() is not None:
            raise BenchError(f"{self.kind.name} ended with {self._process.returncode}\n{self.log_tail()}")

    def wait(self, seconds: float) -> int:
        """Return the status with which the process ends by itself; raises BenchError where it does not."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.kind.name} did not end in {seconds:g} s\n{self.log_tail()}") from None

    def stop(self) -> None:
        """End the process: asked first (SIGINT skips the drain of ours), then made to."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def log_tail(self) -> str:
        """Return the end of what the process has written."""
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

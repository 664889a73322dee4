"""A real S3 server for tests: moto's, in an environment of its own, because its libraries hold others back."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from imageclassifier_runtime.settings.credentials import S3Keys

from tests import environments

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = Path(__file__).with_name("moto_program.py")


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A server with one bucket `models`, and a key that may read it."""

    url: str
    keys: S3Keys

    def put(self, key: str, body: bytes, **headers: str) -> None:
        """Place an object; before `check_from_now_on` anybody may."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}/models/{urllib.parse.quote(key)}"
        httpx.put(url, content=body, headers=named).raise_for_status()

    def check_from_now_on(self, *, check: bool = True) -> None:
        """Have the server check who asks, by signature and policy, or let it be."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content="0" if check else "inf").raise_for_status()


@contextlib.contextmanager
def running() -> Iterator[Cloud]:
    """Start the server and end it; skips where its environment cannot be made."""
    command = [str(environments.python_of("s3-server")), str(_PROGRAM)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        told: dict[str, Any] = json.loads(process.stdout.readline())
        keys = S3Keys(access_key=told["access_key"], secret_key=told["secret_key"])
        try:
            yield Cloud(told["url"], keys)
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

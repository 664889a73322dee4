"""A real S3 server for tests: moto, in a separate environment, because its requirements conflict with ours."""

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
class S3Server:
    """A server with one bucket `models`, and an access key for it."""

    url: str
    keys: S3Keys

    def put(self, key: str, body: bytes, **headers: str) -> None:
        """Store an object; this needs no key until `enforce_auth`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}/models/{urllib.parse.quote(key)}"
        httpx.put(url, content=body, headers=named).raise_for_status()

    def enforce_auth(self, *, enabled: bool = True) -> None:
        """Switch the server's checks of signatures and policies on or off."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content="0" if enabled else "inf").raise_for_status()


@contextlib.contextmanager
def running() -> Iterator[S3Server]:
    """Run the server; skips the test if its environment cannot be installed."""
    command = [str(environments.python_of("s3-server")), str(_PROGRAM)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        info: dict[str, Any] = json.loads(process.stdout.readline())
        keys = S3Keys(access_key=info["access_key"], secret_key=info["secret_key"])
        try:
            yield S3Server(info["url"], keys)
        finally:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

"""A client of one cluster: runs kubectl for commands that users type, and uses the API for frequent requests."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from e2e.cluster.api import Api, raise_warning
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import KUBECTL, KubectlError, run_kubectl
from e2e.waiting import WaitTimeoutError, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from e2e.target import Target


class Kube(Api):
    """A client of one cluster, created by `open_kube`. Thread-safe.

    `on_warning` is called with the text of each warning of the API server or of kubectl.
    """

    def __init__(
        self,
        target: Target,
        socket: Path,
        http: httpx.Client,
        *,
        on_warning: Callable[[str], None] = raise_warning,
    ) -> None:
        super().__init__(http, on_warning=on_warning)
        self.target = target
        self.socket = socket

    def command(self, *arguments: str) -> list[str]:
        """The kubectl command line, with explicit kubeconfig and context."""
        return kubectl_command(self.target, *arguments)

    def kubectl(self, *arguments: str, stdin: str | bytes | None = None, timeout_seconds: float = 120) -> str:
        """Run kubectl and return its stdout. Raises KubectlError."""
        options = _options(self.target)
        return run_kubectl(
            arguments, options=options, stdin=stdin, timeout_seconds=timeout_seconds, on_warning=self._on_warning
        )

    def apply(self, *manifests: Mapping[str, Any]) -> str:
        """`kubectl apply` some objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))


def kubectl_command(target: Target, *arguments: str) -> list[str]:
    """The command line of kubectl for one cluster."""
    return [KUBECTL, *_options(target), *arguments]


def _options(target: Target) -> tuple[str, str]:
    return f"--kubeconfig={target.kubeconfig}", f"--context={target.context}"


@contextmanager
def open_kube(target: Target, *, on_warning: Callable[[str], None] = raise_warning) -> Iterator[Kube]:
    """Connect to a cluster through `kubectl proxy`, which authenticates, on a socket private to this user."""
    with tempfile.TemporaryDirectory(prefix="imageclassifier-e2e-") as folder:
        socket = Path(folder) / "api.sock"
        log = Path(folder) / "proxy.log"
        command = kubectl_command(target, "proxy", f"--unix-socket={socket}")
        with log.open("wb") as out:
            try:
                proxy = subprocess.Popen(
                    command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=_environment()
                )
            except OSError as error:
                raise KubectlError(f"{KUBECTL} could not be started ({error}): run `make setup`") from error
        transport = httpx.HTTPTransport(uds=str(socket))
        http = httpx.Client(base_url="http://localhost", transport=transport, timeout=30, trust_env=False)
        try:
            _wait_for_proxy(proxy, http, socket, log, target)
            yield Kube(target, socket, http, on_warning=on_warning)
        finally:
            http.close()
            proxy.terminate()
            proxy.wait(10)


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}


def _wait_for_proxy(
    proxy: subprocess.Popen[bytes], http: httpx.Client, socket: Path, log: Path, target: Target
) -> None:
    last = ""

    def responds() -> bool:
        nonlocal last
        if proxy.poll() is not None:
            raise ClusterError(f"the cluster {target.context} cannot be reached: {log.read_text().strip()}")
        if not socket.exists():
            return False
        try:
            response = http.get("/version", timeout=5)
        except httpx.TransportError as error:
            last = str(error)
            return False
        last = response.text
        return response.is_success

    try:
        until(responds, seconds=20, what=f"the API server of {target.context}", every=0.05, describe=lambda: last)
    except WaitTimeoutError as error:
        raise ClusterError(str(error)) from error

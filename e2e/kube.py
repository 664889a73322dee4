"""One named cluster, by kubectl for what people type and by its API for what is asked often."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from imageclassifier_operator.children import CHILDREN

from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import kubectl
from e2e.waiting import NotInTimeError, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from e2e.target import Target

Object = dict[str, Any]

KUBECTL = str(kubectl())

_CORE = ("namespaces", "pods", "events", "nodes", "configmaps")
_GROUPS = {
    "imageclassifiers": "apis/imageclassifier.dev/v1alpha1",
    "replicasets": "apis/apps/v1",
    "customresourcedefinitions": "apis/apiextensions.k8s.io/v1",
    **dict.fromkeys(_CORE, "api/v1"),
    **{child.resource.plural: child.resource.path()[1:].rpartition("/")[0] for child in CHILDREN},
}


class KubectlError(ClusterError):
    """Kubectl failed; the text is its own."""


class ServerWarningError(ClusterError):
    """The API server or kubectl warned, of a deprecated API for example: no test may depend on such."""


class WatchError(ClusterError):
    """The API server ended a watch with an error; the text is its own."""


def path_of(plural: str, *, namespace: str | None = None, name: str | None = None) -> str:
    """The path of a collection, or of one object of it."""
    inside = f"namespaces/{namespace}/" if namespace else ""
    return f"/{_GROUPS[plural]}/{inside}{plural}{f'/{name}' if name else ''}"


def reject_warning(text: str) -> None:
    """Take a warning for an error."""
    raise ServerWarningError(text)


class Kube:
    """A cluster that is open: `open_kube` makes one. Safe to use from several threads.

    `on_warning` gets the text of each warning of the API server or of kubectl.
    """

    def __init__(
        self,
        target: Target,
        socket: Path,
        http: httpx.Client,
        *,
        on_warning: Callable[[str], None] = reject_warning,
    ) -> None:
        self.target = target
        self.socket = socket
        self._http = http
        self._on_warning = on_warning
        http.event_hooks = {"response": [self._look_for_warnings]}

    def _look_for_warnings(self, answer: httpx.Response) -> None:
        for warning in answer.headers.get_list("warning"):
            self._on_warning(f"{answer.request.method} {answer.request.url.path}: {warning}")

    def command(self, *arguments: str) -> list[str]:
        """The command line of kubectl, with the kubeconfig and the context in full."""
        return kubectl_command(self.target, *arguments)

    def kubectl(self, *arguments: str, stdin: str | bytes | None = None, seconds: float = 120) -> str:
        """Run kubectl for what it prints. Raises KubectlError."""
        options = _of(self.target)
        return kubectl_output(
            arguments, options=options, stdin=stdin, seconds=seconds, on_warning=self._on_warning
        )

    def apply(self, *manifests: Mapping[str, Any]) -> str:
        """`kubectl apply` some objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        return self.kubectl("apply", "-f", "-", stdin=json.dumps(listed))

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> Object:
        """One request to the API server; a PATCH is a merge patch. Raises httpx.HTTPStatusError."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        answer = self._http.request(method, path, content=content, headers={"Content-Type": kind}, params=query)
        if answer.is_error:
            text = f"{method} {path}: {answer.status_code} {_message(answer)}"
            raise httpx.HTTPStatusError(text, request=answer.request, response=answer)
        result: Object = answer.json()
        return result

    def get(self, plural: str, name: str, *, namespace: str | None = None) -> Object | None:
        """One object, or None where there is none (or no such kind)."""
        try:
            return self.request("GET", path_of(plural, namespace=namespace, name=name))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    def list(self, plural: str, *, namespace: str | None = None, selector: str = "") -> list[Object]:
        """The objects of a kind, none where there is no such kind."""
        path = path_of(plural, namespace=namespace)
        try:
            found: list[Object] = self.request("GET", path, labelSelector=selector)["items"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return []
            raise
        return found

    def create(self, plural: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Create one object."""
        return self.request("POST", path_of(plural, namespace=namespace), body)

    def patch(self, plural: str, name: str, body: Mapping[str, Any], *, namespace: str | None = None) -> Object:
        """Merge a patch into one object."""
        return self.request("PATCH", path_of(plural, namespace=namespace, name=name), body)

    def delete(self, plural: str, name: str, *, namespace: str | None = None) -> None:
        """Delete one object, its dependents after it; one that is gone already is fine."""
        try:
            self.request("DELETE", path_of(plural, namespace=namespace, name=name))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise

    def watch(self, plural: str, *, namespace: str, name: str, seconds: int) -> Iterator[Object]:
        """Every state of one object from now on, until the server ends the stream. Raises WatchError."""
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(seconds)}
        path = path_of(plural, namespace=namespace)
        with self._http.stream("GET", path, params=query, timeout=seconds + 10) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                event: Object = json.loads(line)
                if event["type"] == "ERROR":
                    raise WatchError(f"watch of {plural} {name}: {event['object'].get('message')}")
                yield event["object"]


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        return answer.text[:500]


def kubectl_command(target: Target, *arguments: str) -> list[str]:
    """The command line of kubectl for one cluster."""
    return [KUBECTL, *_of(target), *arguments]


def _of(target: Target) -> tuple[str, str]:
    return f"--kubeconfig={target.kubeconfig}", f"--context={target.context}"


def kubectl_output(
    arguments: Sequence[str],
    *,
    options: Sequence[str],
    stdin: str | bytes | None = None,
    seconds: float = 120,
    on_warning: Callable[[str], None] = reject_warning,
) -> str:
    """Run kubectl with options that say where, for what it prints. Raises KubectlError."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(
            [KUBECTL, *options, *arguments],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise KubectlError(f"{KUBECTL} does not exist: run make setup") from error
    except subprocess.TimeoutExpired as error:
        raise KubectlError(f"kubectl {arguments[0]} took longer than {seconds:.0f} s") from error
    errors, command = done.stderr.decode(errors="replace"), f"kubectl {' '.join(arguments[:4])}"
    if done.returncode != 0:
        said = (errors or done.stdout.decode(errors="replace")).strip()
        raise KubectlError(f"{command}: {said}")
    for line in errors.splitlines():
        if line.startswith("Warning:"):
            on_warning(f"{command}: {line}")
    return done.stdout.decode(errors="replace")


@contextmanager
def open_kube(target: Target, *, on_warning: Callable[[str], None] = reject_warning) -> Iterator[Kube]:
    """Open a cluster: `kubectl proxy` brings its own way of logging in, on a socket that only we can reach."""
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
                raise KubectlError(f"{KUBECTL} could not be started ({error}): run make setup") from error
        transport = httpx.HTTPTransport(uds=str(socket))
        http = httpx.Client(base_url="http://localhost", transport=transport, timeout=30)
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
    said = ""

    def answers() -> bool:
        nonlocal said
        if proxy.poll() is not None:
            raise ClusterError(f"the cluster {target.context} cannot be reached: {log.read_text().strip()}")
        if not socket.exists():
            return False
        try:
            answer = http.get("/version", timeout=5)
        except httpx.TransportError as error:
            said = str(error)
            return False
        said = answer.text
        return answer.is_success

    try:
        until(answers, seconds=20, what=f"the API server of {target.context}", every=0.05, otherwise=lambda: said)
    except NotInTimeError as error:
        raise ClusterError(str(error)) from error

"""What `helm test` runs in the servers' image: creates an ImageClassifier, and waits until it returns predictions.

Arguments: namespace and name of the object, the timeout in seconds, and the spec of the object as JSON.
"""

from __future__ import annotations

import io
import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc/apis/imageclassifier.dev/v1alpha1"
POLL_SECONDS = 0.5
REQUEST_SECONDS = 10

Result = dict[str, Any]


class NotYetError(Exception):
    """The state that the test waits for is not reached yet; the message says what is."""


class Kubernetes:
    """Creates, reads and deletes one ImageClassifier, with the pod's service account."""

    def __init__(self, namespace: str, name: str, spec: Result | None = None) -> None:
        self.name = name
        self.spec = {"rollout": {"drainSeconds": 0}, **(spec or {})}
        self.collection = f"{API}/namespaces/{namespace}/imageclassifiers"
        self.context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def create(self) -> None:
        """Create the object, by default with the bundled model; its pods stop without a delay."""
        manifest = {
            "apiVersion": "imageclassifier.dev/v1alpha1",
            "kind": "ImageClassifier",
            "metadata": {"name": self.name},
            "spec": self.spec,
        }
        self._send("POST", self.collection, manifest)

    def get(self) -> Result | None:
        """The object, or None if it does not exist."""
        return self._send("GET", f"{self.collection}/{self.name}")

    def delete(self) -> None:
        """Delete the object if it exists."""
        self._send("DELETE", f"{self.collection}/{self.name}")

    def _send(self, method: str, url: str, manifest: Result | None = None) -> Result | None:
        body = None if manifest is None else json.dumps(manifest).encode()
        token = (ACCOUNT / "token").read_text()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=REQUEST_SECONDS) as response:
                result: Result = json.load(response)
                return result
        except urllib.error.HTTPError as error:
            if error.code == 404 and method != "POST":
                return None
            raise SystemExit(f"{method} {url}: {error.code} {error.read().decode()}") from None


def absent(found: Result | None) -> None:
    """Raise NotYetError if the object exists."""
    if found is not None:
        raise NotYetError("it still exists")


def ready_url(found: Result | None) -> str:
    """The URL of a Ready object; raises NotYetError for another one."""
    if found is None:
        raise SystemExit("the ImageClassifier was deleted during the test")
    status = found.get("status", {})
    condition = next((item for item in status.get("conditions", []) if item["type"] == "Ready"), None)
    if condition is None:
        raise NotYetError("the operator has not reported status yet; see its logs")
    if condition["status"] != "True" or condition.get("observedGeneration") != found["metadata"]["generation"]:
        raise NotYetError(f"Ready={condition['status']} {condition['reason']}: {condition['message']}")
    url: str = status["url"]
    return url


def predictions(url: str) -> list[Result]:
    """The predictions for a generated image; raises NotYetError if there is no response with status 200."""
    image = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(image, "PNG")
    headers = {"Content-Type": "image/png"}
    request = urllib.request.Request(f"{url}/api/v1/classify", image.getvalue(), headers)
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
            found: list[Result] = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        raise NotYetError(f"{request.full_url}: {error.code} {error.read().decode()}") from None
    except OSError as error:
        raise NotYetError(f"{request.full_url}: {error}") from None
    if not found or not all(item["class_name"] and 0 <= item["probability"] <= 1 for item in found):
        raise SystemExit(f"not predictions: {found}")
    return found


def until(what: str, deadline: float, probe: Callable[[], Any]) -> Any:
    """Return the first result of the probe that is not a NotYetError. Exits at the deadline."""
    while True:
        try:
            result = probe()
        except NotYetError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"timed out waiting for {what}: {error}") from None
            time.sleep(POLL_SECONDS)
        else:
            print(f"{what}: {result}" if result else what, flush=True)
            return result


def main(namespace: str, name: str, seconds: str, spec: str = "{}") -> None:
    """Run the test; the exit status is 1 and the last line says why, if there is no prediction in time."""
    deadline = time.monotonic() + float(seconds)
    kubernetes = Kubernetes(namespace, name, json.loads(spec))
    kubernetes.delete()  # left by a test that was interrupted
    until("no ImageClassifier of an earlier test", deadline, lambda: absent(kubernetes.get()))
    kubernetes.create()
    try:
        url = until(f"ImageClassifier {namespace}/{name} Ready", deadline, lambda: ready_url(kubernetes.get()))
        until("predictions", deadline, lambda: predictions(url))
    finally:
        kubernetes.delete()


if __name__ == "__main__":
    main(*sys.argv[1:])

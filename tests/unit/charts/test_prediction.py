"""The program of `helm test` passes only if an ImageClassifier is Ready and returns predictions."""

from __future__ import annotations

import importlib.util
import io
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tools import chart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

URL = "http://pets.vision.svc"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prediction", chart.CHART / "files" / "prediction.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prediction = _load()


def _object(status: str, *, observed: int = 2) -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "reason": "R", "message": "M", "observedGeneration": observed}
    return {"metadata": {"generation": 2}, "status": {"url": URL, "conditions": [ready]}}


@contextmanager
def _server(status: int, body: dict[str, Any]) -> Iterator[str]:
    """A server that decodes the image of each request, and always sends the same response."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/api/v1/classify"
            Image.open(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"])))).load()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_ready_object_has_a_url() -> None:
    assert prediction.ready_url(_object("True")) == URL


@pytest.mark.parametrize(
    "found", [{"metadata": {"generation": 1}}, _object("False"), _object("Unknown"), _object("True", observed=1)]
)
def test_an_object_that_is_not_ready_in_its_latest_generation_is_waited_for(found: dict[str, Any]) -> None:
    with pytest.raises(prediction.NotYetError):
        prediction.ready_url(found)


def test_an_object_that_was_deleted_fails_the_test() -> None:
    with pytest.raises(SystemExit, match="deleted"):
        prediction.ready_url(None)


def test_predictions_pass() -> None:
    found = [{"class_name": "cat", "probability": 0.9}]
    with _server(200, {"predictions": found}) as url:
        assert prediction.predictions(url) == found


def test_a_server_that_is_not_ready_is_waited_for() -> None:
    with _server(503, {"title": "busy"}) as url, pytest.raises(prediction.NotYetError, match="503"):
        prediction.predictions(url)


def test_an_unreachable_server_is_waited_for() -> None:
    with _server(200, {}) as url:
        pass
    with pytest.raises(prediction.NotYetError, match="refused"):
        prediction.predictions(url)


@pytest.mark.parametrize("found", [[], [{"class_name": "cat", "probability": 1.5}]])
def test_a_response_without_valid_predictions_fails_the_test(found: list[dict[str, Any]]) -> None:
    with _server(200, {"predictions": found}) as url, pytest.raises(SystemExit, match="not predictions"):
        prediction.predictions(url)


def test_after_the_deadline_the_last_state_is_the_error() -> None:
    def probe() -> None:
        raise prediction.NotYetError("Ready=False R: M")

    with pytest.raises(SystemExit, match="timed out waiting for Ready: Ready=False R: M"):
        prediction.until("Ready", time.monotonic() - 1, probe)

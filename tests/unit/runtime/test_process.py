"""The lifecycle of the process: ready after warm-up, drain on SIGTERM, clear errors at start."""

from __future__ import annotations

import http.client
import importlib.util
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.logs import TextFormatter

from tests.unit.runtime.process import PROGRAM, Served, environment
from tests.unit.runtime.support import image_bytes, write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLASSIFY = "/api/v1/classify"
PNG = {"Content-Type": "image/png"}


@pytest.fixture
def start(model_path: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(**settings: object) -> Served:
        started.append(Served(MODEL_DIR=model_path, **settings))
        return started[-1]

    yield start
    for served in started:
        served.kill()


class Client(threading.Thread):
    """Posts images sequentially over keep-alive connections."""

    def __init__(self, served: Served) -> None:
        super().__init__()
        self.failures: list[str] = []
        self.answers = 0
        self.stop = False
        self._served = served

    def run(self) -> None:
        connection = self._served.connect()
        image = image_bytes()
        while not self.stop:
            try:
                connection.request("POST", CLASSIFY, image, PNG)
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                return
            self.answers += 1
            if response.status != 200:
                self.failures.append(str(response.status))
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def begun(served: Served, part: bytes, *, length: int) -> http.client.HTTPConnection:
    """Post an image of `length` bytes, of which only the first part comes for now."""
    connection = served.connect()
    connection.putrequest("POST", CLASSIFY)
    connection.putheader("Content-Type", "image/png")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(part)
    return connection


def until_it_stays(count: Callable[[], str]) -> None:
    before, now = "", count()
    while now != before:
        time.sleep(0.05)
        before, now = now, count()


def counted_answers(served: Served) -> str:
    connection = served.connect()
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return "".join(
        line for line in text.splitlines() if line.startswith('imageclassifier_requests_total{code="200"')
    )


def refuses_connections(served: Served) -> bool:
    try:
        served.get("/api/v1/health/live")
    except OSError:
        return True
    return False


def test_no_request_is_lost_during_the_drain_and_the_process_exits(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=1.5)
    assert served.get("/api/v1/health/ready") == 200
    clients = [Client(served) for _ in range(4)]
    for client in clients:
        client.start()
    until(lambda: all(client.answers > 3 for client in clients))
    served.process.send_signal(signal.SIGTERM)
    until(lambda: served.get("/api/v1/health/ready") == 503)
    before = [client.answers for client in clients]
    assert served.get("/api/v1/health/live") == 200
    until(lambda: all(client.answers > count + 3 for client, count in zip(clients, before, strict=True)))
    for client in clients:
        client.stop = True
    for client in clients:
        client.join()
    assert [client.failures for client in clients] == [[]] * 4
    assert served.end() == 0


def test_a_request_in_flight_when_the_drain_ends_is_still_answered(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=0)
    image = image_bytes()
    connection = begun(served, image[:20], length=len(image))
    assert served.get("/api/v1/health/live") == 200  # by now the loop has seen the other request too
    served.process.send_signal(signal.SIGTERM)
    until(lambda: refuses_connections(served))
    connection.send(image[20:])
    response = connection.getresponse()
    assert response.status == 200
    response.read()
    connection.close()
    assert served.end() == 0


def test_a_request_interrupted_by_the_shutdown_gets_503(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=0)
    connection = begun(served, b"the rest never comes", length=1_000)
    assert served.get("/api/v1/health/live") == 200  # by now the loop has seen the other request too
    served.process.send_signal(signal.SIGTERM)
    served.wait_for("Draining")
    until(lambda: refuses_connections(served))
    for _ in range(2):  # a second one and a third: not to wait for it any longer
        served.process.send_signal(signal.SIGINT)
    response = connection.getresponse()
    assert response.status == 503
    assert response.headers["Retry-After"]
    assert response.headers["Connection"] == "close"
    assert "shutting down" in json.loads(response.read())["detail"]
    connection.close()
    written = served.process.stdout.read() if served.process.stdout is not None else ""
    assert "Traceback" not in written
    assert '"reason":"draining"' in written
    assert served.end() == 0


def test_unread_responses_do_not_delay_the_shutdown(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=0, BODY_TIMEOUT_SECONDS=600)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", served.port))
        for _ in range(3):  # together more than the kernel keeps, and at no time more than may wait
            client.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n" * 60)
            until_it_stays(lambda: counted_answers(served))
        served.process.send_signal(signal.SIGTERM)
        until(lambda: refuses_connections(served))
        served.process.send_signal(signal.SIGINT)
        assert served.end() == 0


def test_a_rejected_client_does_not_fill_the_log_at_shutdown(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=0)
    connection = begun(served, b"too much", length=999_999_999)
    answer = connection.getresponse()  # now what it still sends is read and forgotten
    assert answer.status == 413
    served.process.send_signal(signal.SIGTERM)
    until(lambda: refuses_connections(served))
    served.process.send_signal(signal.SIGINT)
    assert "Traceback" not in (served.process.stdout.read() if served.process.stdout is not None else "")
    assert served.end() == 0
    connection.close()


def test_sigint_skips_the_drain(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=600)
    served.process.send_signal(signal.SIGINT)
    assert served.end() == 0


def test_a_second_signal_stops_the_drain(start: Callable[..., Served]) -> None:
    served = start(DRAIN_SECONDS=600)
    served.process.send_signal(signal.SIGTERM)
    served.wait_for("Draining")
    served.process.send_signal(signal.SIGTERM)
    assert served.end() == 0


def test_a_model_that_cannot_be_loaded_is_reported_in_the_termination_message(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "labels.txt").write_text("one\n")
    log = tmp_path / "termination-log"
    env = environment(MODEL_DIR=folder, TERMINATION_LOG=log, PORT=0)
    assert subprocess.run([PROGRAM, "serve"], env=env, check=False, stdout=subprocess.DEVNULL).returncode == 1
    entry = json.loads(log.read_text())
    assert entry == {"reason": "ModelInvalid", "message": "labels.txt has 1 lines, but the model has 4 classes"}


def test_an_invalid_setting_is_named_and_exits_with_status_2(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    env = environment(PORT="eighty", TERMINATION_LOG=log)
    ended = subprocess.run([PROGRAM, "serve"], env=env, check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "IMAGECLASSIFIER_PORT must be a whole number" in ended.stdout
    assert json.loads(log.read_text())["reason"] == "SettingsInvalid"


def run_serve(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    env = environment(TERMINATION_LOG="/nowhere/log", **settings)
    return subprocess.run(
        [PROGRAM, "serve", *arguments], env=env, check=False, capture_output=True, text=True, timeout=100
    )


def test_a_port_in_use_exits_with_status_2_and_a_remedy(start: Callable[..., Served]) -> None:
    ended = run_serve("--port", str(start().port))
    assert ended.returncode == 2
    assert "on 127.0.0.1 is already in use: choose another port with --port" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_a_foreign_address_exits_with_status_2() -> None:
    ended = run_serve("--port", "0", HOST="192.0.2.1")
    assert ended.returncode == 2
    assert "192.0.2.1 is not an address of this machine" in ended.stdout


def test_a_missing_folder_exits_with_status_1(tmp_path: Path) -> None:
    ended = run_serve("--model", str(tmp_path / "none"))
    assert ended.returncode == 1
    assert "none does not exist: give a model folder" in ended.stdout


def test_by_default_it_serves_the_bundled_model_on_loopback_and_logs_the_url() -> None:
    served = Served(HOST="")
    try:
        entry = served.logged["Serving"]
        assert entry["url"] == f"http://127.0.0.1:{served.port}/"
        assert served.logged["Ready"]["model"] == "cifar10-mobilenet-v2"
        assert served.get("/") == 200
    finally:
        served.kill()


def test_the_image_serves_on_all_addresses() -> None:
    text = (Path(__file__).parents[3] / "Dockerfile.runtime").read_text()
    assert 'IMAGECLASSIFIER_HOST="*"' in text
    served = Served(HOST="*")
    try:
        assert served.logged["Serving"]["url"] == f"http://localhost:{served.port}/"
        with socket.create_connection(("127.0.0.2", served.port), timeout=20):
            pass
    finally:
        served.kill()


def test_a_terminal_gets_text_instead_of_json() -> None:
    formatter = TextFormatter()
    record = logging.makeLogRecord({"msg": "Serving", "levelno": logging.INFO, "fields": {"url": "http://x/\x1b"}})
    line = formatter.format(record)
    assert line.endswith("Serving  url=http://x/\\x1b")
    record.levelno, record.levelname = logging.ERROR, "ERROR"
    assert "error: Serving" in formatter.format(record)


def test_a_server_without_valid_keys_does_not_start(model_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    env = environment(MODEL_DIR=model_path, API_KEYS_PATH=tmp_path / "keys", TERMINATION_LOG=log, PORT=0)
    assert subprocess.run([PROGRAM, "serve"], env=env, check=False, stdout=subprocess.DEVNULL).returncode == 2
    entry = json.loads(log.read_text())
    assert entry["reason"] == "ApiKeysInvalid"
    assert "cannot be read" in entry["message"]


def test_the_bundled_model_is_fetched_and_the_digest_command_agrees(tmp_path: Path) -> None:
    def run(command: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        env = environment(TERMINATION_LOG=tmp_path / "log", **settings)
        return subprocess.run([PROGRAM, command, *arguments], env=env, check=False, capture_output=True, text=True)

    model = tmp_path / "model"
    assert run("fetch", MODEL_DIR=model).returncode == 0
    entry = json.loads((tmp_path / "log").read_text())
    assert (entry["name"], entry["classes"]) == ("cifar10-mobilenet-v2", 10)
    assert run("digest", str(model)).stdout.strip() == entry["sha256"]


def test_an_unread_log_does_not_block_the_server(start: Callable[..., Served]) -> None:
    served = start()
    path = "/nothing/" + "x" * 190
    # Each of these is a line of some 400 bytes, and a pipe takes 64 KiB.
    assert [served.get(path) for _ in range(400)] == [404] * 400
    assert served.get("/api/v1/health/live") == 200
    lines, left_out = 0, 0
    for _ in range(50):
        entry = json.loads(served.process.stdout.readline())  # type: ignore[union-attr]
        lines += entry["message"] == "Request"
    assert served.get(path) == 404
    while not left_out:
        entry = json.loads(served.process.stdout.readline())  # type: ignore[union-attr]
        lines += entry["message"] == "Request"
        left_out = entry.get("lines", 0)
    assert json.loads(served.process.stdout.readline())["path"] == path  # type: ignore[union-attr]
    assert lines + left_out == 400


def test_disabled_features_are_not_imported(model_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from imageclassifier_runtime import serve\n"
        "from imageclassifier_runtime.model import folder\n"
        "from imageclassifier_runtime.settings.commands import ServeSettings\n"
        "from imageclassifier_runtime.web.app import create_app\n"
        "path = Path(sys.argv[1])\n"
        "settings = ServeSettings.from_env({'IMAGECLASSIFIER_MEMORY_LIMIT_BYTES': str(1 << 30)}, folder=path)\n"
        "state, workers = serve.build(settings, folder.load(path), threads=1)\n"
        "create_app(state)\n"
        "workers.shutdown()\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(model_path)], capture_output=True, text=True, check=True
    )
    ours = ("auth.key_files", "scheduling.batching", "cache.", "quantize.run", "telemetry.tracing")
    # A name that nothing has any more would never be found.
    assert all(importlib.util.find_spec(f"imageclassifier_runtime.{name.rstrip('.')}") for name in ours)
    off = (
        *("onnx.", "redis", "opentelemetry.sdk", "opentelemetry.proto", "opentelemetry.exporter"),
        *(f"imageclassifier_runtime.{name}" for name in ours),
    )
    assert [name for name in done.stdout.split() if f"{name}.".startswith(off)] == []

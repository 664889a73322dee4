"""`imageclassifier classify`: an aligned table, JSON, and the reason of each failure."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import socket
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.classify_command import show
from imageclassifier_runtime.cli import main

from tests.unit.runtime.certificates import write_certificate
from tests.unit.runtime.process import Served
from tests.unit.runtime.support import LABELS, image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("IMAGECLASSIFIER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, str]:
    found = {}
    for colour in ("red", "blue"):
        file = tmp_path / f"{colour}.png"
        file.write_bytes(image_bytes(colour))
        found[colour] = str(file)
    notes = tmp_path / "notes.txt"
    notes.write_text("nothing to see")
    return {**found, "notes": str(notes), "missing": str(tmp_path / "missing.jpg"), "folder": str(tmp_path)}


@pytest.fixture(scope="module")
def served(model_path: Path) -> Iterator[Served]:
    server = Served(MODEL_DIR=model_path, MAX_IMAGE_BYTES=4096)
    yield server
    server.kill()


class FixedResponse:
    """A server that sends the same response to every request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.seen: list[dict[str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append({**self.headers, "path": self.path})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fixed_response() -> Iterator[Callable[..., FixedResponse]]:
    servers = []

    def make(status: int, headers: dict[str, str], body: bytes) -> FixedResponse:
        servers.append(FixedResponse(status, headers, body))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def rows(out: str) -> list[tuple[str, str, str]]:
    """Return name, percentage and bar of each line of a table."""
    found = []
    for line in out.splitlines():
        if line.startswith("  "):
            name, share, *rest = line.split()
            found.append((name, share, rest[1] if len(rest) > 1 else ""))
    return found


def test_each_photograph_has_an_aligned_table_with_the_most_likely_class_first(
    photos: dict[str, str], model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "--model", str(model_path), photos["red"], photos["blue"]]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    blocks = out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [photos["red"], photos["blue"]]
    assert [rows(block)[0][0] for block in blocks] == ["red", "blue"]
    for block in blocks:
        assert sorted(name for name, *_ in rows(block)) == sorted(LABELS)
        assert len({line.index(" %") for line in block.splitlines()[1:]}) == 1
        assert sum(float(share) for _, share, _ in rows(block)) == pytest.approx(100, abs=0.03)
        lengths = [len(bar) for *_, bar in rows(block)]
        assert lengths == sorted(lengths, reverse=True)


def test_the_results_of_the_process_and_of_a_server_are_equal(
    photos: dict[str, str], model_path: Path, served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [photos["red"], photos["blue"], "--json", "--top-k", "3"]
    assert main(["classify", "--model", str(model_path), *arguments]) == 0
    local = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["classify", "--url", f"http://127.0.0.1:{served.port}/", *arguments]) == 0
    remote = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["predictions"] for answer in local] == [answer["predictions"] for answer in remote]
    assert [answer["model"]["sha256"] for answer in local] == [answer["model"]["sha256"] for answer in remote]
    assert [len(answer["predictions"]) for answer in local] == [3, 3]
    assert [answer["photo"] for answer in local] == [photos["red"], photos["blue"]]
    assert local[0]["timings_ms"]["decode"] > 0


def test_a_failed_photograph_does_not_affect_the_others(
    photos: dict[str, str], model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [photos["notes"], photos["missing"], photos["folder"], photos["red"]]
    assert main(["classify", "--model", str(model_path), *names]) == 1
    out, err = capsys.readouterr()
    assert rows(out)[0][0] == "red"
    assert err.splitlines() == [
        f"{photos['notes']}: The file is not a JPEG, PNG, WebP, BMP or GIF image.",
        f"{photos['missing']}: file not found",
        f"{photos['folder']}: it is a folder: pass the photographs in it",
    ]


def test_the_error_of_a_server_is_shown(
    photos: dict[str, str], served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(image_bytes() + bytes(200_000))
    url = f"http://127.0.0.1:{served.port}/api/v1/classify"
    assert main(["classify", "--url", url, photos["notes"], str(large), photos["blue"]]) == 1
    out, err = capsys.readouterr()
    assert rows(out)[0][0] == "blue"
    notes, too_large = err.splitlines()
    assert notes.endswith(
        "415 Not a type that this server takes: The file is not a JPEG, PNG, WebP, BMP or GIF image."
    )
    assert "413 The image is too large: " in too_large
    assert "4096" in too_large


def test_a_photograph_over_the_limit_is_also_rejected_without_a_server(
    photos: dict[str, str], model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IMAGECLASSIFIER_MAX_IMAGE_PIXELS", "1024")
    assert main(["classify", "--model", str(model_path), photos["red"]]) == 1
    assert "takes at most 1024 pixels" in capsys.readouterr().err


def test_a_photograph_can_come_from_standard_input(
    model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(image_bytes("blue"))))
    assert main(["classify", "--model", str(model_path), "-"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "standard input"
    assert rows(out)[0][0] == "blue"


PROBLEM = json.dumps({"title": "Too many requests", "detail": "This key may ask 5 times a second."}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (401, {}, b'{"detail": "Send a key."}', "401 Unauthorized: Send a key."),
        (
            429,
            {"Retry-After": "3"},
            PROBLEM,
            "429 Too many requests: This key may ask 5 times a second. Try again in 3 s.",
        ),
        (503, {}, b"<html>", "503 Service Unavailable: the server stated no reason"),
        (302, {"Location": "https://other/"}, b"", "302 Found: it redirects to https://other/: use that address"),
        (200, {}, b'{"predictions": [{}]}', "is not from an image classifier: is this its address?"),
        (500, {}, b'{"detail": "\\u001b[2Jgone"}', "500 Internal Server Error: \ufffd[2Jgone"),
    ],
)
def test_every_failure_is_reported_with_its_reason(
    fixed_response: Callable[..., FixedResponse],
    photos: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    status: int,
    headers: dict[str, str],
    body: bytes,
    expected: str,
) -> None:
    server = fixed_response(status, headers, body)
    assert main(["classify", "--url", server.url, photos["red"], photos["blue"]]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith(f"{photos['red']}: ")
    assert first.endswith(expected)
    assert second.endswith(expected)


def test_with_json_a_failure_is_problem_details(
    fixed_response: Callable[..., FixedResponse], photos: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server = fixed_response(429, {}, PROBLEM)
    assert main(["classify", "--json", "--url", server.url, photos["red"]]) == 1
    out, err = capsys.readouterr()
    problem = {"title": "Too many requests", "status": 429, "detail": "This key may ask 5 times a second."}
    assert (json.loads(out), err) == ({"photo": photos["red"], "problem": problem}, "")


def test_the_key_from_the_environment_is_sent_and_the_path_of_the_url_is_kept(
    fixed_response: Callable[..., FixedResponse],
    photos: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMAGECLASSIFIER_API_KEY", "a-key-for-this-test")
    server = fixed_response(403, {}, b"")
    assert main(["classify", "--url", f"{server.url}/under/here/", "--top-k", "2", photos["red"]]) == 1
    (seen,) = server.seen
    assert seen["Authorization"] == "Bearer a-key-for-this-test"
    assert seen["path"] == "/under/here/api/v1/classify?top_k=2"
    assert "a-key-for-this-test" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("key", ["a-key\nfor-this-test", "a-key-for-this-test\u20ac"])
def test_a_key_that_is_invalid_in_a_header_is_rejected_without_showing_it(
    fixed_response: Callable[..., FixedResponse],
    photos: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
) -> None:
    monkeypatch.setenv("IMAGECLASSIFIER_API_KEY", key)
    server = fixed_response(403, {}, b"")
    assert main(["classify", "--url", server.url, photos["red"]]) == 2
    err = capsys.readouterr().err
    assert err == "error: IMAGECLASSIFIER_API_KEY contains a character that is not allowed in an HTTP header\n"
    assert server.seen == []


def test_an_untrusted_certificate_is_reported_once(
    photos: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept_connection() -> None:
            raw, _ = listener.accept()
            with raw, contextlib.suppress(OSError):
                context.wrap_socket(raw, server_side=True).close()

        thread = threading.Thread(target=accept_connection)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert main(["classify", "--url", url, photos["red"], photos["blue"]]) == 1
        thread.join()
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: TLS connection to {url} failed: ")
    assert "certificate verify failed" in said


def test_an_unreachable_server_is_reported_once(
    fixed_response: Callable[..., FixedResponse], photos: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server = fixed_response(200, {}, b"")
    server.close()
    assert main(["classify", "--url", server.url, photos["red"], photos["blue"]]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {server.url} is unreachable (Connection refused)")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--top-k", "11"], "top_k must be a whole number from 1 to 10"),
        (["--url", "ftp://host"], "must be http(s)://host[:port]"),
        (["--url", "http://user:1/secret@host"], "must be http(s)://host[:port]"),
        (["--url", "http://user:secret@host"], "must be http(s)://host[:port]"),
        (["--url", "http://host", "--model", "folder"], "not allowed with argument"),
        (["--precision", "INT4"], "invalid choice"),
    ],
)
def test_invalid_flags_exit_with_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["classify", *arguments, "photo.jpg"])
    assert raised.value.code == 2
    err = capsys.readouterr().err
    assert expected in err
    assert "secret" not in err


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["--model", "no-such-folder"], 1, "no-such-folder does not exist: give a model folder"),
        (["--model", __file__], 1, "is a file: give the folder that it is in"),
        (["--url", "http://127.0.0.1:1", "--precision", "INT8"], 2, "--precision applies to a model folder"),
    ],
)
def test_an_invalid_model_or_option_is_reported(
    photos: dict[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, expected: str
) -> None:
    assert main(["classify", *arguments, photos["red"]]) == status
    assert expected in capsys.readouterr().err


def test_the_precision_of_a_model_folder_can_be_set(
    quantized_path: Path, model_path: Path, photos: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def shares(*arguments: str) -> list[Any]:
        assert main(["classify", "--json", "--model", *arguments, photos["red"]]) == 0
        found: list[Any] = json.loads(capsys.readouterr().out)["predictions"]
        return found

    assert shares(str(quantized_path), "--precision", "Auto") == shares(str(quantized_path), "--precision", "INT8")
    assert shares(str(quantized_path)) == shares(str(model_path))
    assert main(["classify", "--model", str(model_path), "--precision", "INT8", photos["red"]]) == 1
    assert "needs an accepted int8 graph" in capsys.readouterr().err


def test_bars_grow_by_eighths_of_a_character() -> None:
    assert show.bar(0) == ""
    assert show.bar(1) == "█" * 24
    assert show.bar(0.5) == "█" * 12
    assert show.bar(1 / 192) == "▏"
    assert show.bar(0.25, ascii_only=True) == "######"


def test_names_with_wide_letters_are_aligned_and_long_names_truncated() -> None:
    predictions = [
        {"class_name": "猫", "probability": 0.5},
        {"class_name": "a\x1b[31mb", "probability": 0.25},
        {"class_name": "c" * 60, "probability": 0.25},
    ]
    _, wide, odd, long = show.block("x", {"predictions": predictions}, first=True).splitlines()
    assert wide.index("50.00") + 1 == odd.index("25.00") == long.index("25.00")
    assert "\x1b" not in odd
    assert long.startswith("  " + "c" * 39 + "… ")

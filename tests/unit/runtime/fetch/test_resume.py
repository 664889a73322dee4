"""Interrupted downloads and faulty servers: a download is resumed only if the file is provably the same."""

from __future__ import annotations

import dataclasses
import email.utils
import hashlib
import json
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import (
    ACCESS_DENIED,
    ADDRESS_REFUSED,
    DIGEST_MISMATCH,
    INVALID,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch import run, staging
from imageclassifier_runtime.fetch.partial import strong

from tests.unit.runtime.fetch.fetching import IMAGENET, fetch, refused
from tests.unit.runtime.fetch.model_store import Resumable, Store, redirect, send

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from imageclassifier_runtime.settings.commands import FetchSettings

DIGEST = hashlib.sha256(IMAGENET).hexdigest()
SIZE = len(IMAGENET)


@pytest.mark.parametrize("seed", range(5))
def test_an_interrupted_download_is_resumed_at_its_last_byte(
    store: Store, settings: FetchSettings, seed: int
) -> None:
    offsets = sorted(random.Random(seed).sample(range(1, SIZE), 3 * settings.attempts))
    cuts = [end - start for start, end in zip([0, *offsets], offsets, strict=False)]
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=cuts)
    assert fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST).sha256 == DIGEST
    assert store.ranges == [None, *(f"bytes={offset}-" for offset in offsets)]
    assert (settings.model_dir / "model.onnx").read_bytes() == IMAGENET


def test_attempts_without_progress_are_limited(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[100] + [0] * 50)
    with pytest.raises(ModelError, match="the connection ended after 100 of") as caught:
        fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert caught.value.reason == UNREACHABLE
    assert len(store.seen) == settings.attempts


@pytest.mark.parametrize("etag", [None, 'W/"v1"', '""', "v1"])
def test_without_a_strong_etag_every_attempt_fetches_the_whole_file(
    store: Store, settings: FetchSettings, etag: str | None
) -> None:
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[1000, 2000], etag=etag)
    fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert store.ranges == [None, None, None]


def test_a_file_that_was_replaced_is_fetched_from_its_first_byte(store: Store, settings: FetchSettings) -> None:
    old = Resumable(b"x" * SIZE, cuts=[1000], etag='"old"')

    def answer(handler: BaseHTTPRequestHandler) -> None:
        (old if len(store.seen) == 1 else Resumable(IMAGENET, etag='"new"'))(handler)

    store.answers["/m.onnx"] = answer
    assert fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST).sha256 == DIGEST
    assert store.ranges == [None, "bytes=1000-"]


REST = str(SIZE - 1000)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"Content_Range": f"bytes 0-{SIZE - 1}/{SIZE}", "ETag": '"v1"'}),
        (206, {"Content_Range": f"bytes 999-{SIZE - 2}/{SIZE}", "ETag": '"v1"'}),
        (206, {"Content_Range": f"bytes 1000-{SIZE - 1}/{SIZE + 1}", "ETag": '"v1"'}),
        (206, {"Content_Range": f"bytes 1000-{SIZE}/{SIZE}", "ETag": '"v1"'}),
        (206, {"Content_Range": f"bytes 1000-{SIZE - 1}/*", "ETag": '"v1"'}),
        (206, {"Content_Range": f"bytes 1000-{SIZE - 1}/{SIZE}", "ETag": '"v2"'}),
        (206, {"Content_Range": "bytes ٣-٤/٥".encode().decode("latin-1"), "ETag": '"v1"'}),
        (206, {"Content_Type": "multipart/byteranges; boundary=x"}),
        (206, {}),
        (416, {}),
    ],
)
def test_an_unexpected_range_is_discarded_and_the_whole_file_fetched(
    store: Store, settings: FetchSettings, status: int, headers: dict[str, str]
) -> None:
    good = Resumable(IMAGENET, cuts=[1000])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Range" in handler.headers:
            send(handler, status, b"?" * (SIZE - 1000), **headers)
        else:
            good(handler)

    store.answers["/m.onnx"] = answer
    fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert store.ranges == [None, "bytes=1000-", None]


def test_a_range_sent_in_parts_is_joined(store: Store, settings: FetchSettings) -> None:
    good = Resumable(IMAGENET, cuts=[1000])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Range" not in handler.headers:
            good(handler)
            return
        start = int(handler.headers["Range"][6:-1])
        end = min(start + 4000, SIZE)
        send(handler, 206, IMAGENET[start:end], ETag='"v1"', Content_Range=f"bytes {start}-{end - 1}/{SIZE}")

    store.answers["/m.onnx"] = answer
    assert fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST).sha256 == DIGEST


def test_after_a_wrong_digest_of_a_resumed_download_the_whole_file_is_fetched(
    store: Store, settings: FetchSettings
) -> None:
    # the server changes the file but not its ETag, which only the digest detects
    changed = Resumable(b"x" * SIZE, cuts=[1000])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        (changed if len(store.seen) == 1 else Resumable(IMAGENET))(handler)

    store.answers["/m.onnx"] = answer
    assert fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST).sha256 == DIGEST
    assert store.ranges == [None, "bytes=1000-", None]
    assert fetch_wrong_digest(store, settings) == [None, "bytes=500-", None]


def fetch_wrong_digest(store: Store, settings: FetchSettings) -> list[str | None]:
    store.answers["/other.onnx"] = Resumable(b"y" * SIZE, cuts=[500])
    before = len(store.ranges)
    with pytest.raises(ModelError) as caught:
        fetch(settings, f"{store.url}/other.onnx", sha256=DIGEST)
    assert caught.value.reason == DIGEST_MISMATCH
    return store.ranges[before:]


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_the_next_process_resumes_the_download_of_the_last_one(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[3000] + [0] * (settings.attempts))
    with pytest.raises(ModelError):
        fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert visible(settings.model_dir) == []
    store.headers.clear()
    fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert store.ranges[-1] == "bytes=3000-"
    assert [path for path in settings.model_dir.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "state", ["", "[]", "{}", '{"etag": "W/x", "total": 3}', '{"etag": "\\"v1\\"", "total": "3"}']
)
def test_a_partial_download_with_an_invalid_state_is_discarded(
    store: Store, settings: FetchSettings, state: str
) -> None:
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[3000] + [0] * (settings.attempts))
    with pytest.raises(ModelError):
        fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    (state_file,) = settings.model_dir.glob(".fetch-*/model.onnx.part.json")
    state_file.write_text(state)
    store.headers.clear()
    fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert store.ranges[0] is None


def test_a_partial_download_is_kept_only_for_the_same_source_and_digest(
    store: Store, settings: FetchSettings
) -> None:
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[3000] + [0] * 100)
    with pytest.raises(ModelError):
        fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert len(list(settings.model_dir.iterdir())) == 1
    with pytest.raises(ModelError):
        fetch(settings, f"{store.url}/absent.onnx", sha256=DIGEST)
    assert list(settings.model_dir.iterdir()) == []


def test_two_processes_cannot_write_the_same_folder(store: Store, settings: FetchSettings) -> None:
    store.files["/m.onnx"] = IMAGENET
    with staging.exclusive(settings.model_dir):
        error = refused(settings, f"{store.url}/m.onnx")
    assert (error.reason, "another process" in error.message) == (INVALID, True)
    assert fetch(settings, f"{store.url}/m.onnx").classes == 1000


def test_a_download_from_a_stalled_server_is_resumed(store: Store, settings: FetchSettings) -> None:
    release = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "Range" in handler.headers:
            Resumable(IMAGENET)(handler)
            return
        send(handler, 200, IMAGENET[:700], ETag='"v1"', Content_Length=str(SIZE))
        release.wait(20)
        handler.close_connection = True

    store.answers["/m.onnx"] = answer
    fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST, read_seconds=0.3)
    release.set()
    assert store.ranges == [None, "bytes=700-"]


def drip(release: threading.Event, chunk: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not release.wait(0.02):
            handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")

    return answer


def test_a_slow_body_times_out_at_the_deadline(store: Store, settings: FetchSettings) -> None:
    release = threading.Event()
    store.answers["/m.onnx"] = drip(release, b"x")
    start = time.monotonic()
    error = refused(settings, f"{store.url}/m.onnx", timeout_seconds=1)
    release.set()
    assert (error.reason, "not fetched within 1 s" in error.message) == (UNREACHABLE, True)
    assert time.monotonic() - start < 15


def test_an_endless_body_is_rejected_at_the_size_limit(store: Store, settings: FetchSettings) -> None:
    release = threading.Event()
    store.answers["/m.onnx"] = drip(release, b"x" * 50_000)
    assert refused(settings, f"{store.url}/m.onnx", max_model_bytes=200_000).reason == TOO_LARGE
    release.set()


@pytest.mark.parametrize("declared", [SIZE - 100, 0])
def test_a_content_length_that_is_too_short_is_rejected(
    store: Store, settings: FetchSettings, declared: int
) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, 200, IMAGENET, Content_Length=str(declared))
    assert refused(settings, f"{store.url}/m.onnx", sha256=DIGEST).reason == DIGEST_MISMATCH


@pytest.mark.parametrize("length", ["-5", "1e3", "9" * 40, "٣"])
def test_an_invalid_content_length_is_rejected(store: Store, settings: FetchSettings, length: str) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + IMAGENET[:100])
        handler.close_connection = True

    store.answers["/m.onnx"] = answer
    assert refused(settings, f"{store.url}/m.onnx", sha256=DIGEST).reason in {DIGEST_MISMATCH, UNREACHABLE}


@pytest.mark.parametrize("status", [401, 403])
def test_denied_access_is_reported_and_not_retried(store: Store, settings: FetchSettings, status: int) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, status, b"<Error><Code>SomeCode</Code></Error>")
    error = refused(settings, f"{store.url}/m.onnx")
    assert (error.reason, len(store.seen)) == (ACCESS_DENIED, 1)
    assert error.message.endswith("(SomeCode)")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_errors_are_retried(store: Store, settings: FetchSettings, status: int) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, *((status,) if len(store.seen) < settings.attempts else (200, IMAGENET)))

    store.answers["/m.onnx"] = answer
    assert fetch(settings, f"{store.url}/m.onnx").classes == 1000


def pauses(
    settings: FetchSettings, store: Store, monkeypatch: pytest.MonkeyPatch, retry_after: str
) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if len(store.seen) == 1:
            send(handler, 429, Retry_After=retry_after)
        else:
            send(handler, 200, IMAGENET)

    store.answers["/m.onnx"] = answer
    fetch(settings, f"{store.url}/m.onnx")
    return slept


def test_a_retry_waits_for_retry_after(
    store: Store, settings: FetchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pauses(settings, store, monkeypatch, "7") == [7.0]


def test_retry_after_may_be_a_date(store: Store, settings: FetchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    (slept,) = pauses(settings, store, monkeypatch, email.utils.formatdate(time.time() + 10, usegmt=True))
    assert 5 < slept <= 10


@pytest.mark.parametrize("text", ["soon", "-3", "Wed, 99 Foo 2026", "9" * 400])
def test_an_invalid_retry_after_is_ignored(store: Store, settings: FetchSettings, text: str) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, 503, Retry_After=text)
    assert refused(settings, f"{store.url}/m.onnx").reason == UNREACHABLE


def test_a_retry_after_beyond_the_deadline_fails_immediately(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, 503, Retry_After="3600")
    error = refused(settings, f"{store.url}/m.onnx")
    assert (error.reason, len(store.seen)) == (UNREACHABLE, 1)
    assert "Retry-After: 3600 s" in error.message


def test_pauses_grow_and_are_jittered(
    store: Store, settings: FetchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    store.answers["/m.onnx"] = lambda handler: send(handler, 500)
    refused(settings, f"{store.url}/m.onnx", timeout_seconds=300)
    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(slept)] == [True] * 3
    assert len({pause / 2**n for n, pause in enumerate(slept)}) == 3


def test_a_redirect_to_itself_is_limited(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = redirect("/m.onnx")
    with pytest.raises(ModelError, match="more than 5 redirects"):
        fetch(settings, f"{store.url}/m.onnx")
    assert len(store.seen) == 6


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200"]
)
def test_a_chain_of_redirects_to_a_metadata_service_is_rejected(
    store: Store, settings: FetchSettings, host: str
) -> None:
    store.answers["/m.onnx"] = redirect("/next")
    store.answers["/next"] = redirect(f"http://{host}/latest/meta-data/")
    assert refused(settings, f"{store.url}/m.onnx").reason == ADDRESS_REFUSED


def test_a_redirect_without_a_location_is_an_error(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, 302)
    assert "responded 302" in refused(settings, f"{store.url}/m.onnx").message


def test_a_failed_fetch_keeps_the_existing_model(store: Store, settings: FetchSettings) -> None:
    store.files["/m.onnx"] = IMAGENET
    fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    before = {path.name: path.read_bytes() for path in settings.model_dir.iterdir()}
    store.answers["/m.onnx"] = Resumable(IMAGENET[:-1] + b"x", cuts=[1000])
    with pytest.raises(ModelError):
        fetch(settings, f"{store.url}/m.onnx", sha256=DIGEST)
    assert {path.name: path.read_bytes() for path in settings.model_dir.iterdir()} == before


def test_the_command_resumes_an_interrupted_download(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[1000, 5000])
    with_uri = dataclasses.replace(settings, uris=(f"{store.url}/m.onnx",), sha256=DIGEST)
    assert run.main(with_uri) == 0
    assert json.loads(settings.termination_log.read_text())["sha256"] == DIGEST


@pytest.mark.parametrize("etag", ['"', '""', "abc", 'W/"abc"', '"a\u00e9"', '"' + "x" * 2000 + '"', None])
def test_only_strong_etags_are_accepted(etag: str | None) -> None:
    assert strong(etag) is None

"""Fetching over real HTTP on loopback: the model folder, errors, retries, redirects and mirrors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import (
    ADDRESS_REFUSED,
    DIGEST_MISMATCH,
    INVALID,
    NOT_FOUND,
    PRECISION_MISSING,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch import run, transport
from imageclassifier_runtime.model import digest as digests
from imageclassifier_runtime.model import folder as model_folder

from tests.unit.runtime.fetch.fetching import IMAGENET, LABELS_TEXT, MODEL, fetch, refused
from tests.unit.runtime.fetch.model_store import Store, redirect, send
from tests.unit.runtime.support import LABELS

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from imageclassifier_runtime.settings.commands import FetchSettings


def test_a_bare_imagenet_model_gets_labels_and_preprocessing(store: Store, settings: FetchSettings) -> None:
    store.files["/models/net.v1.onnx"] = IMAGENET
    digest = hashlib.sha256(IMAGENET).hexdigest()
    info = fetch(settings, f"{store.url}/models/net.v1.onnx", sha256=digest)
    assert (info.name, info.sha256, info.classes, info.input_size) == ("net.v1", digest, 1000, 32)
    loaded = model_folder.load(settings.model_dir)
    assert loaded.info == info
    assert loaded.labels[281] == "tabby, tabby cat"
    assert (loaded.preprocessing.shortest_edge, loaded.preprocessing.crop) == (37, (32, 32))
    assert sorted(path.name for path in settings.model_dir.iterdir()) == [
        "labels.txt",
        "model.onnx",
        "model_info.json",
        "preprocessor_config.json",
    ]


def test_a_folder_is_identified_by_the_digest_of_its_sha256sum_lines(
    store: Store, settings: FetchSettings
) -> None:
    store.files |= {"/m/model.onnx": MODEL, "/m/labels.txt": LABELS_TEXT}
    lines = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {name}\n"
        for name, body in (("labels.txt", LABELS_TEXT), ("model.onnx", MODEL))
    )
    digest = hashlib.sha256(lines.encode()).hexdigest()
    info = fetch(settings, f"{store.url}/m/", sha256=digest, model_name="colours")
    assert (info.name, info.sha256, info.classes) == ("colours", digest, 4)
    assert model_folder.load(settings.model_dir).labels == LABELS


def test_the_error_for_a_wrong_digest_has_both_and_no_file_is_written(
    store: Store, settings: FetchSettings
) -> None:
    store.files["/m.onnx"] = IMAGENET
    error = refused(settings, f"{store.url}/m.onnx", sha256="5" * 64)
    assert error.reason == DIGEST_MISMATCH
    assert error.message == f"expected sha256 {'5' * 64}, got {hashlib.sha256(IMAGENET).hexdigest()}"


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><title>Directory listing", b"\n  <?xml version='1.0'?>"])
@pytest.mark.parametrize("sha256", ["5" * 64, None])
def test_a_page_instead_of_a_model_is_named(
    store: Store, settings: FetchSettings, page: bytes, sha256: str | None
) -> None:
    store.files["/pets"] = page
    error = refused(settings, f"{store.url}/pets", sha256=sha256)
    assert error.reason == NOT_FOUND
    assert error.message.endswith("a page of HTML or XML; if the URI is that of a folder, it must end with /")


def test_success_and_failure_are_reported_in_the_termination_message(
    store: Store, settings: FetchSettings
) -> None:
    store.files["/m.onnx"] = IMAGENET
    good = dataclasses.replace(settings, uris=(f"{store.url}/m.onnx",), model_name="net")
    assert run.main(good) == 0
    digest = hashlib.sha256(IMAGENET).hexdigest()
    told = json.loads(settings.termination_log.read_text())
    assert told == {"name": "net", "sha256": digest, "precision": "FP32", "classes": 1000}
    assert run.main(dataclasses.replace(good, sha256="0" * 64)) == 1
    told = json.loads(settings.termination_log.read_text())
    assert told == {"reason": DIGEST_MISMATCH, "message": f"expected sha256 {'0' * 64}, got {digest}"}


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_model_is_not_retried(store: Store, settings: FetchSettings, status: int) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, status)
    assert refused(settings, f"{store.url}/m.onnx").reason == NOT_FOUND
    assert len(store.seen) == 1


def test_a_failing_server_is_retried_and_then_reported_as_unreachable(
    store: Store, settings: FetchSettings
) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, 503)
    error = refused(settings, f"{store.url}/m.onnx")
    assert (error.reason, len(store.seen)) == (UNREACHABLE, settings.attempts)
    assert "503" in error.message


def test_a_failed_attempt_is_retried(store: Store, settings: FetchSettings) -> None:
    def flaky(handler: BaseHTTPRequestHandler) -> None:
        send(handler, *((502,) if len(store.seen) == 1 else (200, IMAGENET)))

    store.answers["/m.onnx"] = flaky
    assert fetch(settings, f"{store.url}/m.onnx").classes == 1000


def test_a_truncated_model_is_rejected(store: Store, settings: FetchSettings) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, IMAGENET[:500], Content_Length=str(len(IMAGENET)))
        handler.close_connection = True

    store.answers["/m.onnx"] = cut
    assert refused(settings, f"{store.url}/m.onnx").reason == UNREACHABLE


def test_a_refused_connection_is_reported_as_unreachable(settings: FetchSettings) -> None:
    stopped = Store()
    stopped.close()
    assert refused(settings, f"{stopped.url}/m.onnx").reason == UNREACHABLE


def test_a_stalled_server_times_out_at_the_deadline(store: Store, settings: FetchSettings) -> None:
    release = threading.Event()

    def stall(handler: BaseHTTPRequestHandler) -> None:
        release.wait(20)
        handler.close_connection = True

    store.answers["/m.onnx"] = stall
    error = refused(settings, f"{store.url}/m.onnx", timeout_seconds=0.5)
    release.set()
    assert error.reason == UNREACHABLE


@pytest.mark.parametrize("declared", [True, False])
def test_a_model_over_the_size_limit_is_rejected(store: Store, settings: FetchSettings, declared: bool) -> None:
    def big(handler: BaseHTTPRequestHandler) -> None:
        if declared:
            send(handler, 200, b"", Content_Length=str(1 << 40))
            return
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"1000\r\n" + bytes(0x1000) + b"\r\n0\r\n\r\n")

    store.answers["/m.onnx"] = big
    assert refused(settings, f"{store.url}/m.onnx", max_model_bytes=2000).reason == TOO_LARGE


def test_at_most_five_redirects_are_followed(store: Store, settings: FetchSettings) -> None:
    store.files["/5"] = IMAGENET
    store.answers |= {f"/{hop}": redirect(f"/{hop + 1}") for hop in range(5)}
    assert fetch(settings, f"{store.url}/0").classes == 1000
    store.answers["/start"] = redirect("/0")
    with pytest.raises(ModelError, match="more than 5 redirects"):
        fetch(settings, f"{store.url}/start")


def test_a_redirect_to_a_metadata_service_is_rejected(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = redirect("http://169.254.169.254/latest/meta-data/")
    error = refused(settings, f"{store.url}/m.onnx")
    assert error.reason == ADDRESS_REFUSED
    assert "169.254.169.254" in error.message


@pytest.mark.parametrize("location", ["http://[x/", "//[x", "http://h:99999/", "http://h:port/", "http://[::1]x/"])
def test_after_an_invalid_redirect_the_next_mirror_is_tried(
    store: Store, settings: FetchSettings, location: str
) -> None:
    store.answers["/m.onnx"] = redirect(location)
    error = refused(settings, f"{store.url}/m.onnx")
    assert error.reason == UNREACHABLE
    assert f"{store.url}/m.onnx redirects to" in error.message
    store.files["/second.onnx"] = IMAGENET
    assert fetch(settings, f"{store.url}/m.onnx", f"{store.url}/second.onnx").name == "second"


def test_an_invalid_redirect_is_reported_in_the_termination_message(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = redirect("http://[x/")
    assert run.main(dataclasses.replace(settings, uris=(f"{store.url}/m.onnx",))) == 1
    assert json.loads(settings.termination_log.read_text())["reason"] == UNREACHABLE


def test_a_retry_after_with_an_impossible_date_is_ignored(store: Store, settings: FetchSettings) -> None:
    store.answers["/m.onnx"] = lambda handler: send(handler, 503, Retry_After=f"Mon, 01 Jan {10**20} 00:00:00 GMT")
    assert refused(settings, f"{store.url}/m.onnx").reason == UNREACHABLE
    assert len(store.seen) == settings.attempts


def test_loopback_is_rejected_by_default(store: Store, settings: FetchSettings) -> None:
    error = refused(settings, f"{store.url}/m.onnx", allow_loopback=False)
    assert error.reason == ADDRESS_REFUSED
    assert store.seen == []


def test_credentials_are_sent_only_to_their_host(store: Store, settings: FetchSettings) -> None:
    other = Store()
    other.files["/m.onnx"] = IMAGENET
    store.answers["/m.onnx"] = redirect("/moved")
    store.answers["/moved"] = redirect(f"{other.url}/m.onnx")
    fetch(settings, f"http://user:secret@127.0.0.1:{store.port}/m.onnx")
    other.close()
    assert [authorization is not None for _, authorization in store.seen] == [True, True]
    assert other.seen == [("/m.onnx", None)]


def test_a_redirect_from_https_to_http_is_rejected() -> None:
    with pytest.raises(ModelError, match="https to http") as caught:
        transport.redirected(transport.parse("https://models.example/m"), "http://models.example/m")
    assert caught.value.reason == ADDRESS_REFUSED


def test_the_text_of_a_target_has_no_credentials_and_no_query() -> None:
    target = transport.parse("https://user:secret@models.example/m.onnx?signature=abc")
    assert str(target) == "https://models.example/m.onnx"


@pytest.mark.parametrize("uri", ["ftp://h/m.onnx", "gopher://h/m.onnx", "m.onnx", "http://", "http://h:99999/"])
def test_other_schemes_and_invalid_urls_are_rejected(settings: FetchSettings, uri: str) -> None:
    assert refused(settings, uri).reason == UNREACHABLE


def test_mirrors_are_tried_in_order(store: Store, settings: FetchSettings) -> None:
    store.files["/second.onnx"] = IMAGENET
    assert fetch(settings, f"{store.url}/first.onnx", f"{store.url}/second.onnx").name == "second"


def test_if_all_mirrors_fail_the_most_specific_reason_is_reported(store: Store, settings: FetchSettings) -> None:
    store.files["/m.onnx"] = IMAGENET
    error = refused(settings, f"{store.url}/m.onnx", f"{store.url}/absent.onnx", sha256="1" * 64)
    assert error.reason == DIGEST_MISMATCH
    assert "404" in error.message


def test_an_unknown_bundled_model_is_not_found(settings: FetchSettings) -> None:
    assert refused(settings, "bundled:../../etc").reason == NOT_FOUND


@pytest.mark.parametrize(
    ("body", "hint"),
    [(b"no model" * 50, "not an ONNX model"), (b"", "not an ONNX model"), (MODEL, "labels.txt")],
)
def test_an_invalid_model_is_rejected_with_a_remedy(
    store: Store, settings: FetchSettings, body: bytes, hint: str
) -> None:
    store.files["/m.onnx"] = body
    error = refused(settings, f"{store.url}/m.onnx")
    assert error.reason == INVALID
    assert hint in error.message


def test_labels_that_do_not_match_the_classes_are_rejected(store: Store, settings: FetchSettings) -> None:
    store.files |= {"/m/model.onnx": MODEL, "/m/labels.txt": b"one\ntwo\n"}
    error = refused(settings, f"{store.url}/m/")
    assert (error.reason, error.message) == (INVALID, "labels.txt has 2 lines, but the model has 4 classes")


@pytest.fixture
def int8_folder(store: Store, quantized_path: Path) -> str:
    for name in digests.MODEL_FILES:
        store.files[f"/m/{name}"] = (quantized_path / name).read_bytes()
    return f"{store.url}/m/"


@pytest.mark.parametrize(("wanted", "told"), [("Auto", "INT8"), ("INT8", "INT8"), ("FP32", "FP32")])
def test_a_folder_with_int8_is_fetched_and_the_served_precision_reported(
    int8_folder: str, settings: FetchSettings, quantized_path: Path, wanted: str, told: str
) -> None:
    sha256 = digests.of_folder(quantized_path)
    with_int8 = dataclasses.replace(settings, uris=(int8_folder,), sha256=sha256, precision=wanted)
    assert run.main(with_int8) == 0
    facts = json.loads(settings.termination_log.read_text())
    assert facts == {"name": "m", "sha256": sha256, "precision": told, "classes": 4}
    assert digests.of_folder(settings.model_dir) == sha256
    assert model_folder.load(settings.model_dir, precision=wanted).info.precision == told


def test_int8_of_a_model_without_it_fails_the_fetch(store: Store, settings: FetchSettings) -> None:
    store.files["/m.onnx"] = IMAGENET
    assert fetch(settings, f"{store.url}/m.onnx", precision="Auto").precision == "FP32"
    with pytest.raises(ModelError, match="imageclassifier quantize") as caught:
        fetch(settings, f"{store.url}/m.onnx", precision="INT8")
    assert caught.value.reason == PRECISION_MISSING


def test_a_model_without_int8_replaces_all_files_of_one_with_it(
    store: Store, int8_folder: str, settings: FetchSettings
) -> None:
    fetch(settings, int8_folder)
    store.files |= {"/n/model.onnx": MODEL, "/n/labels.txt": LABELS_TEXT}
    fetch(settings, f"{store.url}/n/")
    assert not (settings.model_dir / "model.int8.onnx").exists()
    assert not (settings.model_dir / "quantization.json").exists()

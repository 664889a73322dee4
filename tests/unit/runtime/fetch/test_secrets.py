"""Credentials are read from the environment, sent only to their host, and never logged or reported."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import CREDENTIALS_MISSING, ModelError, SettingsError
from imageclassifier_runtime.fetch import run
from imageclassifier_runtime.settings import credentials
from imageclassifier_runtime.settings.commands import FetchSettings
from imageclassifier_runtime.settings.urls import shown

from tests.unit.runtime.fetch.fetching import IMAGENET, fetch, refused
from tests.unit.runtime.fetch.model_store import Resumable, Store, redirect, send

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

ENV = {
    "AWS_ACCESS_KEY_ID": "AKIAPUBLIC",
    "AWS_SECRET_ACCESS_KEY": "the-secret-key",
    "AWS_SESSION_TOKEN": "the-session-token",
    "HF_TOKEN": "hf_the-token",
    "HTTP_USERNAME": "me",
    "HTTP_PASSWORD": "the-password",
}
SECRETS = ("the-secret-key", "the-session-token", "hf_the-token", "the-password", "bWU6dGhlLXBhc3N3b3Jk")


def test_every_variable_is_read_and_not_shown() -> None:
    found = FetchSettings.from_env(ENV)
    assert found.credentials.s3 is not None
    assert found.credentials.s3.session_token == "the-session-token"
    assert found.credentials.hf_token == "hf_the-token"
    assert found.credentials.http_authorization == "Basic bWU6dGhlLXBhc3N3b3Jk"
    assert [secret for secret in SECRETS if secret in repr(found)] == []


def test_an_empty_variable_counts_as_absent() -> None:
    assert credentials.from_env(dict.fromkeys(ENV, " ")) == credentials.Credentials()


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ({"AWS_ACCESS_KEY_ID": "a"}, "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": "a-secret"}, "AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID"),
        ({"HTTP_USERNAME": "a"}, "HTTP_USERNAME is set without HTTP_PASSWORD"),
        ({"HTTP_BEARER_TOKEN": "a-secret", "HTTP_USERNAME": "a", "HTTP_PASSWORD": "b"}, "are both set"),
        ({"HF_TOKEN": "a-secret\nX-Injected: 1"}, "HF_TOKEN contains a line break"),
        ({"HTTP_BEARER_TOKEN": "a-secret\u20ac"}, "HTTP_BEARER_TOKEN contains a character that is not ASCII"),
    ],
)
def test_an_invalid_variable_is_rejected_without_showing_it(env: dict[str, str], hint: str) -> None:
    with pytest.raises(SettingsError, match=hint) as caught:
        FetchSettings.from_env(env)
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "sent"),
    [
        ({"HTTP_BEARER_TOKEN": "tok"}, "Bearer tok"),
        ({"HTTP_USERNAME": "me", "HTTP_PASSWORD": "pw"}, "Basic bWU6cHc="),
        ({"HTTP_USERNAME": "me", "HTTP_PASSWORD": "\u20ac"}, "Basic bWU64oKs"),
        ({}, None),
    ],
)
def test_an_http_server_gets_the_credentials_of_the_environment(
    store: Store, settings: FetchSettings, env: dict[str, str], sent: str | None
) -> None:
    store.files["/m.onnx"] = IMAGENET
    fetch(settings, f"{store.url}/m.onnx", credentials=credentials.from_env(env))
    assert store.seen == [("/m.onnx", sent)]


def test_a_token_is_sent_only_to_the_first_host(store: Store, settings: FetchSettings) -> None:
    mirror, other = Store(), Store()
    other.files["/m.onnx"] = IMAGENET
    store.answers["/m.onnx"] = lambda handler: send(handler, 404)
    mirror.answers["/m.onnx"] = redirect(f"{other.url}/m.onnx")
    found = credentials.from_env({"HTTP_BEARER_TOKEN": "tok"})
    fetch(settings, f"{store.url}/m.onnx", f"{mirror.url}/m.onnx", credentials=found)
    mirror.close()
    other.close()
    assert (store.seen, mirror.seen, other.seen) == (
        [("/m.onnx", "Bearer tok")],
        [("/m.onnx", None)],
        [("/m.onnx", None)],
    )


@pytest.mark.parametrize("first", ["http://[x/m.onnx", "HTTP://[x/m.onnx"])
def test_a_token_is_sent_to_no_mirror_if_the_first_uri_is_invalid(
    store: Store, settings: FetchSettings, first: str
) -> None:
    store.files["/m.onnx"] = IMAGENET
    fetch(settings, first, f"{store.url}/m.onnx", credentials=credentials.from_env({"HTTP_BEARER_TOKEN": "tok"}))
    assert store.seen == [("/m.onnx", None)]


def test_a_scheme_may_be_in_upper_case(store: Store, settings: FetchSettings) -> None:
    store.files["/m.onnx"] = IMAGENET
    uri = f"{store.url}/m.onnx".replace("http:", "HTTP:")
    fetch(settings, uri, credentials=credentials.from_env({"HTTP_BEARER_TOKEN": "tok"}))
    assert store.seen == [("/m.onnx", "Bearer tok")]


def test_a_token_is_not_sent_after_a_redirect_through_another_host(store: Store, settings: FetchSettings) -> None:
    other = Store()
    store.files["/final.onnx"] = IMAGENET
    store.answers["/m.onnx"] = redirect(f"{other.url}/back")
    other.answers["/back"] = redirect(f"{store.url}/final.onnx")
    fetch(settings, f"{store.url}/m.onnx", credentials=credentials.from_env({"HTTP_BEARER_TOKEN": "tok"}))
    other.close()
    assert store.seen == [("/m.onnx", "Bearer tok"), ("/final.onnx", None)]


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        ("https://models.example/m.onnx", "HTTP_BEARER_TOKEN, HTTP_USERNAME, HTTP_PASSWORD"),
        ("s3://models/m.onnx", "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN"),
        (f"hf://owner/repo@{'0' * 40}", "HF_TOKEN"),
    ],
)
def test_a_secret_without_keys_for_the_source_fails_before_any_request(
    settings: FetchSettings, uri: str, keys: str
) -> None:
    error = refused(settings, uri, credentials_secret="model-store")
    assert error.reason == CREDENTIALS_MISSING
    assert error.message == f"the Secret model-store does not exist or has none of {keys}"


def test_no_log_line_and_no_error_contains_a_secret(
    store: Store, settings: FetchSettings, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 503 if len(store.seen) < 3 else 403)

    store.answers["/models/m.onnx"] = answer
    with_keys = dataclasses.replace(settings, s3_endpoint=store.url, credentials=credentials.from_env(ENV))
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError) as caught:
        fetch(with_keys, "s3://models/m.onnx")
    text = caught.value.message + "".join(repr(vars(record)) for record in caplog.records)
    assert "/models/m.onnx" in text
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.parametrize(
    "uri",
    [
        "s3://AKIASECRET:SECRET@bucket/key",
        "s3://bucket:SECRET@/key",
        "s3:AKIASECRET:SECRET@bucket/key",
        f"hf://me:SECRET@owner/repo@{'0' * 40}",
        "hf://SECRET/SECRET@owner/repo",
        "https://me:SECRET/w0rd@localhost/m.onnx",
        "https://me:SECRET?w0rd@localhost/m.onnx",
        "https://me:SECRET@localhost:port/m.onnx",
        "https://me:SECRET@[localhost/m.onnx",
        "https://me:SECRET@local\u2100host/m.onnx",
        "http://localhost:1/SECRET@localhost/m.onnx",
        "file://me:SECRET@host/m.onnx",
        "pvc://me:SECRET@claim/m.onnx",
    ],
)
def test_the_part_of_a_uri_before_its_last_at_sign_is_never_shown(
    settings: FetchSettings, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    both = dataclasses.replace(settings, uris=(uri, "bundled:none"))
    with caplog.at_level(logging.DEBUG):
        assert run.main(both) == 1
    text = settings.termination_log.read_text() + "".join(repr(vars(record)) for record in caplog.records)
    assert "SECRET" not in text
    assert "w0rd" not in text
    assert "there is no bundled model" in text


def test_the_part_of_a_redirect_before_its_last_at_sign_is_never_shown(
    store: Store, settings: FetchSettings
) -> None:
    store.answers["/m.onnx"] = redirect("https://me:SECRET/w0rd@host/m.onnx?signature=SECRET")
    error = refused(settings, f"{store.url}/m.onnx")
    assert error.message == f"{store.url}/m.onnx redirects to https://…@host/m.onnx, which is not an http(s) URL"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("s3://models/prefix/m.onnx", "s3://models/prefix/m.onnx"),
        ("https://host:1/m.onnx?signature=SECRET", "https://host:1/m.onnx"),
        ("https://me:SECRET@host/m.onnx", "https://…@host/m.onnx"),
        ("https://me:SEC/RE?T@host/m.onnx", "https://…@"),
        ("https://host/m.onnx?signature=SEC@RET", "https://…@"),
        ("me:SECRET://x@host", "…@host"),
    ],
)
def test_the_other_parts_of_an_address_are_shown(address: str, text: str) -> None:
    assert shown(address) == text


def test_a_signature_in_a_redirect_is_not_logged(
    store: Store, settings: FetchSettings, caplog: pytest.LogCaptureFixture
) -> None:
    store.files["/signed?signature=SECRET"] = IMAGENET
    store.answers["/m.onnx"] = redirect("/signed?signature=SECRET")
    with caplog.at_level(logging.DEBUG):
        fetch(settings, f"{store.url}/m.onnx")
    assert store.seen[-1][0] == "/signed?signature=SECRET"
    assert "SECRET" not in "".join(repr(vars(record)) for record in caplog.records)


def test_progress_is_logged_with_bytes_total_and_rate(
    store: Store, settings: FetchSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageclassifier_runtime.fetch.progress._EVERY_SECONDS", 0.0)
    store.answers["/m.onnx"] = Resumable(IMAGENET, cuts=[1000])
    with caplog.at_level(logging.INFO):
        fetch(settings, f"{store.url}/m.onnx")
    lines = [vars(record)["fields"] for record in caplog.records if record.name.endswith("progress")]
    moving = [line for line in lines if "percent" in line]
    assert moving[-1].items() >= {"bytes": len(IMAGENET), "total": len(IMAGENET), "percent": 100.0}.items()
    assert all(line["bytes_per_second"] > 0 for line in moving)
    assert 1000 in [line["bytes"] for line in lines]

"""Models of a Hugging Face repository, from a server that redirects to files on another host, as the hub does."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import ACCESS_DENIED, NOT_FOUND, ModelError
from imageclassifier_runtime.fetch import huggingface
from imageclassifier_runtime.settings.credentials import Credentials

from tests.unit.runtime.fetch.fetching import IMAGENET, LABELS_TEXT, MODEL, fetch, refused
from tests.unit.runtime.fetch.model_store import Resumable, Store, redirect, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler

    from imageclassifier_runtime.settings.commands import FetchSettings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVE = f"/owner/Repo-1.0/resolve/{COMMIT}"
DIGEST = hashlib.sha256(IMAGENET).hexdigest()
TOKEN = "hf_" + "secret" * 4


@pytest.fixture
def files() -> Iterator[Store]:
    """The host to which the hub redirects requests for large files."""
    store = Store()
    yield store
    store.close()


@pytest.fixture
def hub(store: Store, settings: FetchSettings) -> FetchSettings:
    return dataclasses.replace(settings, hf_endpoint=store.url, credentials=Credentials(hf_token=TOKEN))


def test_a_redirect_to_the_file_host_is_followed_without_the_token(
    store: Store, files: Store, hub: FetchSettings
) -> None:
    store.answers[f"{RESOLVE}/onnx/model.onnx"] = redirect(f"{files.url}/blob?X-Amz-Signature=abc")
    files.answers["/blob?X-Amz-Signature=abc"] = Resumable(IMAGENET)
    info = fetch(hub, f"hf://owner/Repo-1.0@{COMMIT}/onnx/model.onnx", sha256=DIGEST)
    assert (info.sha256, info.name) == (DIGEST, "model")
    assert store.seen == [(f"{RESOLVE}/onnx/model.onnx", f"Bearer {TOKEN}")]
    assert files.seen == [("/blob?X-Amz-Signature=abc", None)]


def test_a_download_is_resumed_through_the_hub_with_a_new_signature(
    store: Store, files: Store, hub: FetchSettings
) -> None:
    blob = Resumable(IMAGENET, cuts=[2000])
    for number in (1, 2):
        files.answers[f"/blob?signature={number}"] = blob

    def resolve(handler: BaseHTTPRequestHandler) -> None:
        redirect(f"{files.url}/blob?signature={len(store.seen)}")(handler)

    store.answers[f"{RESOLVE}/m.onnx"] = resolve
    fetch(hub, f"hf://owner/Repo-1.0@{COMMIT}/m.onnx", sha256=DIGEST)
    assert [path for path, _ in files.seen] == ["/blob?signature=1", "/blob?signature=2"]
    assert files.ranges == [None, "bytes=2000-"]


@pytest.mark.parametrize(("path", "folder"), [("", ""), ("/", ""), ("/sub/folder/", "sub/folder/")])
def test_a_model_folder_is_fetched_from_a_repository(
    store: Store, hub: FetchSettings, path: str, folder: str
) -> None:
    store.files |= {f"{RESOLVE}/{folder}model.onnx": MODEL, f"{RESOLVE}/{folder}labels.txt": LABELS_TEXT}
    lines = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {name}\n"
        for name, body in (("labels.txt", LABELS_TEXT), ("model.onnx", MODEL))
    )
    digest = hashlib.sha256(lines.encode()).hexdigest()
    info = fetch(hub, f"hf://owner/Repo-1.0@{COMMIT}{path}", sha256=digest)
    assert (info.sha256, info.classes, info.name) == (digest, 4, "Repo-1.0")


def test_without_a_token_no_authorization_is_sent(store: Store, hub: FetchSettings) -> None:
    store.files[f"{RESOLVE}/m.onnx"] = IMAGENET
    fetch(hub, f"hf://owner/Repo-1.0@{COMMIT}/m.onnx", sha256=DIGEST, credentials=Credentials())
    assert store.seen == [(f"{RESOLVE}/m.onnx", None)]


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "RepoNotFound", ACCESS_DENIED),
        (403, "GatedRepo", ACCESS_DENIED),
        (404, "RevisionNotFound", NOT_FOUND),
    ],
)
def test_an_error_has_the_code_of_the_hub_and_not_the_token(
    store: Store, hub: FetchSettings, status: int, code: str, reason: str
) -> None:
    store.answers[f"{RESOLVE}/m.onnx"] = lambda handler: send(handler, status, X_Error_Code=code)
    error = refused(hub, f"hf://owner/Repo-1.0@{COMMIT}/m.onnx")
    assert (error.reason, code in error.message, TOKEN in error.message) == (reason, True, False)


@pytest.mark.parametrize("commit", ["main", "v1.0", COMMIT[:7], COMMIT.upper(), COMMIT + "0", ""])
def test_only_a_full_commit_is_accepted(hub: FetchSettings, commit: str) -> None:
    with pytest.raises(ModelError, match="40 hexadecimal digits"):
        fetch(hub, f"hf://owner/repo@{commit}/m.onnx")


@pytest.mark.parametrize(
    "uri",
    [
        f"hf://repo@{COMMIT}",
        "hf://owner/repo",
        f"hf://owner/../repo@{COMMIT}",
        f"hf://user:pw@owner/repo@{COMMIT}",
    ],
)
def test_an_invalid_uri_is_rejected(uri: str) -> None:
    with pytest.raises(ModelError, match="write hf://owner/repo@commit"):
        huggingface.parse(uri)


def test_special_characters_in_a_path_are_encoded(hub: FetchSettings) -> None:
    place = huggingface.parse(f"hf://owner/repo@{COMMIT}/a?b#c%d.onnx")
    assert huggingface.target(place, place.path, hub).path == f"/owner/repo/resolve/{COMMIT}/a%3Fb%23c%25d.onnx"

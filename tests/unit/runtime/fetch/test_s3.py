"""Models from S3: from moto's server, which checks signatures, and from servers with invalid responses."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_runtime.errors import (
    ACCESS_DENIED,
    NOT_FOUND,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch import s3
from imageclassifier_runtime.settings.credentials import Credentials, S3Keys

from tests.unit.runtime.fetch import s3_server
from tests.unit.runtime.fetch.fetching import IMAGENET, LABELS_TEXT, MODEL, fetch, refused
from tests.unit.runtime.fetch.model_store import Resumable, Store, redirect, send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imageclassifier_runtime.settings.commands import FetchSettings

    from tests.unit.runtime.fetch.s3_server import S3Server

pytestmark = pytest.mark.timeout(900)  # the first run installs an environment for the server

DIGEST = hashlib.sha256(IMAGENET).hexdigest()
EMPTY = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'


@pytest.fixture(scope="module")
def s3_server_process() -> Iterator[S3Server]:
    with s3_server.running() as server:
        yield server


@pytest.fixture
def server(s3_server_process: S3Server) -> Iterator[S3Server]:
    yield s3_server_process
    s3_server_process.enforce_auth(enabled=False)


@pytest.fixture
def reading(settings: FetchSettings, server: S3Server) -> FetchSettings:
    return dataclasses.replace(settings, s3_endpoint=server.url, credentials=Credentials(s3=server.keys))


@pytest.mark.parametrize("key", ["net.onnx", "zoo/net v1+ü.onnx", "a&b=c;d~e'(f)!.onnx", "per%20cent.onnx"])
def test_an_object_is_fetched_with_a_valid_signature(reading: FetchSettings, server: S3Server, key: str) -> None:
    server.put(key, IMAGENET)
    server.enforce_auth()
    assert fetch(reading, f"s3://models/{key}", sha256=DIGEST).sha256 == DIGEST


def test_a_model_folder_is_fetched_from_a_prefix(reading: FetchSettings, server: S3Server) -> None:
    server.put("pets/v 2/model.onnx", MODEL)
    server.put("pets/v 2/labels.txt", LABELS_TEXT)
    server.put("pets/v 2/README.md", b"not a model file")
    server.put("pets/v 2/old/preprocessor_config.json", b"in another folder")
    lines = "".join(
        f"{hashlib.sha256(body).hexdigest()}  {name}\n"
        for name, body in (("labels.txt", LABELS_TEXT), ("model.onnx", MODEL))
    )
    digest = hashlib.sha256(lines.encode()).hexdigest()
    server.enforce_auth()
    info = fetch(reading, "s3://models/pets/v 2/", sha256=digest)
    assert (info.sha256, info.classes, info.name) == (digest, 4, "v 2")


@pytest.mark.parametrize("wrong", [{"access_key": "AKIANOSUCHKEY"}, {"secret_key": "not-the-secret"}])
def test_invalid_keys_are_reported_as_access_denied(
    reading: FetchSettings,
    server: S3Server,
    wrong: dict[str, str],
) -> None:
    key = f"private-{'-'.join(wrong)}.onnx"  # moto lets only the owner overwrite an object
    server.put(key, IMAGENET)
    invalid = dataclasses.replace(server.keys, **wrong)
    server.enforce_auth()
    for uri in (f"s3://models/{key}", "s3://models/"):
        error = refused(reading, uri, credentials=Credentials(s3=invalid))
        assert error.reason == ACCESS_DENIED
        assert server.keys.secret_key not in error.message


def test_without_keys_only_public_objects_are_fetched(reading: FetchSettings, server: S3Server) -> None:
    server.put("hidden.onnx", IMAGENET)
    server.put("public.onnx", IMAGENET, x_amz_acl="public-read")
    anonymous = dataclasses.replace(reading, credentials=Credentials())
    assert refused(anonymous, "s3://models/hidden.onnx").reason == ACCESS_DENIED
    assert fetch(anonymous, "s3://models/public.onnx").classes == 1000


def test_the_error_for_a_missing_object_names_the_existing_ones(reading: FetchSettings, server: S3Server) -> None:
    server.put("half/labels.txt", LABELS_TEXT)
    server.put("other/notes.txt", b"")
    missing = refused(reading, "s3://models/gone.onnx")
    assert (missing.reason, "NoSuchKey" in missing.message) == (NOT_FOUND, True)
    no_bucket = refused(reading, "s3://no-such-bucket/m.onnx")
    assert (no_bucket.reason, "NoSuchBucket" in no_bucket.message) == (NOT_FOUND, True)
    half = refused(reading, "s3://models/half/")
    assert (half.reason, half.message.endswith("contains labels.txt, but no model.onnx")) == (NOT_FOUND, True)
    other = refused(reading, "s3://models/other/")
    assert (other.reason, other.message.endswith("it contains notes.txt")) == (NOT_FOUND, True)
    assert refused(reading, "s3://models/nothing/").message.endswith("it is empty")


def test_a_listing_is_read_page_by_page_up_to_a_limit(
    reading: FetchSettings, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAGE_KEYS", 3)
    for number in range(7):
        server.put(f"many/a{number}.txt", b"")
    server.put("many/model.onnx", IMAGENET)
    assert fetch(reading, "s3://models/many/").classes == 1000
    monkeypatch.setattr(s3, "_MAX_PAGES", 2)
    with pytest.raises(ModelError, match="more than 6 objects") as caught:
        fetch(reading, "s3://models/many/")
    assert caught.value.reason == TOO_LARGE


def test_a_resumed_download_has_its_own_signature(store: Store, settings: FetchSettings) -> None:
    store.answers["/models/m.onnx"] = Resumable(IMAGENET, cuts=[1500])
    keys = S3Keys(access_key="AK", secret_key="SK", session_token="ST")
    fetch(settings, "s3://models/m.onnx", s3_endpoint=store.url, credentials=Credentials(s3=keys), sha256=DIGEST)
    assert store.ranges == [None, "bytes=1500-"]
    first, second = (headers["Authorization"] for headers in store.headers)
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in first
    assert "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date;x-amz-security-token," in second
    assert [headers["x-amz-security-token"] for headers in store.headers] == ["ST", "ST"]


def test_keys_are_not_sent_to_another_host(store: Store, settings: FetchSettings) -> None:
    other = Store()
    other.files["/m.onnx"] = IMAGENET
    store.answers["/models/m.onnx"] = redirect(f"{other.url}/m.onnx")
    keys = S3Keys(access_key="AK", secret_key="SK", session_token="ST")
    fetch(settings, "s3://models/m.onnx", s3_endpoint=store.url, credentials=Credentials(s3=keys))
    other.close()
    assert [name for name in other.headers[0] if name.lower().startswith(("x-amz", "auth"))] == []


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"<html></html>", "but html"),
        (b"{}", "not a listing of S3"),
        (b"", "not a listing of S3"),
        (b'<?xml version="1.0" encoding="none"?><ListBucketResult/>', "not a listing of S3"),
        (b'<?xml version="1.0" encoding="cp932"?><ListBucketResult/>', "not a listing of S3"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>', "DTD"),
        (EMPTY, "it is empty"),
        (b"<ListBucketResult>" + b" " * (4 << 20) + b"</ListBucketResult>", "more than"),
    ],
)
def test_an_invalid_listing_is_rejected(store: Store, settings: FetchSettings, body: bytes, hint: str) -> None:
    query = "delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=p%2F"
    store.files[f"/models/?{query}"] = body
    error = refused(settings, "s3://models/p/", s3_endpoint=store.url)
    assert hint in error.message


def test_an_endless_listing_is_aborted(store: Store, settings: FetchSettings) -> None:
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>%s"
    query = "delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=p%2F"
    body = page % b"</ListBucketResult>"
    store.files |= {f"/models/?{query}": body, f"/models/?continuation-token=t&{query}": body}
    error = refused(settings, "s3://models/p/", s3_endpoint=store.url)
    assert (error.reason, len(store.seen)) == (TOO_LARGE, 10)


def test_the_error_for_a_wrong_region_names_that_of_the_bucket(store: Store, settings: FetchSettings) -> None:
    store.answers["/models/m.onnx"] = lambda handler: send(
        handler, 301, b"<Error><Code>PermanentRedirect</Code></Error>", x_amz_bucket_region="eu-west-3"
    )
    error = refused(settings, "s3://models/m.onnx", s3_endpoint=store.url)
    assert (error.reason, error.message.endswith("the bucket is in the region eu-west-3")) == (UNREACHABLE, True)


@pytest.mark.parametrize(
    ("changes", "bucket", "expected"),
    [
        ({}, "models", "https://models.s3.us-east-1.amazonaws.com/k"),
        ({"s3_region": "cn-north-1"}, "models", "https://models.s3.cn-north-1.amazonaws.com.cn/k"),
        ({}, "with.dots", "https://s3.us-east-1.amazonaws.com/with.dots/k"),
        ({"s3_addressing": "path"}, "models", "https://s3.us-east-1.amazonaws.com/models/k"),
        ({"s3_endpoint": "http://minio:9000"}, "models", "http://minio:9000/models/k"),
        ({"s3_endpoint": "https://o.example", "s3_addressing": "virtual"}, "models", "https://models.o.example/k"),
    ],
)
def test_the_url_of_an_object(
    settings: FetchSettings, changes: dict[str, Any], bucket: str, expected: str
) -> None:
    assert str(s3.target(bucket, "k", dataclasses.replace(settings, **changes))) == expected


@pytest.mark.parametrize("uri", ["s3://", "s3://models", "s3://Models/k", "s3://a/k", "s3://me:pw@models/k"])
def test_an_invalid_uri_is_rejected(uri: str) -> None:
    with pytest.raises(ModelError, match="write s3://bucket/key"):
        s3.bucket_and_key(uri)

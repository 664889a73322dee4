"""Models from mounted folders: PersistentVolumeClaims, and files in allowed folders."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import (
    ADDRESS_REFUSED,
    DIGEST_MISMATCH,
    NOT_FOUND,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch import local
from imageclassifier_runtime.model import digest

from tests.unit.runtime.fetch.fetching import IMAGENET, fetch, refused
from tests.unit.runtime.support import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_runtime.settings.commands import FetchSettings

DIGEST = hashlib.sha256(IMAGENET).hexdigest()


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    folder = tmp_path / "volumes" / "team-models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def mounted(settings: FetchSettings, claim: Path) -> FetchSettings:
    return dataclasses.replace(settings, volumes_dir=claim.parent)


def test_a_file_of_a_claim_is_copied(mounted: FetchSettings, claim: Path) -> None:
    (claim / "net.onnx").write_bytes(IMAGENET)
    assert fetch(mounted, "pvc://team-models/net.onnx", sha256=DIGEST).name == "net"
    (claim / "net.onnx").write_bytes(b"changed later")
    assert (mounted.model_dir / "model.onnx").read_bytes() == IMAGENET


def test_a_wrong_digest_of_a_claim_is_rejected(mounted: FetchSettings, claim: Path) -> None:
    (claim / "net.onnx").write_bytes(IMAGENET)
    assert refused(mounted, "pvc://team-models/net.onnx", sha256="0" * 64).reason == DIGEST_MISMATCH


@pytest.mark.parametrize(
    ("uri", "place", "name"),
    [
        ("pvc://team-models", "", "team-models"),
        ("pvc://team-models/", "", "team-models"),
        ("pvc://team-models/pets/v2/", "pets/v2", "v2"),
        ("pvc://team-models/with%20space/", "with space", "with space"),
    ],
)
def test_a_model_folder_is_fetched_from_a_claim(
    mounted: FetchSettings, claim: Path, uri: str, place: str, name: str
) -> None:
    write_model(claim / place)
    info = fetch(mounted, uri, sha256=digest.of_folder(claim / place))
    assert (info.classes, info.name) == (4, name)


def test_files_are_fetched_only_from_allowed_folders(settings: FetchSettings, tmp_path: Path) -> None:
    write_model(tmp_path / "allowed")
    (tmp_path / "secret.onnx").write_bytes(IMAGENET)
    roots = (tmp_path / "allowed",)
    assert fetch(settings, f"file://{tmp_path}/allowed/", file_roots=roots).classes == 4
    for uri in (
        f"file://{tmp_path}/secret.onnx",
        f"file://{tmp_path}/allowed/../secret.onnx",
        f"file://{tmp_path}/allowed/%2e%2e/secret.onnx",
        f"file://{tmp_path}/allowedsecret.onnx",
    ):
        with pytest.raises(ModelError) as caught:
            fetch(settings, uri, file_roots=roots)
        assert caught.value.reason in {ADDRESS_REFUSED, NOT_FOUND}
    with pytest.raises(ModelError, match="FILE_ROOTS: none"):
        fetch(settings, f"file://{tmp_path}/allowed/")


def test_only_links_inside_the_claim_are_followed(mounted: FetchSettings, claim: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.onnx").write_bytes(IMAGENET)
    (claim / "v1.onnx").write_bytes(IMAGENET)
    (claim / "latest.onnx").symlink_to("v1.onnx")
    (claim / "leak.onnx").symlink_to(tmp_path / "outside.onnx")
    (claim / "up").symlink_to("..")
    assert fetch(mounted, "pvc://team-models/latest.onnx", sha256=DIGEST).sha256 == DIGEST
    for path in ("leak.onnx", "up/../outside.onnx", "../../outside.onnx", "../../no-such-file"):
        with pytest.raises(ModelError) as caught:
            fetch(mounted, f"pvc://team-models/{path}")
        assert caught.value.reason == ADDRESS_REFUSED


def test_a_pipe_is_rejected_without_waiting(mounted: FetchSettings, claim: Path) -> None:
    os.mkfifo(claim / "pipe.onnx")
    assert "not a regular file" in refused(mounted, "pvc://team-models/pipe.onnx").message


def test_the_error_for_a_missing_file_names_the_existing_ones(mounted: FetchSettings, claim: Path) -> None:
    (claim / "net-v2.onnx").write_bytes(IMAGENET)
    error = refused(mounted, "pvc://team-models/net.onnx")
    assert error.reason == NOT_FOUND
    assert error.message.endswith("does not exist; its folder contains net-v2.onnx")


def test_the_error_for_a_folder_without_a_slash_has_the_remedy(mounted: FetchSettings, claim: Path) -> None:
    write_model(claim / "pets")
    assert "end its URI with a slash" in refused(mounted, "pvc://team-models/pets").message


def test_the_error_for_a_claim_that_is_not_mounted_names_it(mounted: FetchSettings) -> None:
    error = refused(mounted, "pvc://other/net.onnx")
    assert (error.reason, "the claim other is not mounted" in error.message) == (NOT_FOUND, True)


@pytest.mark.parametrize(
    "uri", ["pvc:///net.onnx", "pvc://../x", "pvc://UPPER/x", "file://host/x", "pvc://a/%00", "pvc://a/%ff"]
)
def test_an_invalid_uri_is_rejected(mounted: FetchSettings, uri: str) -> None:
    assert refused(mounted, uri).reason == NOT_FOUND


def test_size_and_time_are_limited(mounted: FetchSettings, claim: Path, tmp_path: Path) -> None:
    (claim / "net.onnx").write_bytes(IMAGENET)
    assert refused(mounted, "pvc://team-models/net.onnx", max_model_bytes=1000).reason == TOO_LARGE
    with pytest.raises(ModelError) as caught:
        local.copy(claim, claim / "net.onnx", tmp_path / "to", limit=1 << 20, deadline=0)
    assert caught.value.reason == UNREACHABLE

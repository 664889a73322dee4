"""Which folder is served, and what is checked before."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.errors import DIGEST_MISMATCH, NOT_FOUND, ModelError
from imageclassifier_runtime.model import digest, folder, graph

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bundled() -> Path:
    found = folder.bundled(folder.BUNDLED_NAME)
    assert found is not None
    return found


def test_a_bundled_model_has_the_facts_that_its_graph_has_without_parsing_it(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = folder.load(shutil.copytree(bundled, tmp_path / bundled.name))
    monkeypatch.delattr(graph, "check")
    served = folder.load(bundled)
    assert dataclasses.replace(served, path=parsed.path) == parsed


@pytest.fixture
def own(bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that somebody has added to the bundled ones of an image."""
    monkeypatch.setattr(folder, "_bundled_models", lambda: tmp_path)
    return shutil.copytree(bundled, tmp_path / "own")


def test_a_bundled_model_of_another_image_takes_what_it_lacks_from_its_graph(own: Path) -> None:
    (own / folder.CONFIG).unlink()
    assert folder.load(own).info.input_size == 32
    (own / folder.LABELS).unlink()
    with pytest.raises(ModelError, match=r"the model has 10 classes and no labels\.txt"):
        folder.load(own)


def test_a_bundled_model_of_another_image_may_have_a_configuration_without_sizes(own: Path) -> None:
    (own / folder.CONFIG).write_text('{"do_normalize": false}')
    assert folder.load(own).preprocessing.crop == (32, 32)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_bundled_model_with_an_invalid_configuration_is_reported(own: Path, text: str) -> None:
    (own / folder.CONFIG).write_text(text)
    with pytest.raises(ModelError, match=r"preprocessor_config\.json (is not JSON|must be a JSON object)"):
        folder.load(own)


@pytest.mark.parametrize("name", ["resnet", "../bundled/cifar10-mobilenet-v2", ""])
def test_an_unknown_bundled_model_is_not_found(name: str) -> None:
    with pytest.raises(ModelError, match="there is no bundled model") as raised:
        folder.or_bundled(None, name)
    assert raised.value.reason == NOT_FOUND


def test_a_folder_with_another_digest_is_not_served(bundled: Path) -> None:
    right, wrong = digest.of_folder(bundled), "0" * 64
    assert folder.load(bundled, sha256=right).info.sha256 == right
    with pytest.raises(ModelError, match=f"expected sha256 {wrong}, got {right}") as raised:
        folder.load(bundled, sha256=wrong)
    assert raised.value.reason == DIGEST_MISMATCH

"""Which of its two sessions a classifier uses, and that both give equal results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from imageclassifier_runtime.inference import image_headers
from imageclassifier_runtime.inference.pipeline import Classifier
from imageclassifier_runtime.inference.session import Session
from imageclassifier_runtime.model import folder as model_folder

from tests.unit.runtime.support import image_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def inferences(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Return a list that records the session of each inference."""
    seen: list[Session] = []
    plain: Callable[..., object] = Session.run

    def run(self: Session, batch: object) -> object:
        seen.append(self)
        return plain(self, batch)

    monkeypatch.setattr(Session, "run", run)
    return seen


def test_a_single_image_uses_all_threads_and_concurrent_images_one_each(
    model_path: Path, inferences: list[Session]
) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=2)
    picture = image_headers.read(image_bytes("blue"))
    inferences.clear()
    alone = classifier.classify(picture, 3, lambda: True)
    together = classifier.classify(picture, 3, lambda: False)
    unsaid = classifier.infer(np.zeros(classifier.input_shape, np.float32), 3)
    assert inferences[0] is not inferences[1]
    assert inferences[1] is inferences[2]
    assert alone.predictions == together.predictions
    assert len(unsaid.predictions) == 3


def test_one_thread_needs_one_session(model_path: Path, inferences: list[Session]) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=1)
    picture = image_headers.read(image_bytes("red"))
    inferences.clear()
    classifier.classify(picture, 1, lambda: True)
    classifier.classify(picture, 1, lambda: False)
    assert inferences[0] is inferences[1]

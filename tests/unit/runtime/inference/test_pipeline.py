"""Which of its two sessions a classifier takes, and that both say the same."""

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
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Return a list that fills with the session of each inference."""
    seen: list[Session] = []
    plain: Callable[..., object] = Session.run

    def run(self: Session, batch: object) -> object:
        seen.append(self)
        return plain(self, batch)

    monkeypatch.setattr(Session, "run", run)
    return seen


def test_an_image_alone_has_all_threads_and_images_together_have_one_each(
    model_path: Path, ran: list[Session]
) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=2)
    picture = image_headers.read(image_bytes("blue"))
    ran.clear()
    alone = classifier.classify(picture, 3, lambda: True)
    together = classifier.classify(picture, 3, lambda: False)
    unsaid = classifier.infer(np.zeros(classifier.input_shape, np.float32), 3)
    assert ran[0] is not ran[1]
    assert ran[1] is ran[2]
    assert alone.predictions == together.predictions
    assert len(unsaid.predictions) == 3


def test_one_thread_needs_one_session(model_path: Path, ran: list[Session]) -> None:
    classifier = Classifier.load(model_folder.load(model_path), threads=1)
    picture = image_headers.read(image_bytes("red"))
    ran.clear()
    classifier.classify(picture, 1, lambda: True)
    classifier.classify(picture, 1, lambda: False)
    assert ran[0] is ran[1]

"""Fixtures for the tests of batching."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.inference import decode
from imageclassifier_runtime.inference.pipeline import Classifier
from imageclassifier_runtime.inference.session import Session
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.scheduling.admission import Admission, Sizes
from imageclassifier_runtime.scheduling.batching import Batcher
from imageclassifier_runtime.scheduling.workers import Workers

from tests.unit.runtime.scheduling.batching.harness import (
    CAPACITY,
    DELAY,
    LIMIT,
    PATIENCE,
    BlockedDecodings,
    Harness,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np
    from imageclassifier_runtime.inference.image_headers import ImageHeader
    from PIL import Image


@pytest.fixture(scope="module")
def classifier(model_path: Path) -> Classifier:
    return Classifier.load(model_folder.load(model_path), threads=2)


@pytest.fixture
def make_harness(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Harness]]:
    """Return a factory of harnesses; their session runs only while the gate is open."""
    gate, started, inferred = threading.Event(), [], []
    plain: Callable[[Session, np.ndarray], np.ndarray] = Session.run

    def run(self: Session, batch: np.ndarray) -> np.ndarray:
        inferred.append(len(batch))
        assert gate.wait(60)
        return plain(self, batch)

    monkeypatch.setattr(Session, "run", run)
    gate.set()

    def make(*, max_batch: int = 4, workers: int = 2, max_queue: int = 64) -> Harness:
        threads = Workers(workers)
        started.append(threads)
        room = Admission(
            sizes=Sizes(bodies=100, pixels=CAPACITY), workers=threads, max_queue=max_queue, queue_timeout=PATIENCE
        )
        sizes: list[int] = []
        batcher = Batcher(room, classifier, max_batch=max_batch, delay=DELAY, limit=LIMIT, observe=sizes.append)
        return Harness(batcher, room, classifier, sizes, gate, inferred)

    yield make
    gate.set()
    for threads in started:
        threads.shutdown()


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockedDecodings]:
    """Block every decoding until it is released."""
    found = BlockedDecodings()

    def slow(header: ImageHeader) -> Image.Image:
        event = threading.Event()
        found.started.append(event)
        assert event.wait(60)
        return decode.decode(header)

    monkeypatch.setattr("imageclassifier_runtime.inference.pipeline.decode", slow)
    yield found
    found.release()

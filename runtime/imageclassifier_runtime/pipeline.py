"""One classification, from a container or a tensor to named classes: the stages in order, each timed."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from imageclassifier_runtime.errors import TensorError
from imageclassifier_runtime.stages.decode import decode
from imageclassifier_runtime.stages.infer import Session, open_session
from imageclassifier_runtime.stages.postprocess import Prediction, softmax, top
from imageclassifier_runtime.stages.preprocess import preprocess

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_runtime.model.folder import ModelFolder
    from imageclassifier_runtime.stages.containers import Container
    from imageclassifier_runtime.stages.infer import FloatArray

# What a resize holds beside the decoded image: strips, the narrowed image, and the model's input.
WORKSPACE = 12 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The likeliest classes, the model's raw scores [C], and the seconds that each stage took.

    The stages came one after the other in this order; the first one began at `began` (`time.perf_counter()`).
    """

    predictions: list[Prediction]
    scores: FloatArray
    seconds: dict[str, float]
    began: float


def _crowd() -> bool:
    return False


class Classifier:
    """A loaded model; `classify` is safe to call from several threads.

    It has two sessions where there are several threads. Images that come together are quickest with one thread
    each: sharing the threads of each inference costs a fifth of the throughput. One that is alone has them all.
    """

    def __init__(self, model: ModelFolder, session: Session, wide: Session | None = None) -> None:
        self.model = model
        self._session = session
        self._wide = wide

    @classmethod
    def load(cls, model: ModelFolder, *, threads: int) -> Classifier:
        """Open the model's sessions; raises ModelError."""
        size = model.preprocessing.crop[0]
        session = open_session(model.graph, input_size=size, threads=1)
        if session.classes != len(model.labels):
            from imageclassifier_runtime.errors import INVALID, ModelError  # noqa: PLC0415

            raise ModelError(
                INVALID, f"the model gives {session.classes} scores, but there are {len(model.labels)} labels"
            )
        wide = open_session(model.graph, input_size=size, threads=threads) if threads > 1 else None
        return cls(model, session, wide)

    def warm_up(self, threads: int) -> None:
        """Run as many inferences at once as there will be, so that the memory of all of them is there already."""
        size = self._session.input_size
        batch = np.zeros((1, 3, size, size), np.float32)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self._session.run, [batch] * threads))

    @property
    def classes(self) -> int:
        """Return how many classes the model tells apart."""
        return self._session.classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of one input without its batch axis: 3, height, width."""
        return 3, self._session.input_size, self._session.input_size

    @property
    def tensor_names(self) -> tuple[str, str]:
        """Return the graph's own names of its input and of its scores."""
        return self._session.names

    def classify(self, container: Container, count: int, alone: Callable[[], bool] = _crowd) -> Outcome:
        """Decode, prepare, infer, and name the `count` likeliest classes; raises ImageUndecodableError.

        `alone` is asked just before the inference, since it is then that others may have come.
        """
        marks = [time.perf_counter()]
        image = decode(container)
        marks.append(time.perf_counter())
        batch = preprocess(image, container.orientation, self.model.preprocessing)
        del image
        marks.append(time.perf_counter())
        return self._outcome(batch, count, ("decode", "preprocess"), marks, alone)

    def infer(self, tensor: FloatArray, count: int, alone: Callable[[], bool] = _crowd) -> Outcome:
        """Name the `count` likeliest classes of a prepared input [3, S, S]; raises TensorError."""
        if not np.isfinite(tensor).all():
            raise TensorError("The tensor holds NaN or an infinity, or a number that is too large for FP32.")
        # What comes from a request's body may lie at any address, and in a foreign byte order's type.
        batch = np.require(tensor[np.newaxis], np.float32, ("C", "A"))
        return self._outcome(batch, count, (), [time.perf_counter()], alone)

    def name(self, scores: FloatArray, count: int) -> list[Prediction]:
        """Return the `count` likeliest classes by the model's raw scores [C]."""
        probabilities = scores if self._session.gives_probabilities else softmax(scores)
        return top(probabilities, self.model.labels, count)

    def _outcome(
        self,
        batch: FloatArray,
        count: int,
        names: tuple[str, ...],
        marks: list[float],
        alone: Callable[[], bool],
    ) -> Outcome:
        """Infer and name; `marks` are the times at which the stages `names` began, and the last one ended."""
        session = self._wide if self._wide is not None and alone() else self._session
        scores = session.run(batch)[0]
        if not np.isfinite(scores).all():
            raise TensorError("The model's scores for this input are not finite numbers.")
        marks.append(time.perf_counter())
        predictions = self.name(scores, count)
        marks.append(time.perf_counter())
        stages = (*names, "inference", "postprocess")
        seconds = {name: after - before for name, (before, after) in zip(stages, pairwise(marks), strict=True)}
        return Outcome(predictions, scores, seconds, marks[0])

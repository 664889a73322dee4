"""One classification, from a container or a tensor to named classes: the stages in order, each timed."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import Executor, wait
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from imageclassifier_runtime.errors import TensorError
from imageclassifier_runtime.stages.decode import decode
from imageclassifier_runtime.stages.infer import Session, open_session
from imageclassifier_runtime.stages.postprocess import Prediction, softmax, top
from imageclassifier_runtime.stages.preprocess import preprocess

if TYPE_CHECKING:
    from imageclassifier_runtime.model.folder import ModelFolder
    from imageclassifier_runtime.stages.containers import Container
    from imageclassifier_runtime.stages.infer import FloatArray

# What a resize holds beside the decoded image: strips, the narrowed image, and the model's input.
WORKSPACE = 12 * 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The likeliest classes, the model's raw scores [C], and the seconds that each stage took."""

    predictions: list[Prediction]
    scores: FloatArray
    seconds: dict[str, float]


class Classifier:
    """A loaded model; `classify` is safe to call from several threads."""

    def __init__(self, model: ModelFolder, session: Session) -> None:
        self.model = model
        self._session = session

    @classmethod
    def load(cls, model: ModelFolder, *, threads: int) -> Classifier:
        """Open the model's session; raises ModelError."""
        session = open_session(model.graph, input_size=model.preprocessing.crop[0], threads=threads)
        if session.classes != len(model.labels):
            from imageclassifier_runtime.errors import INVALID, ModelError  # noqa: PLC0415

            raise ModelError(
                INVALID, f"the model gives {session.classes} scores, but there are {len(model.labels)} labels"
            )
        return cls(model, session)

    def warm_up(self, executor: Executor, workers: int) -> None:
        """Run one inference on every worker at once, so that the memory of all of them is there already."""
        size = self._session.input_size
        batch = np.zeros((1, 3, size, size), np.float32)
        for future in wait([executor.submit(self._session.run, batch) for _ in range(workers)]).done:
            future.result()

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

    def classify(self, container: Container, count: int) -> Outcome:
        """Decode, prepare, infer, and name the `count` likeliest classes; raises ImageUndecodableError."""
        marks = [time.perf_counter()]
        image = decode(container)
        marks.append(time.perf_counter())
        batch = preprocess(image, container.orientation, self.model.preprocessing)
        del image
        marks.append(time.perf_counter())
        return self._outcome(batch, count, ("decode", "preprocess"), marks)

    def infer(self, tensor: FloatArray, count: int) -> Outcome:
        """Name the `count` likeliest classes of a prepared input [3, S, S]; raises TensorError."""
        if not np.isfinite(tensor).all():
            raise TensorError("The tensor holds NaN or an infinity, or a number that is too large for FP32.")
        # What comes from a request's body may lie at any address, and in a foreign byte order's type.
        batch = np.require(tensor[np.newaxis], np.float32, ("C", "A"))
        return self._outcome(batch, count, (), [time.perf_counter()])

    def _outcome(self, batch: FloatArray, count: int, names: tuple[str, ...], marks: list[float]) -> Outcome:
        """Infer and name; `marks` are the times at which the stages `names` began, and the last one ended."""
        scores = self._session.run(batch)[0]
        if not np.isfinite(scores).all():
            raise TensorError("The model's scores for this input are not finite numbers.")
        marks.append(time.perf_counter())
        probabilities = scores if self._session.gives_probabilities else softmax(scores)
        predictions = top(probabilities, self.model.labels, count)
        marks.append(time.perf_counter())
        stages = (*names, "inference", "postprocess")
        seconds = {name: after - before for name, (before, after) in zip(stages, pairwise(marks), strict=True)}
        return Outcome(predictions, scores, seconds)

"""Runs the stages of a classification in order, from an image or a tensor to named classes, and times each."""

from __future__ import annotations

import dataclasses
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from imageclassifier_runtime.errors import SettingsError, TensorError
from imageclassifier_runtime.inference.decode import decode
from imageclassifier_runtime.inference.postprocess import Prediction, top
from imageclassifier_runtime.inference.preprocess import preprocess
from imageclassifier_runtime.inference.session import Session, open_session
from imageclassifier_runtime.settings.fields import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imageclassifier_runtime.inference.image_headers import ImageHeader
    from imageclassifier_runtime.inference.session import FloatArray
    from imageclassifier_runtime.model.folder import ModelFolder

_PREPARING = ("decode", "preprocess")
_NOT_FINITE = "The tensor has NaN or an infinity, or a number that is too large for FP32."
# Memory of a resize in addition to the decoded image: strips, the narrowed image, and the model's input. For small
# images, the number of bytes per pixel is the limit.
MAX_RESIZE_BYTES, RESIZE_BYTES_PER_PIXEL = 12 * 1024 * 1024, 16


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The top classes, the model's raw scores [C], and the seconds of each stage.

    `began` is when each stage started, by `time.perf_counter()`.
    """

    predictions: list[Prediction]
    scores: FloatArray
    seconds: dict[str, float]
    began: dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """An input [3, S, S] for a batch, the requested number of classes, and the stages so far as in Outcome.

    Values from a client are not `checked`: they may be NaN, unaligned, or in any byte order.
    """

    values: FloatArray
    top_k: int
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    began: dict[str, float] = dataclasses.field(default_factory=dict)
    checked: bool = False


def _never() -> bool:
    return False


class Classifier:
    """A loaded model; `classify` is safe to call from several threads.

    With several threads it has two sessions. Concurrent images are fastest with one thread each: sharing the
    threads of an inference costs a fifth of the throughput. A single image uses all threads.
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

    def warm_up(
        self, threads: int, max_batch: int = 1, free_bytes: Callable[[], int] = lambda: sys.maxsize
    ) -> int:
        """Run as many concurrent inferences as serving will, so that their memory is allocated already.

        Batch sizes double up to `max_batch`; `free_bytes` returns the free bytes. If the next size would not fit,
        raises SettingsError before the container is OOM-killed. Raises ModelError.

        Returns the bytes to reserve for fragmentation: batches of mixed sizes took a third more memory than
        batches of one size.
        """
        self._run_concurrently(threads, 1)
        before, size = free_bytes(), 1
        if max_batch > 1:
            self._session.check_batches(max_batch)
        while size < max_batch:
            larger, left = min(2 * size, max_batch), free_bytes()
            taken = before - left
            # The memory of a batch grows with the images after its first.
            if size > 1 and taken * (larger - size) // (size - 1) > left:
                raise SettingsError(
                    f"batches of up to {max_batch} do not fit into the memory limit: those of {size} take "
                    f"{taken // MIB} MiB more than single images, and {max(0, left) // MIB} MiB are left. Raise "
                    "the limit, or lower the size of a batch"
                )
            size = larger
            self._run_concurrently(threads, size)
        return max(0, before - free_bytes()) // 2

    def _run_concurrently(self, threads: int, size: int) -> None:
        batch = np.zeros((size, *self.input_shape), np.float32)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(self._session.run, [batch] * threads))
        if self._wide is not None and size > 1:
            self._wide.run(batch)

    @property
    def classes(self) -> int:
        """Return the model's number of classes."""
        return self._session.classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of one input without its batch axis: 3, height, width."""
        return 3, self._session.input_size, self._session.input_size

    @property
    def tensor_names(self) -> tuple[str, str]:
        """Return the graph's names of its input and of its scores."""
        return self._session.names

    def classify(self, header: ImageHeader, top_k: int, is_only_request: Callable[[], bool] = _never) -> Outcome:
        """Decode, preprocess, infer, and return the `top_k` most likely classes; raises ImageUndecodableError.

        `is_only_request` is called just before the inference, because other requests may have arrived by then.
        """
        batch, marks = self._input(header)
        return self._outcome(batch, top_k, _PREPARING, marks, is_only_request)

    def prepare(self, header: ImageHeader, top_k: int, is_only_request: Callable[[], bool]) -> Prepared | Outcome:
        """Decode and preprocess for a batch, or do what `classify` does if there are no other requests."""
        batch, marks = self._input(header)
        if is_only_request():
            return self._outcome(batch, top_k, _PREPARING, marks, is_only_request)
        return Prepared(batch[0], top_k, *_times(_PREPARING, marks), checked=True)

    def infer(self, tensor: FloatArray, top_k: int, is_only_request: Callable[[], bool] = _never) -> Outcome:
        """Return the `top_k` most likely classes of a prepared input [3, S, S]; raises TensorError."""
        if not np.isfinite(tensor).all():
            raise TensorError(_NOT_FINITE)
        # A tensor from a request's body may be unaligned, and in another byte order.
        batch = np.require(tensor[np.newaxis], np.float32, ("C", "A"))
        return self._outcome(batch, top_k, (), [time.perf_counter()], is_only_request)

    def infer_together(
        self, inputs: Sequence[Prepared], is_only_request: Callable[[], bool] = _never
    ) -> list[Outcome | Exception]:
        """Return an outcome or an error for each input, in order, from one inference over all of them.

        A failing input does not affect the others: inputs that are not finite are left out, and if the session
        rejects the batch, each input is tried alone. The inference time of each outcome is that of the whole
        batch.
        """
        results: list[Outcome | Exception] = [TensorError(_NOT_FINITE) for _ in inputs]
        good = [n for n, prepared in enumerate(inputs) if prepared.checked or np.isfinite(prepared.values).all()]
        if not good:
            return results
        began = time.perf_counter()
        try:
            batch = np.empty((len(good), *self.input_shape), np.float32)
            for row, number in enumerate(good):
                batch[row] = inputs[number].values
            scores = self._session_for(is_only_request).run(batch)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's have no public base; each is raised to its caller
            if len(good) == 1:
                results[good[0]] = error
            else:
                for number in good:
                    results[number] = self.infer_together([inputs[number]])[0]
            return results
        ended = time.perf_counter()
        for row, number in enumerate(good):
            results[number] = self._batch_outcome(inputs[number], scores[row], began, ended)
        return results

    def _input(self, header: ImageHeader) -> tuple[FloatArray, list[float]]:
        """Return the input [1, 3, S, S] of an image, and the times at which its two stages started and ended."""
        marks = [time.perf_counter()]
        image = decode(header)
        marks.append(time.perf_counter())
        batch = preprocess(image, header.orientation, self.model.preprocessing)
        marks.append(time.perf_counter())
        return batch, marks

    def _session_for(self, is_only_request: Callable[[], bool]) -> Session:
        return self._wide if self._wide is not None and is_only_request() else self._session

    def _outcome(
        self,
        batch: FloatArray,
        top_k: int,
        names: tuple[str, ...],
        marks: list[float],
        is_only_request: Callable[[], bool],
    ) -> Outcome:
        """Infer and name the classes; `marks` are the start times of the stages `names`, and the last end."""
        scores = self._session_for(is_only_request).run(batch)[0]
        marks.append(time.perf_counter())
        predictions = self.top_classes(scores, top_k)
        marks.append(time.perf_counter())
        return Outcome(predictions, scores, *_times((*names, "inference", "postprocess"), marks))

    def _batch_outcome(
        self, prepared: Prepared, scores: FloatArray, began: float, ended: float
    ) -> Outcome | TensorError:
        """Return the outcome of one input of a batch; `began` and `ended` are the times of its inference."""
        naming = time.perf_counter()
        try:
            predictions = self.top_classes(scores, prepared.top_k)
        except TensorError as error:
            return error
        own = scores.copy()  # a view would keep the scores of the whole batch
        seconds, starts = _times(("inference",), [began, ended])
        seconds["postprocess"], starts["postprocess"] = time.perf_counter() - naming, naming
        return Outcome(predictions, own, {**prepared.seconds, **seconds}, {**prepared.began, **starts})

    def top_classes(self, scores: FloatArray, top_k: int) -> list[Prediction]:
        """Return the `top_k` most likely classes of the model's raw scores [C]; raises TensorError."""
        return top(scores, self.model.labels, top_k, logits=not self._session.gives_probabilities)


def _times(names: tuple[str, ...], marks: list[float]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the durations and start times of stages, from the times at which they started and ended."""
    seconds = {name: after - before for name, (before, after) in zip(names, pairwise(marks), strict=True)}
    return seconds, dict(zip(names, marks, strict=False))

"""Compares an int8 graph with its fp32 graph: classes, probabilities, time."""

from __future__ import annotations

import math
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imageclassifier_runtime.inference.postprocess import softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from imageclassifier_runtime.inference.session import Session

    FloatArray = npt.NDArray[np.float32]

_SLICES = 9
_SLICE_SECONDS, _MAX_RUNS = 0.05, 20
_MIN_PROBABILITY = 1e-12


class Agreement(NamedTuple):
    """Of `pictures`, how many get the same top-1 class from both graphs, and how many each gets right."""

    pictures: int
    same: int
    right_fp32: int | None
    right_int8: int | None

    @property
    def share(self) -> float:
        """The share with the same class, 0 to 1."""
        return self.same / self.pictures

    def interval(self) -> tuple[float, float]:
        """Return the 95 % confidence interval of the share (Wilson score interval)."""
        count, z = self.pictures, 1.96
        middle = (self.share + z * z / (2 * count)) / (1 + z * z / count)
        half = z / (1 + z * z / count) * math.sqrt(self.share * (1 - self.share) / count + (z / (2 * count)) ** 2)
        return max(0.0, middle - half), min(1.0, middle + half)


class Speed(NamedTuple):
    """Seconds per inference of one picture with one thread, median of alternating slices."""

    fp32: float
    int8: float

    @property
    def gain(self) -> float:
        """The speedup of int8."""
        return self.fp32 / self.int8


def probabilities(session: Session, batch: FloatArray) -> FloatArray:
    """Return the probabilities [N, C] of pictures [N, 3, S, S], run one at a time as the server does."""
    rows = [session.run(np.asarray(batch[index : index + 1]))[0] for index in range(len(batch))]
    return np.stack([row if session.gives_probabilities else softmax(row) for row in rows])


def agreement(fp32: FloatArray, int8: FloatArray, labels: Sequence[int | None]) -> Agreement:
    """Compare the top-1 classes of [N, C] and [N, C]; accuracy is counted only if every label is known."""
    first, second = fp32.argmax(axis=1), int8.argmax(axis=1)
    same = int((first == second).sum())
    known = [label for label in labels if label is not None]
    if len(known) != len(labels):
        return Agreement(len(labels), same, None, None)
    true = np.array(known)
    return Agreement(len(labels), same, int((first == true).sum()), int((second == true).sum()))


def divergence(fp32: FloatArray, int8: FloatArray) -> float:
    """Return the mean Kullback-Leibler divergence of int8's probabilities from fp32's, in nats.

    Rounding changes it for every picture, but changes the agreement only for the few that are close to another
    class.
    """
    expected = np.maximum(fp32.astype(np.float64), _MIN_PROBABILITY)
    actual = np.maximum(int8.astype(np.float64), _MIN_PROBABILITY)
    return float((expected * np.log(expected / actual)).sum(axis=1).mean())


def speed(fp32: Session, int8: Session, batch: FloatArray) -> Speed:
    """Time two sessions alternately on one picture [1, 3, S, S], so that other load affects both."""
    runs = [
        min(_MAX_RUNS, max(1, round(_SLICE_SECONDS / max(_time(session, batch, 2), 1e-6))))
        for session in (fp32, int8)
    ]
    slices: tuple[list[float], list[float]] = ([], [])
    for _ in range(_SLICES):
        for found, session, count in zip(slices, (fp32, int8), runs, strict=True):
            found.append(_time(session, batch, count))
    return Speed(statistics.median(slices[0]), statistics.median(slices[1]))


def _time(session: Session, batch: FloatArray, count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        session.run(batch)
    return (time.perf_counter() - started) / count

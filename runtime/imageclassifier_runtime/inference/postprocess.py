"""Converts a model's scores to the top classes with names and probabilities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imageclassifier_runtime.errors import TensorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Prediction(NamedTuple):
    """One class and its probability, 0 to 1."""

    class_id: int
    class_name: str
    probability: float


def softmax(scores: npt.NDArray[np.float32], of: Any = slice(None)) -> npt.NDArray[np.float32]:
    """Return the probabilities of logits [C], for all classes or for the indices `of`."""
    powers = np.exp(scores - scores.max())
    result: npt.NDArray[np.float32] = powers[of] / powers.sum()
    return result


def top(scores: npt.NDArray[np.float32], labels: Sequence[str], top_k: int, *, logits: bool) -> list[Prediction]:
    """Return the `top_k` classes with the highest scores of [C], in descending order, ties by index.

    `logits` are converted to probabilities; other scores are returned unchanged. Raises TensorError if any score
    is not finite. Each call into NumPy may switch threads, so there are few.
    """
    # Sorted ascending, NaN comes last. The scores are reversed before and after, so that ties keep their order.
    order = len(scores) - 1 - np.argsort(scores[::-1], kind="stable")[::-1]
    if not (math.isfinite(scores[order[0]]) and math.isfinite(scores[order[-1]])):
        raise TensorError("The model's scores for this input are not finite numbers.")
    first = order[:top_k]
    values = softmax(scores, first) if logits else scores[first]
    return [
        Prediction(index, labels[index], round(value, 6))
        for index, value in zip(first.tolist(), values.tolist(), strict=True)
    ]

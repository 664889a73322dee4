"""From scores to named classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


class Prediction(NamedTuple):
    """One class and its probability, 0 to 1."""

    class_id: int
    class_name: str
    probability: float


def softmax(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the probabilities [C] of logits [C]."""
    powers = np.exp(scores - scores.max())
    result: npt.NDArray[np.float32] = powers / powers.sum()
    return result


def top(probabilities: npt.NDArray[np.float32], labels: Sequence[str], count: int) -> list[Prediction]:
    """Return the `count` likeliest classes of [C], likeliest first, equal ones by index."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [Prediction(int(index), labels[index], round(float(probabilities[index]), 6)) for index in order]

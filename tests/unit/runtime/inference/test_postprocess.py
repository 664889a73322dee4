"""The classes with the highest scores are returned with their names and probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from imageclassifier_runtime.errors import TensorError
from imageclassifier_runtime.inference.postprocess import softmax, top

LABELS = [f"label {number}" for number in range(1000)]


def test_classes_are_sorted_by_score_and_ties_by_index() -> None:
    scores = np.array([1, 3, 2, 3, 2, 3], np.float32)
    assert [index for index, _, _ in top(scores, LABELS, 5, logits=False)] == [1, 3, 5, 2, 4]


def test_scores_that_are_not_logits_are_returned_unchanged() -> None:
    (first, second) = top(np.array([0.25, 0.75], np.float32), LABELS, 5, logits=False)
    assert first == (1, "label 1", 0.75)
    assert second == (0, "label 0", 0.25)


def test_logits_are_converted_by_a_softmax_over_all_classes() -> None:
    scores = np.random.default_rng(1).normal(0, 4, 1000).astype(np.float32)
    exact = [math.exp(score) for score in scores.astype(float)]
    found = top(scores, LABELS, 1000, logits=True)
    assert sorted(index for index, _, _ in found) == list(range(1000))
    for index, label, probability in found:
        assert label == LABELS[index]
        assert probability == pytest.approx(exact[index] / sum(exact), rel=1e-4, abs=1e-6)


def test_the_softmax_of_some_indices_equals_that_of_all() -> None:
    scores = np.random.default_rng(2).normal(0, 9, 1000).astype(np.float32)
    assert (softmax(scores, [7, 3]) == softmax(scores)[[7, 3]]).all()


def test_large_logits_do_not_overflow() -> None:
    found = top(np.array([1e38, -1e38, 0], np.float32), LABELS, 1, logits=True)
    assert found == [(0, "label 0", 1.0)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("logits", [True, False])
def test_scores_that_are_not_finite_are_rejected(bad: float, place: int, *, logits: bool) -> None:
    scores = np.zeros(3, np.float32)
    scores[place] = bad
    with pytest.raises(TensorError):
        top(scores, LABELS, 1, logits=logits)

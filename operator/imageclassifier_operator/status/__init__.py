"""From the observed state to the status: pure functions, an ordered chain of checks."""

from imageclassifier_operator.status.compute import compute, compute_invalid
from imageclassifier_operator.status.overridden import sentence_of
from imageclassifier_operator.status.types import (
    Condition,
    Observation,
    ObservedChild,
    OverriddenField,
    Problem,
    Status,
)

__all__ = [
    "Condition",
    "Observation",
    "ObservedChild",
    "OverriddenField",
    "Problem",
    "Status",
    "compute",
    "compute_invalid",
    "sentence_of",
]

"""Computes the status from the observed state, with pure functions: an ordered chain of checks decides `Ready`."""

from imageclassifier_operator.status.compute import compute, compute_invalid
from imageclassifier_operator.status.overridden import format_value, override_message
from imageclassifier_operator.status.rollout import deadline_exceeded
from imageclassifier_operator.status.types import (
    Condition,
    Observation,
    ObservedChild,
    OverriddenField,
    Problem,
    Revisions,
    Status,
)

__all__ = [
    "Condition",
    "Observation",
    "ObservedChild",
    "OverriddenField",
    "Problem",
    "Revisions",
    "Status",
    "compute",
    "compute_invalid",
    "deadline_exceeded",
    "format_value",
    "override_message",
]

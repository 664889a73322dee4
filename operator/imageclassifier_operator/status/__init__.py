"""Computes the status from the observed state, with pure functions: an ordered chain of checks decides `Ready`."""

from imageclassifier_operator.status.compute import compute, compute_invalid, compute_terminating
from imageclassifier_operator.status.overridden import format_value, override_message, without_credentials
from imageclassifier_operator.status.rollout import deadline_exceeded, unexplained_pods
from imageclassifier_operator.status.types import (
    Condition,
    ContestedField,
    Observation,
    ObservedChild,
    OverriddenField,
    Problem,
    Revisions,
    Status,
)

__all__ = [
    "Condition",
    "ContestedField",
    "Observation",
    "ObservedChild",
    "OverriddenField",
    "Problem",
    "Revisions",
    "Status",
    "compute",
    "compute_invalid",
    "compute_terminating",
    "deadline_exceeded",
    "format_value",
    "override_message",
    "unexplained_pods",
    "without_credentials",
]

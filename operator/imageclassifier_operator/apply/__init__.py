"""Writes desired objects to the API server, only if they differ: compare, apply, hand over, prune."""

from imageclassifier_operator.apply.difference import difference, differences
from imageclassifier_operator.apply.handover import REPLICAS_MANAGER
from imageclassifier_operator.apply.overrides import Overrides
from imageclassifier_operator.apply.sync import Applied, apply_children, compare_children, problem_of

__all__ = [
    "REPLICAS_MANAGER",
    "Applied",
    "Overrides",
    "apply_children",
    "compare_children",
    "difference",
    "differences",
    "problem_of",
]

"""Writes desired objects to the API server, only if they differ: compare, apply, hand over, prune."""

from imageclassifier_operator.apply.contests import Contests
from imageclassifier_operator.apply.difference import Difference, difference, differences
from imageclassifier_operator.apply.handover import REPLICAS_MANAGER
from imageclassifier_operator.apply.preconditions import OwnerDeletedError, check_owner, for_version
from imageclassifier_operator.apply.sync import (
    Applied,
    apply_children,
    compare_children,
    conflict_problem,
    problem_of,
)
from imageclassifier_operator.apply.write_history import WriteHistory

__all__ = [
    "REPLICAS_MANAGER",
    "Applied",
    "Contests",
    "Difference",
    "OwnerDeletedError",
    "WriteHistory",
    "apply_children",
    "check_owner",
    "compare_children",
    "conflict_problem",
    "difference",
    "differences",
    "for_version",
    "problem_of",
]

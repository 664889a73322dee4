"""From what was seen to what `kubectl get` says: pure functions, an ordered chain of checks."""

from imageclassifier_operator.status.compute import compute, compute_invalid
from imageclassifier_operator.status.types import Observation, Problem

__all__ = ["Observation", "Problem", "compute", "compute_invalid"]

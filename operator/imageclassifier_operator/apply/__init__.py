"""From desired objects to the API server: compare, apply, hand over, prune. Writes only what differs."""

from imageclassifier_operator.apply.difference import difference
from imageclassifier_operator.apply.handover import REPLICAS_MANAGER
from imageclassifier_operator.apply.overrides import Overrides
from imageclassifier_operator.apply.sync import MANAGER, Applied, apply_children

__all__ = ["MANAGER", "REPLICAS_MANAGER", "Applied", "Overrides", "apply_children", "difference"]

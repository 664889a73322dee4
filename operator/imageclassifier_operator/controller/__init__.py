"""Decides when an object is reconciled: the work queue, the watches of the children, and the resync."""

from imageclassifier_operator.controller.controller import Controller
from imageclassifier_operator.controller.workqueue import Key, WorkQueue

__all__ = ["Controller", "Key", "WorkQueue"]

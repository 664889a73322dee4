"""Decides when an object is reconciled, and by which process: work queue, watches, resync and election."""

from imageclassifier_operator.controller.controller import Controller
from imageclassifier_operator.controller.election import Election, LeaseLostError
from imageclassifier_operator.controller.heartbeats import Heartbeats
from imageclassifier_operator.controller.workqueue import Key, WorkQueue

__all__ = ["Controller", "Election", "Heartbeats", "Key", "LeaseLostError", "WorkQueue"]

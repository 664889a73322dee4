"""The revisions of an ImageClassifier: which pod template its Deployment gets, and when that changes.

history -> resolve -> decide -> record: the stored revisions, what the present operator renders, which of them is
accepted, and what is stored. `Waves` limits how many objects an upgrade of the operator changes at the same time.
"""

from imageclassifier_operator.revisions.changes import Change, changes, summary
from imageclassifier_operator.revisions.decision import UNTIL_READY, Decision
from imageclassifier_operator.revisions.history import (
    LeftoverError,
    last_accepted,
    own_deployment,
    record,
    resolve,
    was_ready,
)
from imageclassifier_operator.revisions.pacing import count_acceptance, paced
from imageclassifier_operator.revisions.revision import ADOPT_ANNOTATION, Cause, Revision
from imageclassifier_operator.revisions.waves import Waves, report_state

__all__ = [
    "ADOPT_ANNOTATION",
    "UNTIL_READY",
    "Cause",
    "Change",
    "Decision",
    "LeftoverError",
    "Revision",
    "Waves",
    "changes",
    "count_acceptance",
    "last_accepted",
    "own_deployment",
    "paced",
    "record",
    "report_state",
    "resolve",
    "summary",
    "was_ready",
]

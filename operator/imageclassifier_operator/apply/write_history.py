"""What became of earlier writes: overridden fields, fields that were set back, conflicts, takeovers in vain."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from imageclassifier_operator.apply.conflicts import Conflicts
from imageclassifier_operator.apply.contests import Contests
from imageclassifier_operator.apply.overrides import Overrides
from imageclassifier_operator.apply.overwrite import FutileTakeovers

if TYPE_CHECKING:
    from collections.abc import Callable


class WriteHistory:
    """The memory of one process, which only saves writes: without it, the children would be the same."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.overrides = Overrides(clock=clock)
        self.contests = Contests(clock=clock)
        self.conflicts = Conflicts()
        self.futile = FutileTakeovers(clock=clock)

    def forget(self, owner: tuple[str, str]) -> None:
        """Drop what is known about a deleted ImageClassifier."""
        self.overrides.forget(owner)
        self.contests.forget(owner)
        self.conflicts.forget(owner)

"""Decides how many ImageClassifiers adopt a new revision at the same time after an upgrade of the operator.

A wave has at most `size` objects. The next one begins when all of them are Ready with their new revision. So if
one does not become Ready, no other object is touched. The accepted revision of an object says whether it is
part of a wave. After a start of the operator, no wave begins before every object was reconciled once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imageclassifier_operator.revisions.revision import Cause
from imageclassifier_operator.status import deadline_exceeded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imageclassifier_operator.api import Spec
    from imageclassifier_operator.revisions.decision import Decision
    from imageclassifier_operator.status import Observation, Status

_MAX_FAILURES = 3

logger = logging.getLogger(__name__)

Name = tuple[str, str]
"""The namespace and name of an ImageClassifier."""


class Waves:
    """The upgrade of all ImageClassifiers of one operator."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._unknown: set[Name] = set()
        self._failures: dict[Name, int] = {}
        self._granted: set[Name] = set()
        self._running: set[Name] = set()
        self._upgraded: set[Name] = set()
        self._stalled: set[Name] = set()
        self._begun = 0
        self._stopped_by: Name | None = None
        self._waiting: dict[Name, None] = {}
        self._told: str | None = None

    @property
    def running(self) -> int:
        """The number of objects in the present wave that are not Ready yet."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """The number of objects that wait for their turn."""
        return len(self._waiting)

    @property
    def stopped(self) -> bool:
        """Whether the upgrade has stopped, because an object that was upgraded needs user action."""
        return self._stopped_by is not None or bool(self._stalled)

    def expect(self, names: Iterable[Name]) -> None:
        """Wait for a report about these objects, which exist at the start, before a wave begins."""
        self._unknown.update(names)

    def ask(self, name: Name) -> str | None:
        """Make an object part of the present wave and return None, or return what it has to wait for."""
        if name in self._running:
            return None
        reason = self._reason_to_wait()
        if reason is None:
            self._granted.add(name)
            self._running.add(name)
            self._begun += 1
            self._waiting.pop(name, None)
            return None
        self._waiting[name] = None
        self._told = self._told or reason
        return reason

    def accepted(self, name: Name) -> None:
        """Record that an object's new revision is stored: from now on, the object keeps its place in the wave."""
        self._granted.discard(name)

    def give_back(self, name: Name) -> None:
        """Undo a grant that is not used now, so that another object can have the place."""
        if name in self._granted:
            self._granted.discard(name)
            self._begun -= 1
            self._finish(name)

    def report(
        self,
        name: Name,
        *,
        upgrading: bool,
        ready: bool = False,
        stalled: bool | None = False,
        held: bool = False,
    ) -> None:
        """Record the state of an object after its reconcile.

        upgrading: whether its accepted revision comes from an upgrade of the operator.
        ready: whether it was Ready with that revision, now or before.
        stalled: whether it needs user action; None leaves the last value, as a failing pod that is created again
            needs none for a moment.
        held: whether it is paused or has an invalid spec, so that the others do not wait for it.
        """
        self._known(name)
        self._granted.discard(name)
        if not upgrading:
            if name in self._stalled and (name in self._running or self._waiting):
                self._stopped_by = name  # its spec was changed, which says nothing about the others
            self._upgraded.discard(name)
            self._leave(name)
            return
        if held:
            self._finish(name)
            return
        if not ready:
            self._waiting.pop(name, None)
            if name not in self._running:  # since before the start of this process: its wave goes on first
                self._running.add(name)
                self._begun = max(self._size, 1)
            self._upgraded.add(name)
        if stalled is False or (stalled and name in self._upgraded and (self._running or self._waiting)):
            # also if it was Ready for a moment, so that a revision that fails later goes no further
            if stalled and name not in self._stalled:
                logger.warning("Upgrade has stopped: %s/%s is not Ready with its new revision", *name)
            (self._stalled.add if stalled else self._stalled.discard)(name)
        if ready:
            self._finish(name)

    def failed(self, name: Name, *, unreachable: bool = False) -> None:
        """Record that nothing is known about an object, because its reconcile failed, or the API server did."""
        if name in self._unknown and not unreachable:
            self._failures[name] = self._failures.get(name, 0) + 1
        if self._failures.get(name, 0) >= _MAX_FAILURES:  # it must not hold the upgrade of the others for ever
            self._known(name)
        if name in self._granted:
            self._granted.discard(name)
            self._leave(name)

    def forget(self, name: Name) -> None:
        """Drop an object that was deleted, or that the user upgrades from now on."""
        self._known(name)
        self._granted.discard(name)
        self._waiting.pop(name, None)
        self._upgraded.discard(name)
        self._leave(name)

    def withdraw(self, name: Name) -> None:
        """Record that an object does not wait for its turn."""
        self._waiting.pop(name, None)

    def take_due(self) -> list[Name]:
        """Return the waiting objects that should ask again.

        If there is room in the wave, they are as many as fit into it. If the reason to wait has changed, they are
        all, so that their status has the present one.
        """
        reason = self._reason_to_wait()
        if reason is None:
            due = list(self._waiting)[: self._size - self._begun]
        else:
            due = [] if reason == self._told else list(self._waiting)
            self._told = reason
        for name in due:
            del self._waiting[name]
        return due

    def _known(self, name: Name) -> None:
        self._unknown.discard(name)
        self._failures.pop(name, None)

    def _finish(self, name: Name) -> None:
        self._running.discard(name)
        if not self._running:
            self._begun = 0

    def _leave(self, name: Name) -> None:
        self._stalled.discard(name)
        self._finish(name)

    def _reason_to_wait(self) -> str | None:
        """Return a reason without names: the owner of an object may not know the objects of other namespaces."""
        if self._size == 0:
            return "the operator is configured with the upgrade wave size 0"
        if self._unknown:
            return "the operator has just started"
        if self._stalled:
            return "the upgrade has stopped, because another object is not Ready with its new revision"
        if self._stopped_by is not None:
            return "the upgrade has stopped until the operator restarts, because another object failed with it"
        if self._begun < self._size:
            return None
        return "other objects are upgraded before it"


def report_state(
    waves: Waves, name: Name, decision: Decision, status: Status, observed: Observation, *, spec: Spec
) -> None:
    """Report the state of an object after its reconcile."""
    accepted = decision.accepted
    if spec.upgrade == "Manual":  # its user decides, so it is not part of a wave, and does not hold one
        waves.forget(name)
        return
    stalled = any(each["type"] == "Stalled" and each["status"] == "True" for each in status.conditions)
    waves.report(
        name,
        upgrading=accepted.cause is Cause.UPGRADED,
        ready=(status.fields.get("revisions") or {}).get("ready") == accepted.name,
        stalled=True if stalled or deadline_exceeded(observed) else False if status.ready else None,
        held=spec.paused,
    )

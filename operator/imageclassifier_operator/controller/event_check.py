"""Compares the events of kopf's watch with those of a watch of our own: kopf's may stop without an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from imageclassifier_operator.controller.workqueue import Key


class EventCheck:
    """The versions of each object that our watch has seen, and that kopf's has not reported yet.

    A version is None if the object was deleted. A deletion is never missing: kopf does not report one that
    happened before it listed the objects again.

    scope_of: returns the namespace of the watch that reports an object, or None if there is one for all.
    """

    def __init__(
        self,
        *,
        scope_of: Callable[[Key], str | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scope_of = scope_of
        self._clock = clock
        self._reported: dict[Key, str] = {}
        self._pending: dict[Key, dict[str, float]] = {}
        self._last_report: dict[str | None, float] = {}

    def seen(self, key: Key, version: str | None) -> None:
        """Record what our own watch has seen last."""
        if version is None or version == self._reported.get(key):
            self._pending.pop(key, None)
        else:
            self._pending.setdefault(key, {}).setdefault(version, self._clock())

    def reported(self, key: Key, version: str | None) -> None:
        """Record an event of kopf's watch, which works: what is still missing is missing from now on."""
        self._last_report[self._scope_of(key)] = self._clock()
        if version is None:
            self._reported.pop(key, None)
        else:
            self._reported[key] = version
        versions = list(self._pending.pop(key, ()))
        if version in versions and versions[-1] != version:
            later = versions[versions.index(version) + 1 :]
            self._pending[key] = dict.fromkeys(later, self._clock())

    def late(self) -> dict[Key, float]:
        """Return the objects of which an event is missing, and for how many seconds their watch has been silent.

        After a start, a watch reports all objects, one after the other; of many, the last ones are late.
        """
        now = self._clock()
        return {
            key: now - max(min(versions.values()), self._last_report.get(self._scope_of(key), 0.0))
            for key, versions in self._pending.items()
        }

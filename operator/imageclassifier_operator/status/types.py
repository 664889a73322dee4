"""What the checks look at, and what each of them answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A child that could not be brought into shape: which kind, and the condition's reason and message.

    `passing` says that it ends without a person, as a rule.
    """

    kind: str
    reason: str
    message: str
    passing: bool = False


@dataclass(frozen=True, kw_only=True)
class OverriddenField:
    """A field of a child that the API server itself sets to another value than the desired one."""

    kind: str
    path: str
    desired: Any
    observed: Any


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The live world of one ImageClassifier, as it was read after the children were applied."""

    deployment: Mapping[str, Any] | None = None
    replica_sets: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    autoscaler: Mapping[str, Any] | None = None
    monitor: Mapping[str, Any] | None = None
    problems: Sequence[Problem] = field(default_factory=tuple)
    overridden: Sequence[OverriddenField] = field(default_factory=tuple)
    service_monitors_served: bool = True


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One condition's status, reason and message; `stalled` says that a person must act."""

    status: str
    reason: str
    message: str
    stalled: bool = False
    progressing: bool = False


@dataclass(frozen=True, kw_only=True)
class Status:
    """The status of an ImageClassifier: whether it is Ready, and all its fields as the API takes them."""

    ready: bool
    fields: Mapping[str, Any]

    @property
    def conditions(self) -> Sequence[Mapping[str, Any]]:
        """The conditions among the fields."""
        conditions: Sequence[Mapping[str, Any]] = self.fields["conditions"]
        return conditions

"""The input of the checks, and their results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from imageclassifier_operator.api import Spec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A child that could not be applied or read: its kind, and the condition's reason and message.

    A `transient` one usually passes without user action; one with `has_condition` is reported by the condition of
    its child.
    """

    kind: str
    reason: str
    message: str
    transient: bool = False
    has_condition: bool = False


@dataclass(frozen=True, kw_only=True)
class OverriddenField:
    """A field of a child that the API server sets to another value than the desired one."""

    kind: str
    path: str
    desired: Any
    observed: Any


@dataclass(frozen=True, kw_only=True)
class ObservedChild:
    """What the condition of a child is decided by."""

    live: Mapping[str, Any] | None
    problem: Problem | None
    served: bool


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The observed state of one ImageClassifier, read after its children were applied.

    `children` are those that exist, by kind; `unserved` are the kinds that the API server does not serve.
    """

    deployment: Mapping[str, Any] | None = None
    replica_sets: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    children: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unserved: Collection[str] = ()
    problems: Sequence[Problem] = ()
    overridden: Sequence[OverriddenField] = ()

    def child(self, kind: str) -> ObservedChild:
        """Return what was observed of the child of a kind."""
        problem = next((problem for problem in self.problems if problem.kind == kind), None)
        return ObservedChild(live=self.children.get(kind), problem=problem, served=kind not in self.unserved)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One condition's status, reason and message; `stalled`: user action is required."""

    status: str
    reason: str
    message: str
    stalled: bool = False
    progressing: bool = False


@dataclass(frozen=True)
class Condition:
    """A condition that reports one child: its type, and the check that decides it."""

    type: str
    check: Callable[[Spec, ObservedChild], Verdict]


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

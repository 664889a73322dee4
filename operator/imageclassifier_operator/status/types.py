"""The types of the status: what was observed, the results of the checks, and the status itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from imageclassifier_operator.api import Spec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A child that could not be applied or read: its kind, and the reason and message for a condition.

    transient: whether the problem usually passes without user action.
    has_condition: whether the child has a condition, which then reports the problem.
    """

    kind: str
    reason: str
    message: str
    transient: bool = False
    has_condition: bool = False


@dataclass(frozen=True, kw_only=True)
class OverriddenField:
    """A field of a child that the operator applied with one value, and that the API server stored with another."""

    kind: str
    path: str
    desired: Any
    observed: Any


@dataclass(frozen=True, kw_only=True)
class ContestedField:
    """A field of a child that another field manager sets back again and again; None if it is not known."""

    kind: str
    path: str
    manager: str | None


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """The names of the accepted revision and of the candidate, if there is one, and a sentence about it."""

    accepted: str
    candidate: str | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ObservedChild:
    """The observed state of one child; its condition depends on nothing else but the spec."""

    live: Mapping[str, Any] | None
    problem: Problem | None
    served: bool


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The observed state of one ImageClassifier, read after its children were applied.

    `warnings` are the Events about some pods, by their UID. `now` is when it was observed, in RFC 3339 format,
    empty if that is not known. `children` are those that exist, by kind; `unserved` are the kinds that the API
    server does not serve; `unsupported` are sentences about fields that it is too old for, by kind. `not_applied`
    is what differs while the object is paused; `withheld` is whether a contested field differs that is not written
    now; `revisions` is None if the revisions are not known, or are not written.
    """

    deployment: Mapping[str, Any] | None = None
    replica_sets: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    warnings: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    now: str = ""
    children: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unserved: Collection[str] = ()
    problems: Sequence[Problem] = ()
    overridden: Sequence[OverriddenField] = ()
    contested: Sequence[ContestedField] = ()
    withheld: bool = False
    unsupported: Mapping[str, str] = field(default_factory=dict)
    not_applied: Sequence[str] = ()
    revisions: Revisions | None = None

    def child(self, kind: str) -> ObservedChild:
        """Return the observed state of the child of this kind."""
        problem = next((problem for problem in self.problems if problem.kind == kind), None)
        return ObservedChild(live=self.children.get(kind), problem=problem, served=kind not in self.unserved)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The status, reason and message of a condition before it is written.

    stalled: whether user action is required. progressing: whether a rollout is in progress.
    """

    status: str
    reason: str
    message: str
    stalled: bool = False
    progressing: bool = False


@dataclass(frozen=True)
class Condition:
    """A condition about one child: its type, and the function that computes its verdict."""

    type: str
    check: Callable[[Spec, ObservedChild], Verdict]


@dataclass(frozen=True, kw_only=True)
class Status:
    """The status of an ImageClassifier: whether it is Ready, and all its fields in the API's format.

    progressing: whether a rollout is in progress.
    """

    ready: bool
    progressing: bool
    fields: Mapping[str, Any]

    @property
    def conditions(self) -> Sequence[Mapping[str, Any]]:
        """The conditions, which are one of the fields."""
        conditions: Sequence[Mapping[str, Any]] = self.fields["conditions"]
        return conditions

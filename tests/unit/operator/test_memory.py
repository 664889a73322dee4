"""What is not read again, and when it is after all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from imageclassifier_operator.controller import Key
from imageclassifier_operator.controller.memory import LONGEST_REST_SECONDS, LONGEST_USE_SECONDS, Memory
from imageclassifier_operator.naming import child_name
from imageclassifier_operator.reconcile import Outcome, Pass

if TYPE_CHECKING:
    from imageclassifier_operator.controller.watches import KindWatch

PETS = Key("vision", "pets")
DOTTED = Key("vision", "pets.v2")


class Watch:
    """Stands for a watch: the children that it has seen, by owner."""

    def __init__(self) -> None:
        self.current = True
        self.seen: dict[Key, dict[str, str]] = {PETS: {"deployment": "1"}}

    def versions(self, owner: Key) -> Any:
        return iter(self.seen.get(owner, {}).items())


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def memory(clock: Clock, watch: Watch) -> Memory:
    memory = Memory(clock=clock)
    memory.add(None, cast("KindWatch", watch))
    return memory


def outcome(version: str = "7", *, at_rest: bool = True) -> Outcome:
    passed = cast("Pass", SimpleNamespace(live={"metadata": {"resourceVersion": version}}))
    return Outcome(result="ready", passed=passed, at_rest=at_rest)


def test_an_object_is_at_rest_until_it_or_a_child_changes(memory: Memory, watch: Watch) -> None:
    memory.record(PETS, memory.versions(PETS, "7"), outcome())
    assert memory.is_at_rest(PETS, memory.versions(PETS, "7"))
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "8"))
    watch.seen[PETS]["deployment"] = "2"
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "7"))
    watch.seen[PETS] = {"deployment": "1", "pod": "1"}
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "7"))


def test_nothing_is_known_while_a_watch_is_not_current(memory: Memory, watch: Watch) -> None:
    memory.record(PETS, memory.versions(PETS, "7"), outcome())
    watch.current = False
    assert memory.versions(PETS, "7") is None
    assert not memory.is_at_rest(PETS, None)
    memory.record(PETS, None, outcome())
    watch.current = True
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "7"))


def test_an_object_that_was_read_at_another_version_is_not_remembered(memory: Memory) -> None:
    memory.record(PETS, memory.versions(PETS, "7"), outcome("8"))
    assert memory.unchanged(PETS, memory.versions(PETS, "7")) is None


def test_what_was_read_is_used_for_a_limited_time_also_if_it_is_used_again(memory: Memory, clock: Clock) -> None:
    found = outcome(at_rest=False)
    memory.record(PETS, memory.versions(PETS, "7"), found)
    clock.now = LONGEST_USE_SECONDS - 1
    assert memory.unchanged(PETS, memory.versions(PETS, "7")) is found.passed
    memory.record(PETS, memory.versions(PETS, "7"), found)
    clock.now = LONGEST_USE_SECONDS
    assert memory.unchanged(PETS, memory.versions(PETS, "7")) is None


def test_an_object_at_rest_is_looked_at_again_after_an_hour(memory: Memory, clock: Clock) -> None:
    memory.record(PETS, memory.versions(PETS, "7"), outcome())
    clock.now = LONGEST_REST_SECONDS - 1
    assert memory.is_at_rest(PETS, memory.versions(PETS, "7"))
    clock.now = LONGEST_REST_SECONDS
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "7"))


def test_of_an_object_at_rest_only_its_versions_are_kept(memory: Memory) -> None:
    memory.record(PETS, memory.versions(PETS, "7"), outcome())
    assert memory.unchanged(PETS, memory.versions(PETS, "7")) is None


def test_a_reconcile_that_has_left_something_to_do_is_not_remembered(memory: Memory) -> None:
    memory.record(PETS, memory.versions(PETS, "7"), outcome())
    memory.record(PETS, memory.versions(PETS, "7"), Outcome(result="refused"))
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "7"))


def test_the_children_of_an_object_with_a_long_or_dotted_name_count(memory: Memory, watch: Watch) -> None:
    before = memory.versions(DOTTED, "7")
    watch.seen[Key("vision", child_name(DOTTED.name))] = {"pod": "1"}
    assert before is not None
    assert memory.versions(DOTTED, "7") != before


def test_forgetting_is_for_one_object_or_for_all(memory: Memory) -> None:
    for key in (PETS, DOTTED):
        memory.record(key, memory.versions(key, "7"), outcome())
    memory.forget(PETS)
    assert not memory.is_at_rest(PETS, memory.versions(PETS, "7"))
    assert memory.is_at_rest(DOTTED, memory.versions(DOTTED, "7"))
    memory.forget()
    assert not memory.is_at_rest(DOTTED, memory.versions(DOTTED, "7"))

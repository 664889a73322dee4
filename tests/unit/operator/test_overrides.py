"""A field that the API server overrides is reported, and applied again only after growing pauses."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.api import ImageClassifier, ModelSource, OperatorConfig, Spec
from imageclassifier_operator.apply import Applied, WriteHistory, apply_children
from imageclassifier_operator.children import build_all
from imageclassifier_operator.manifests import Capabilities, Params
from imageclassifier_operator.status import OverriddenField, override_message

from tests.unit.operator.scripted_cluster import StoredCluster, existing

if TYPE_CHECKING:
    from collections.abc import Callable

CAPABILITIES = Capabilities(service_monitors=False)
SOURCE = ModelSource(name="pets", uris=("bundled:pets",), sha256="a" * 64)
PETS = ImageClassifier(namespace="vision", name="pets", uid="1", generation=1, spec=Spec(model=SOURCE, replicas=3))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def set_replicas(count: int) -> Callable[[dict[str, Any]], None]:
    def mutate(live: dict[str, Any]) -> None:
        if live["kind"] == "Deployment":
            live["spec"]["replicas"] = count

    return mutate


class Scenario:
    """A cluster with a policy, the records of overrides, and a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.history = WriteHistory(clock=self.clock)
        self.cluster = StoredCluster(existing(PETS), mutate=set_replicas(1))

    async def run_pass(self, ic: ImageClassifier = PETS) -> Applied:
        wanted = build_all(Params(ic=ic, config=OperatorConfig(runtime_image="i"), capabilities=CAPABILITIES))
        return await apply_children(self.cluster, ic, wanted, capabilities=CAPABILITIES, history=self.history)

    def writes(self) -> int:
        return self.cluster.applied.count("Deployment")


@pytest.fixture
async def scenario() -> Scenario:
    """A cluster in which the Deployment has been created with an overridden field."""
    scenario = Scenario()
    applied = await scenario.run_pass()
    assert [field.path for field in applied.overridden] == ["spec.replicas"]
    assert scenario.writes() == 1
    return scenario


async def test_an_overridden_field_is_not_applied_again_and_stays_reported(scenario: Scenario) -> None:
    for _ in range(5):
        applied = await scenario.run_pass()
        assert applied.overridden == [
            OverriddenField(kind="Deployment", path="spec.replicas", desired=3, observed=1)
        ]
        assert applied.live_children["Deployment"]["spec"]["replicas"] == 1
        assert applied.retry_after == 30.0
    assert scenario.writes() == 1


async def test_pauses_double_up_to_the_resync(scenario: Scenario) -> None:
    pauses = []
    for _ in range(6):
        scenario.clock.now += (await scenario.run_pass()).retry_after or 0.0
        pauses.append((await scenario.run_pass()).retry_after)
    assert pauses == [60.0, 120.0, 240.0, 300.0, 300.0, 300.0]
    assert scenario.writes() == 7


async def test_a_policy_that_sets_another_value_each_time_causes_few_writes(
    scenario: Scenario, caplog: pytest.LogCaptureFixture
) -> None:
    values = itertools.count(5)

    def mutate(live: dict[str, Any]) -> None:
        set_replicas(next(values))(live)

    scenario.cluster.mutate = mutate
    caplog.clear()
    end = scenario.clock.now + 3600.0
    while scenario.clock.now < end:
        scenario.clock.now += (await scenario.run_pass()).retry_after or 0.0
    assert scenario.writes() <= 16
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_another_spec_is_applied_at_the_next_pass(scenario: Scenario) -> None:
    changed = replace(PETS, spec=PETS.spec.model_copy(update={"replicas": 4}))
    assert [field.desired for field in (await scenario.run_pass(changed)).overridden] == [4]
    await scenario.run_pass(changed)
    assert scenario.writes() == 2


async def test_a_further_difference_is_applied_at_the_next_pass(scenario: Scenario) -> None:
    scenario.cluster.live["Deployment"]["spec"]["minReadySeconds"] = 99
    scenario.cluster.live["Deployment"]["metadata"]["labels"] = {}
    await scenario.run_pass()
    assert scenario.writes() == 2
    assert scenario.cluster.live["Deployment"]["metadata"]["labels"]


async def test_another_observed_value_is_overwritten_at_the_next_pass(scenario: Scenario) -> None:
    scenario.cluster.live["Deployment"]["spec"]["replicas"] = 2
    await scenario.run_pass()
    assert scenario.writes() == 2


async def test_a_recreated_child_has_its_own_record(scenario: Scenario) -> None:
    scenario.cluster.live["Deployment"]["metadata"]["uid"] = "10"
    await scenario.run_pass()
    assert scenario.writes() == 2


async def test_a_deleted_policy_ends_the_override(scenario: Scenario) -> None:
    scenario.cluster.mutate = lambda _: None
    scenario.clock.now += 30.0
    applied = await scenario.run_pass()
    assert (applied.overridden, applied.retry_after) == ([], None)
    assert scenario.cluster.live["Deployment"]["spec"]["replicas"] == 3
    await scenario.run_pass()
    assert scenario.writes() == 2


async def test_a_deleted_object_is_forgotten(scenario: Scenario) -> None:
    scenario.history.forget(("vision", "another"))
    await scenario.run_pass()
    assert scenario.writes() == 1
    scenario.history.forget(("vision", "pets"))
    await scenario.run_pass()
    assert scenario.writes() == 2


async def test_an_override_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    scenario = Scenario()
    for _ in range(3):
        await scenario.run_pass()
        scenario.clock.now += 30.0
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    field = OverriddenField(kind="Deployment", path="spec.replicas", desired=3, observed=1)
    assert warnings == [f"vision/pets: {override_message(field)}"]


async def test_an_overridden_field_is_not_contested(scenario: Scenario) -> None:
    """It was never as desired, so nobody has set it back."""
    for _ in range(20):
        scenario.clock.now += 60
        assert (await scenario.run_pass()).contested == []
    assert scenario.writes() > 3


async def test_a_contested_field_is_written_with_pauses_also_beside_an_overridden_one(scenario: Scenario) -> None:
    withheld = 0
    for _ in range(60):
        scenario.clock.now += 1
        scenario.cluster.live["Deployment"]["spec"]["minReadySeconds"] = 5
        scenario.cluster.live["Deployment"]["spec"]["revisionHistoryLimit"] = 1
        withheld += (await scenario.run_pass()).withheld
    assert withheld > 50
    assert scenario.writes() < 15

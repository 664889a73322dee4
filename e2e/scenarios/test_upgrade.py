"""An upgrade of the operator restarts no pod by itself, goes through the fleets in waves, and stops if one fails.

`make e2e PYTEST="-k test_upgrade.py --fleets 20"` runs it with 20 fleets, in waves of 2.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from e2e.classifiers import (
    condition,
    manifest,
    pods,
    wait_for,
    wait_for_endpoint,
    wait_for_response,
    wait_until_ready,
)
from e2e.install import NAMESPACE, OPERATOR, configured_operator
from e2e.load import steady_load
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from e2e.cluster.api import Object
    from e2e.kube import Kube

_SPEC: dict[str, Any] = {
    "replicas": 2,
    "rollout": {"drainSeconds": 2},
    "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
}
_OTHER_TEMPLATE = {"runtimeImage": {"pullPolicy": "Never"}}
"""Values of the chart that change the pod template; its pods start, since the images are on the nodes."""

_BROKEN_TEMPLATE = {"runtimeImage": {"tag": "does-not-exist"}}


class Fleets:
    """Ready objects with two pods each; the last one has `upgrade: Manual`, the others are upgraded in waves."""

    def __init__(self, kube: Kube, namespace: str, count: int) -> None:
        self.kube = kube
        self.namespace = namespace
        *self.automatic, self.manual = self.names = [f"fleet-{number:02}" for number in range(count)]
        self.wave_size = 1 if count < 6 else 2
        for name in self.names:
            spec = {**_SPEC, "upgrade": "Manual" if name == self.manual else "Operator"}
            kube.apply(manifest(name, namespace=namespace, spec=spec))
        for name in self.names:
            wait_until_ready(kube, name, namespace=namespace, seconds=300)

    def pods(self) -> dict[str, set[str]]:
        """The UIDs of the pods of each fleet."""
        found = {name: pods(self.kube, name, namespace=self.namespace) for name in self.names}
        return {name: {pod["metadata"]["uid"] for pod in each} for name, each in found.items()}

    def revisions(self) -> dict[str, Mapping[str, Any]]:
        """`status.revisions` of each fleet."""
        found = self.kube.list("imageclassifiers", namespace=self.namespace)
        return {item["metadata"]["name"]: item["status"].get("revisions") or {} for item in found}

    def in_progress(self) -> list[str]:
        """The fleets that were not Ready yet with their accepted revision."""
        return [name for name, each in self.revisions().items() if each.get("ready") != each.get("accepted")]

    def wait_for(self, name: str, probe: Callable[[Object], bool], what: str) -> Object:
        """Wait until `probe` accepts a fleet; returns it."""
        return wait_for(self.kube, name, namespace=self.namespace, what=what, probe=probe, seconds=120)


def ready_message(live: Object) -> str:
    text: str = condition(live, "Ready")["message"]
    return text


def plan(kube: Kube, *options: str) -> tuple[int, dict[str, Mapping[str, Any]], str]:
    """Run `plan` in the operator's pod: its exit status, its objects by name, and the same as text."""
    command = ["exec", f"deploy/{OPERATOR}", f"--namespace={NAMESPACE}", "--", "imageclassifier-operator", "plan"]
    results = [
        subprocess.run(
            kube.command(*command, *options, f"--output={form}"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for form in ("json", "text")
    ]
    assert results[0].stdout, results[0].stderr
    objects = json.loads(results[0].stdout)["objects"]
    return results[0].returncode, {each["name"]: each for each in objects}, results[1].stdout


@pytest.mark.timeout(2400)
@pytest.mark.usefixtures("no_other_upgrades")
def test_an_upgrade_of_the_operator(
    kube: Kube,
    images: Mapping[str, str],
    namespace: str,
    photograph: bytes,
    request: pytest.FixtureRequest,
    add_to_summary: Callable[[str], None],
) -> None:
    fleets = Fleets(kube, namespace, request.config.getoption("--fleets"))
    before = fleets.pods()
    with configured_operator(kube, images, {"upgradeWaveSize": 0, **_OTHER_TEMPLATE}):
        _restarts_nothing_by_itself(fleets, before)
        candidates = {name: each["candidate"] for name, each in fleets.revisions().items()}
    endpoint = wait_for_endpoint(kube, fleets.automatic[0], namespace=namespace)
    wait_for_response(endpoint, photograph)
    values = {"upgradeWaveSize": fleets.wave_size, **_OTHER_TEMPLATE}
    with steady_load(endpoint, photograph, per_second=20) as report:
        with configured_operator(kube, images, values):
            most = _goes_through_the_fleets(fleets, candidates)
            after = fleets.pods()
            assert after[fleets.manual] == before[fleets.manual]
            assert all(before[name].isdisjoint(after[name]) for name in fleets.automatic)
            _adopt(fleets, candidates[fleets.manual])
        # The operator before is back: a roll-back is an upgrade, too.
        until(lambda: _has_default_template(fleets), seconds=60 * len(fleets.names), what="the roll-back")
        assert report.sent > 20
    assert not report.failures, report.failures[:20]
    add_to_summary(
        f"upgrade of {len(fleets.automatic)} fleets in waves of {fleets.wave_size}, and back: "
        f"at most {most} in progress; one fleet under load: {report}"
    )
    _adopt(fleets, fleets.revisions()[fleets.manual]["candidate"])
    before = fleets.pods()
    with configured_operator(kube, images, {"upgradeWaveSize": fleets.wave_size, **_BROKEN_TEMPLATE}):
        _stops_after_a_wave_that_fails(fleets, before)
    for name in fleets.names:
        wait_until_ready(kube, name, namespace=namespace)
    assert fleets.pods() == before


@pytest.fixture
def no_other_upgrades(kube: Kube) -> Iterator[None]:
    """No other object takes a place in the waves: none is left of other scenarios, and the demo's have to wait."""

    def left() -> str:
        return ", ".join(f"{each['namespace']}/{each['name']}" for each in objects() if _is_of_a_scenario(each))

    def objects() -> list[Object]:
        return [item["metadata"] for item in kube.list("imageclassifiers")]

    until(lambda: not left(), seconds=120, what="no object of other scenarios to be left", describe=left)
    before = {
        (item["metadata"]["namespace"], item["metadata"]["name"]): item["spec"]["upgrade"]
        for item in kube.list("imageclassifiers")
    }
    for namespace, name in before:
        kube.patch("imageclassifiers", name, {"spec": {"upgrade": "Manual"}}, namespace=namespace)
    yield
    for (namespace, name), upgrade in before.items():
        kube.patch("imageclassifiers", name, {"spec": {"upgrade": upgrade}}, namespace=namespace)


def _is_of_a_scenario(metadata: Mapping[str, Any]) -> bool:
    return bool(metadata["namespace"].startswith("e2e-"))


def _restarts_nothing_by_itself(fleets: Fleets, before: dict[str, set[str]]) -> None:
    for name in fleets.names:
        live = fleets.wait_for(name, lambda live: "UpgradeAvailable" in ready_message(live), "a candidate")
        assert condition(live, "Ready")["status"] == "True"
    assert fleets.pods() == before
    status, planned, text = plan(fleets.kube, f"--upgrade-wave-size={fleets.wave_size}")
    print(text)
    assert status == 2
    waves = [f"in wave {index // fleets.wave_size + 1}" for index in range(len(fleets.automatic))]
    assert [planned[name]["when"] for name in fleets.automatic] == waves
    assert planned[fleets.manual]["when"] == "no, spec.upgrade is Manual"


def _goes_through_the_fleets(fleets: Fleets, candidates: Mapping[str, str]) -> int:
    """Wait until all fleets are Ready with their candidates; return the most that were in progress."""
    most, deadline = 0, time.monotonic() + 60 * len(fleets.names)
    while True:
        most = max(most, len(fleets.in_progress()))
        assert most <= fleets.wave_size
        found = fleets.revisions()
        if all(found[name].get("ready") == candidates[name] for name in fleets.automatic):
            status, _, text = plan(fleets.kube)
            print(text)
            assert status == 0
            return most
        assert time.monotonic() < deadline, f"the upgrade has not finished: {found}"
        time.sleep(0.2)


def _adopt(fleets: Fleets, revision: str) -> None:
    """Adopt the candidate of the fleet with `upgrade: Manual`, by the annotation."""
    annotation = f"imageclassifier.dev/adopt={revision}"
    option = f"--namespace={fleets.namespace}"
    fleets.kube.kubectl("annotate", "ic", fleets.manual, annotation, "--overwrite", option)
    fleets.wait_for(
        fleets.manual,
        lambda live: live["status"]["revisions"].get("ready") == revision,
        "to be Ready with the adopted revision",
    )


def _has_default_template(fleets: Fleets) -> bool:
    if fleets.in_progress():
        return False
    for name in fleets.automatic:
        live = fleets.kube.get("deployments", name, namespace=fleets.namespace)
        assert live is not None
        if live["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Never":
            return False
    return True


def _stops_after_a_wave_that_fails(fleets: Fleets, before: Mapping[str, set[str]]) -> None:
    until(lambda: len(fleets.in_progress()) == fleets.wave_size, seconds=60, what="the first wave")
    failed = fleets.in_progress()
    for name in failed:
        fleets.wait_for(name, lambda live: condition(live, "Stalled")["status"] == "True", "to fail")
    others = [name for name in fleets.names if name not in failed]
    for name in set(others) - {fleets.manual}:
        fleets.wait_for(name, lambda live: "has stopped" in ready_message(live), "to wait")
    status, planned, text = plan(fleets.kube)
    print(text)
    stopped = (
        f"no, the upgrade has stopped: {', '.join(f'{fleets.namespace}/{name}' for name in failed)} failed with it"
    )
    assert {planned[name]["when"] for name in set(others) - {fleets.manual}} == {stopped}
    assert status == 0
    after = fleets.pods()
    assert fleets.in_progress() == failed
    assert {name: after[name] for name in others} == {name: before[name] for name in others}
    assert all(before[name] <= after[name] for name in failed), "the old pods still serve"

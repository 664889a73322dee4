"""What `plan` prints: which pods would restart, when, and why."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator import cli
from imageclassifier_operator.kube import Listing, Resource
from imageclassifier_operator.manifests.deployment import pod_template
from imageclassifier_operator.plan import PlanError, Planned, as_json, as_text, exit_status, plan, read_objects
from imageclassifier_operator.revisions import Cause, Revision

from tests.unit.operator.manifests.building import CONFIG, params_for
from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEXT = replace(CONFIG, runtime_image="imageclassifier-runtime:next", upgrade_wave_size=2)


class FleetCluster(ScriptedCluster):
    """Has Ready ImageClassifiers of two pods, and their accepted revisions. Every write is an error."""

    def __init__(self, **specs: dict[str, Any]) -> None:
        super().__init__()
        specs = {name: {"replicas": 2, **spec} for name, spec in specs.items()}
        self.deployments: dict[str, dict[str, Any]] = {}
        self.objects = {name: self._object(name, spec) for name, spec in specs.items()}
        self.revisions = {name: self._revision(name, spec) for name, spec in specs.items()}

    def _object(self, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        accepted = Revision.of(pod_template(params_for(spec, name=name)), owner=name).name
        return {
            "metadata": {"namespace": "vision", "name": name, "uid": "uid-1", "generation": 1},
            "spec": spec,
            "status": {
                "replicas": 3,  # during a rollout
                "readySummary": "2/2",
                "observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True"}],
                "revisions": {"accepted": accepted, "ready": accepted},
            },
        }

    def _revision(
        self, name: str, spec: dict[str, Any], config: Any = CONFIG, cause: Cause = Cause.CREATED
    ) -> dict[str, Any]:
        params = replace(params_for(spec, name=name), config=config)
        accepted = Revision.of(pod_template(params), owner=name)
        stored = replace(accepted, number=1, cause=cause, spec=spec).manifest(params.ic)
        return {**stored, "metadata": {**stored["metadata"], "uid": "uid-2"}}

    def upgrade(self, name: str, config: Any, *, stalled: bool) -> None:
        """Let an operator of this configuration have upgraded an object, which was not Ready since."""
        live = self.objects[name]
        self.revisions[name] = self._revision(name, live["spec"], config, Cause.UPGRADED)
        live["status"] |= {
            "conditions": [
                {"type": "Ready", "status": "False"},
                {"type": "Stalled", "status": str(stalled)},
            ],
            "revisions": {"accepted": self.revisions[name]["metadata"]["name"], "ready": f"{name}-before"},
        }

    async def version(self) -> tuple[int, int]:
        return (1, 37)

    async def serves(self, resource: Resource) -> bool:
        return True

    def listed(self, resource: Resource, *, namespace: str | None, selector: str) -> Listing:
        if resource.kind == "ImageClassifier":
            return Listing(copy.deepcopy(list(self.objects.values())), "1")
        instance = dict(part.split("=") for part in selector.split(","))["app.kubernetes.io/instance"]
        return Listing([self.revisions[instance]] if instance in self.revisions else [], "1")

    async def get(self, resource: Resource, *, namespace: str, name: str) -> dict[str, Any] | None:
        found = {"ImageClassifier": self.objects, "Deployment": self.deployments}[resource.kind].get(name)
        return copy.deepcopy(found)


async def planned(cluster: FleetCluster | None, config: Any = NEXT, **options: Any) -> dict[str, Planned]:
    found = await plan(cluster, config=config, namespaces=(None,), **options)
    return {each.name: each for each in found}


def written(tmp_path: Path, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    path = tmp_path / "objects.yaml"
    path.write_text("\n---\n".join(json.dumps(document) for document in documents))
    return read_objects([path], namespace="vision")


def classifier(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "imageclassifier.dev/v1alpha1",
        "kind": "ImageClassifier",
        "metadata": {"name": name},
        "spec": spec,
    }


async def test_the_same_configuration_restarts_nothing() -> None:
    found = await planned(FleetCluster(cats={}, dogs={}), CONFIG)
    assert [each.when for each in found.values()] == ["no", "no"]
    assert exit_status(list(found.values())) == 0


async def test_another_image_restarts_all_pods_in_waves() -> None:
    found = await planned(FleetCluster(**{name: {} for name in "abcde"}))
    assert [each.when for each in found.values()] == [f"in wave {number}" for number in (1, 1, 2, 2, 3)]
    assert exit_status(list(found.values())) == 2


@pytest.mark.parametrize(
    ("spec", "when"),
    [({"upgrade": "Manual"}, "no, spec.upgrade is Manual"), ({"paused": True}, "no, spec.paused is true")],
)
async def test_pods_that_are_not_restarted_without_a_user_do_not_count(spec: dict[str, Any], when: str) -> None:
    found = await planned(FleetCluster(cats=spec))
    assert found["cats"].when == when
    assert found["cats"].candidate is not None
    assert exit_status(list(found.values())) == 0


async def test_a_stopped_upgrade_is_named_with_the_object_that_stops_it() -> None:
    cluster = FleetCluster(**{name: {} for name in "abc"})
    cluster.upgrade("b", NEXT, stalled=True)
    found = await planned(cluster)
    stopped = "no, the upgrade has stopped: vision/b failed with it"
    assert [each.when for each in found.values()] == [stopped, "no", stopped]
    assert [each.restarts for each in found.values()] == [False, False, False]


async def test_an_upgrade_that_makes_no_progress_has_stopped() -> None:
    cluster = FleetCluster(a={}, b={})
    cluster.upgrade("b", NEXT, stalled=False)
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {"observedGeneration": 1, "conditions": [late]}
    owner = {"kind": "ImageClassifier", "name": "b", "uid": "uid-1", "controller": True}
    cluster.deployments["b"] = {"metadata": {"generation": 1, "ownerReferences": [owner]}, "status": status}
    found = await planned(cluster)
    assert found["a"].when == "no, the upgrade has stopped: vision/b failed with it"


async def test_objects_that_are_not_in_the_files_have_places_in_the_waves(tmp_path: Path) -> None:
    cluster = FleetCluster(**{name: {} for name in "abc"})
    document = classifier("c", replicas=2)
    assert (await planned(cluster, objects=written(tmp_path, document)))["c"].when == "in wave 2"
    cluster.upgrade("b", NEXT, stalled=True)
    found = await planned(cluster, objects=written(tmp_path, document))
    assert {name: each.when for name, each in found.items()} == {
        "c": "no, the upgrade has stopped: vision/b failed with it"
    }


def test_an_unknown_field_is_an_error_as_for_kubectl_apply(tmp_path: Path) -> None:
    document = classifier("a", replica=2, runtime={"env": [{"name": "A", "vale": "1"}]})
    message = (
        "ImageClassifier vision/a: spec.runtime.env[0].vale: is no field of the API; spec.replica: is no field"
    )
    with pytest.raises(PlanError, match=re.escape(message)):
        written(tmp_path, document)


async def test_a_new_object_that_is_paused_is_named(tmp_path: Path) -> None:
    found = await planned(FleetCluster(), objects=written(tmp_path, classifier("a", paused=True)))
    assert found["a"].when == "no, it is new, and spec.paused is true"


def test_an_object_that_is_given_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="ImageClassifier vision/a is given twice"):
        written(tmp_path, classifier("a"), classifier("a", replicas=2))


async def test_with_wave_size_0_an_object_that_is_not_ready_waits_for_the_size() -> None:
    cluster = FleetCluster(a={})
    cluster.objects["a"]["status"] |= {"conditions": [], "readyReplicas": 1}
    found = await planned(cluster, replace(NEXT, upgrade_wave_size=0))
    assert (found["a"].when, found["a"].restarts) == ("no, the upgrade wave size is 0", False)


@pytest.mark.parametrize(("paused", "when"), [(True, "no, spec.paused is true"), (False, "once it is Ready")])
async def test_an_object_that_is_not_ready_restarts_only_if_it_is_not_paused(paused: bool, when: str) -> None:
    cluster = FleetCluster(a={"paused": paused})
    cluster.objects["a"]["status"] |= {"conditions": [], "readyReplicas": 1}
    found = await planned(cluster)
    assert (found["a"].when, found["a"].restarts) == (when, not paused)


async def test_a_stopped_upgrade_also_holds_what_waits_until_it_is_ready() -> None:
    cluster = FleetCluster(a={}, b={}, c={})
    cluster.objects["a"]["status"] |= {"conditions": [], "readyReplicas": 1}
    for name in ("b", "c"):
        cluster.upgrade(name, NEXT, stalled=True)
    found = await planned(cluster)
    assert found["a"].when == "no, the upgrade has stopped: vision/b, vision/c failed with it"
    assert exit_status(list(found.values())) == 0


async def test_the_pods_are_those_of_the_spec_unless_an_autoscaler_sets_them(tmp_path: Path) -> None:
    cluster = FleetCluster(a={}, b={"autoscaling": {}}, c={})
    cluster.objects["c"]["status"]["conditions"] += [
        {"type": "AutoscalingReady", "status": "True", "reason": "External"}
    ]
    objects = written(
        tmp_path, classifier("a", replicas=5), classifier("b", autoscaling={}), classifier("c", replicas=5)
    )
    found = await planned(cluster, CONFIG, objects=objects)
    assert [each.pods for each in found.values()] == [5, 2, 2]


async def test_the_next_wave_begins_once_the_present_one_is_ready() -> None:
    cluster = FleetCluster(**{name: {} for name in "abcd"})
    cluster.upgrade("b", NEXT, stalled=False)
    found = await planned(cluster)
    assert [each.when for each in found.values()] == [
        "in wave 1, after vision/b",
        "no",
        "in wave 1, after vision/b",
        "in wave 2, after vision/b",
    ]
    assert found["d"].wave == 2


async def test_a_failed_upgrade_is_repaired_before_the_next_wave() -> None:
    cluster = FleetCluster(**{name: {} for name in "ab"})
    cluster.upgrade("b", CONFIG, stalled=True)
    found = await planned(cluster)
    assert [each.when for each in found.values()] == [
        "in wave 1, after vision/b",
        "at once, since its last upgrade has not finished",
    ]


async def test_an_object_that_is_being_deleted_takes_no_place_in_a_wave() -> None:
    cluster = FleetCluster(**{name: {} for name in "abc"})
    cluster.objects["a"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = await planned(cluster)
    assert [each.when for each in found.values()] == ["no, it is being deleted", "in wave 1", "in wave 1"]


async def test_with_wave_size_0_nothing_restarts() -> None:
    found = await planned(FleetCluster(cats={}), replace(NEXT, upgrade_wave_size=0))
    assert found["cats"].when == "no, the upgrade wave size is 0"


async def test_a_changed_file_restarts_the_pods_of_a_live_object_at_once(tmp_path: Path) -> None:
    objects = written(
        tmp_path, classifier("cats", replicas=2, rollout={"drainSeconds": 5}), classifier("new", replicas=3)
    )
    found = await planned(FleetCluster(cats={}, dogs={}), CONFIG, objects=objects)
    assert {name: (each.pods, each.when) for name, each in found.items()} == {
        "cats": (2, "at once (SpecChanged)"),
        "new": (3, "no, it is new"),
    }


async def test_a_default_that_the_api_server_has_stored_restarts_nothing(tmp_path: Path) -> None:
    cluster = FleetCluster(cats={"replicas": 2, "resources": {"limits": {"cpu": "500m"}}})
    document = classifier("cats", replicas=2)
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(document)}
    cluster.objects["cats"]["metadata"]["annotations"] = annotations
    found = await planned(cluster, CONFIG, objects=written(tmp_path, document))
    assert (found["cats"].when, list(found["cats"].changes)) == ("no", [])


async def test_a_file_without_a_cluster_has_only_new_objects(tmp_path: Path) -> None:
    found = await planned(None, objects=written(tmp_path, classifier("cats", autoscaling={})))
    assert (found["cats"].pods, found["cats"].when) == (2, "no, it is new")


async def test_an_invalid_spec_is_named(tmp_path: Path) -> None:
    found = await planned(None, objects=written(tmp_path, classifier("cats", replicas=-1)))
    assert found["cats"].when == "no, the spec is invalid: spec.replicas: must be at least 0, is -1"
    assert exit_status(list(found.values())) == 1


async def test_the_table_is_aligned_and_lists_equal_changes_once() -> None:
    cluster = FleetCluster(cats={}, dogs={}, birds={"upgrade": "Manual"})
    found = await plan(cluster, config=NEXT, namespaces=(None,))
    lines = as_text(found).splitlines()
    columns = {
        line.index(part) for line, part in zip(lines[:4], ("PODS REST", "no, ", "in w", "in w"), strict=True)
    }
    assert len(columns) == 1
    assert lines[5] == "Changes of the pod template of vision/birds, vision/cats, vision/dogs:"
    image = "imageclassifier-runtime:test -> imageclassifier-runtime:next"
    assert lines[6:8] == [f"  spec.containers[server].image: {image}", ""]
    assert lines[-1] == "2 of 3 objects would restart their pods, 4 in total; nothing was changed"


async def test_the_json_has_every_object_with_its_changes() -> None:
    document = json.loads(as_json(await plan(FleetCluster(cats={}), config=NEXT, namespaces=(None,))))
    (cats,) = document["objects"]
    assert (cats["namespace"], cats["name"], cats["pods"], cats["restarts"]) == ("vision", "cats", 2, True)
    assert cats["changes"][0] == {
        "path": "spec.containers[server].image",
        "before": "imageclassifier-runtime:test",
        "after": "imageclassifier-runtime:next",
    }


@pytest.mark.parametrize("printed", [as_text, as_json])
async def test_no_output_has_the_password_of_a_proxy(printed: Callable[[list[Planned]], str]) -> None:
    config = replace(CONFIG, runtime_https_proxy="http://user:w0rd@proxy:3128")
    found = printed(await plan(FleetCluster(cats={}), config=config, namespaces=(None,)))
    assert "env[HTTPS_PROXY]" in found
    assert "@proxy:3128" in found
    assert "w0rd" not in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("kind: Pod", "has no ImageClassifier of imageclassifier.dev/v1alpha1"),
        ("", "has no ImageClassifier"),
        ("{apiVersion: imageclassifier.dev/v1alpha1, kind: ImageClassifier, spec: {}}", "has no metadata.name"),
    ],
)
def test_a_file_without_an_object_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text(text)
    with pytest.raises(PlanError, match=message):
        read_objects([path], namespace="vision")


def test_objects_in_a_list_are_read(tmp_path: Path) -> None:
    items = [classifier("cats"), {"kind": "ConfigMap"}, classifier("dogs")]
    found = written(tmp_path, {"apiVersion": "v1", "kind": "List", "items": items})
    assert [each["metadata"] for each in found] == [
        {"name": "cats", "namespace": "vision"},
        {"name": "dogs", "namespace": "vision"},
    ]


def test_the_command_prints_a_plan_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalogue, file = tmp_path / "catalogue.yaml", tmp_path / "cats.yaml"
    catalogue.write_text(f"cifar10-mobilenet-v2: {{uris: ['bundled:cifar10-mobilenet-v2'], sha256: {'a' * 64}}}")
    file.write_text(json.dumps(classifier("cats")))
    arguments = ["plan", "-f", str(file), "--runtime-image=i", f"--catalogue={catalogue}"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["default", "cats", "1"]
    file.write_text("nothing")
    assert cli.main(arguments) == 1
    assert "cats.yaml has no ImageClassifier" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "--output=xml"], ["plan", "--unknown"]])
def test_a_usage_error_of_plan_does_not_look_like_a_restart(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGECLASSIFIER_OPERATOR_RUNTIME_IMAGE", raising=False)
    try:
        status = cli.main(arguments)
    except SystemExit as stopped:
        status = int(str(stopped.code))
    assert status == 1

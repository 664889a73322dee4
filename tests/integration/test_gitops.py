"""Backups and restores of objects, and the tools that apply them, on a real API server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.children import CHILDREN
from imageclassifier_operator.labels import MANAGED_SELECTOR

from e2e.cluster.kubectl import KUBECTL
from tests.crd import ROOT
from tests.integration.operator_harness import (
    RUNTIME_IMAGE,
    Api,
    OperatorCluster,
    classifier,
    condition,
    controlled_by,
    eventually,
    make_ready,
    pods_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NEXT_IMAGE = "imageclassifier-runtime:next"
_README = (ROOT / "operator" / "README.md").read_text()
_KINDS = [child.resource.plural for child in CHILDREN if child.capability is None] + ["controllerrevisions"]
_SYSTEM_FIELDS = {"creationTimestamp", "generation", "managedFields", "ownerReferences", "resourceVersion", "uid"}


def command_of_the_readme(words: str) -> str:
    """Return the command in a code block of the operator's README that contains these words."""
    blocks = re.findall(r"^```\n(.*?)^```", _README, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands: list[str] = [line for line in lines if words in line]
    assert len(commands) == 1, commands
    return commands[0].partition("  #")[0]


def accepted(api: Api, name: str) -> str:
    live = api.get("ic", name)
    assert live is not None
    found: str = live["status"]["revisions"]["accepted"]
    return found


def delete_all(api: Api) -> None:
    """Delete all ImageClassifiers, and wait until the cluster has deleted their children and pods."""
    api.run("delete", "ic", "--all")
    for kind in (*_KINDS, "replicasets", "pods"):
        eventually(lambda kind=kind: not of_classifiers(api, kind), seconds=90, what=f"no {kind}")  # type: ignore[misc]


def of_classifiers(api: Api, kind: str) -> list[Mapping[str, Any]]:
    items: list[Mapping[str, Any]] = json.loads(api.run("get", kind, "-l", MANAGED_SELECTOR, "-o", "json"))[
        "items"
    ]
    return items


def test_restored_objects_become_ready_with_the_template_of_the_present_operator(
    cluster: OperatorCluster, api: Api
) -> None:
    option = f"--namespaces={api.namespace}"
    with cluster.operator(option):
        api.apply(classifier("cats"))
        api.apply(classifier("pets", upgrade="Manual", replicas=2))
        for name in ("cats", "pets"):
            make_ready(api, name)
        api.run("wait", "--for=condition=Ready", "--timeout=5s", "ic/cats", "ic/pets")
        revision = accepted(api, "cats")
        backup = api.run("get", "ic", "-o", "yaml")
        delete_all(api)
    with cluster.operator(option):
        api.run("create", "-f", "-", stdin=backup)
        for name in ("cats", "pets"):
            make_ready(api, name)
        assert accepted(api, "cats") == revision  # its name is a hash of the template
        assert len(api.list("controllerrevisions")) == 2
        delete_all(api)
    with cluster.operator(option, image=NEXT_IMAGE):
        api.run("create", "-f", "-", stdin=backup)
        for name in ("cats", "pets"):
            make_ready(api, name)
        assert {image_of(api, name) for name in ("cats", "pets")} == {NEXT_IMAGE}
        assert len(api.list("controllerrevisions")) == 2


def image_of(api: Api, name: str) -> str:
    live = api.get("deployment", name)
    assert live is not None
    image: str = live["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def restore_everything(cluster: OperatorCluster, api: Api, *, with_managed_fields: bool) -> None:
    """Create an object and its children, delete all, and create them again without what the API server sets.

    Velero restores the managed fields with a patch afterwards: those in a creation are replaced.
    """
    with cluster.operator(f"--namespaces={api.namespace}"):
        api.apply(classifier(replicas=2, ingress={"host": "pets.example.org"}, networkPolicy={}))
        make_ready(api, "pets")
    backup = [
        {key: value for key, value in item.items() if key != "status"}
        | {"metadata": {key: value for key, value in item["metadata"].items() if key not in _SYSTEM_FIELDS}}
        for kind in (*_KINDS, "imageclassifiers")
        for item in api.list(kind)
        if item["metadata"].get("ownerReferences") or kind == "imageclassifiers"
    ]
    managed_fields = {
        (kind, item["metadata"]["name"]): {"metadata": {"managedFields": item["metadata"]["managedFields"]}}
        for kind in _KINDS
        for item in json.loads(api.run("get", kind, "-o", "json", "--show-managed-fields"))["items"]
        if item["metadata"].get("ownerReferences")
    }
    delete_all(api)
    api.run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": backup}))
    if with_managed_fields:
        for (kind, name), patch in managed_fields.items():
            api.patch(kind, name, patch)


def test_restored_children_without_an_owner_are_adopted(cluster: OperatorCluster, api: Api) -> None:
    restore_everything(cluster, api, with_managed_fields=True)
    with cluster.operator(f"--namespaces={api.namespace}"):
        before = eventually(lambda: names_of_pods(api), what="pods")
        for kind in _KINDS:
            for item in api.list(kind):
                if item["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == "pets":
                    name = item["metadata"]["name"]
                    adopted = partial(controlled_by, api, kind, name, owner="pets")
                    eventually(adopted, seconds=60, what=f"{kind} {name} to be adopted")
        make_ready(api, "pets")
        assert names_of_pods(api) == before, "the pods of the restored Deployment serve on"


def test_restored_children_without_managed_fields_are_a_conflict_until_they_are_deleted(
    cluster: OperatorCluster, api: Api
) -> None:
    restore_everything(cluster, api, with_managed_fields=False)
    with cluster.operator(f"--namespaces={api.namespace}"):
        eventually(
            lambda: condition(api.get("ic", "pets"))["reason"] == "NameConflict", seconds=60, what="a conflict"
        )
        before = eventually(lambda: names_of_pods(api), what="pods")
        assert image_of(api, "pets") == RUNTIME_IMAGE
        for words in ("kubectl delete deploy", "kubectl delete svc"):
            command = command_of_the_readme(words)
            run_shell(api, command.replace("-n NAMESPACE", f"-n {api.namespace}"))
        eventually(
            lambda: condition(api.get("ic", "pets"))["reason"] != "NameConflict", seconds=60, what="no conflict"
        )
        make_ready(api, "pets")
        assert names_of_pods(api) == before, "the pods of the restored Deployment serve on"


def names_of_pods(api: Api) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods_of(api)}


def run_shell(api: Api, command: str) -> None:
    """Run a command as a user does, with kubectl for the test's API server."""
    options = f"{shlex.quote(str(KUBECTL))} --kubeconfig={shlex.quote(str(api.kubeconfig))}"
    subprocess.run(["sh", "-euc", command.replace("kubectl", options)], check=True, timeout=60, cwd=ROOT)


def test_the_selector_for_backups_leaves_out_everything_that_the_operator_creates(
    cluster: OperatorCluster, api: Api
) -> None:
    api.run("create", "configmap", "of-a-user", "--from-literal=a=b")
    with cluster.operator(f"--namespaces={api.namespace}"):
        api.apply(classifier(replicas=2, ingress={"host": "pets.example.org"}, networkPolicy={}))
        make_ready(api, "pets")
        eventually(lambda: api.list("endpointslices"), what="endpoints")
    (selector,) = re.findall(r'--selector "([^"]+)"', _README)
    kinds = f"all,imageclassifiers,configmaps,endpointslices,replicasets,pods,{','.join(_KINDS)}"
    left = api.run("get", kinds, "-l", selector, "-o", "name").split()
    assert sorted(left) == [
        "configmap/kube-root-ca.crt",
        "configmap/of-a-user",
        "imageclassifier.imageclassifier.dev/pets",
        "serviceaccount/default",
    ]


def test_the_health_check_is_added_to_the_configuration_of_argo_cd(cluster: OperatorCluster) -> None:
    admin = Api(cluster.plane.kubeconfig, "argocd")
    admin.run("create", "namespace", "argocd")
    present = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": {"url": "https://argocd.example.org"},
    }
    admin.run("apply", "--server-side", "-f", "-", stdin=json.dumps(present))
    run_shell(admin, command_of_the_readme("kubectl create configmap argocd-cm"))
    live = admin.get("configmap", "argocd-cm")
    assert live is not None
    assert live["metadata"]["labels"] == {"app.kubernetes.io/part-of": "argocd"}
    assert live["data"] == {
        "url": "https://argocd.example.org",
        "resource.customizations.health.imageclassifier.dev_ImageClassifier": (
            ROOT / "charts" / "argocd" / "health.lua"
        ).read_text(),
    }

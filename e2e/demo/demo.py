"""The demo: a cluster, the operator, one object, and the classes of a photograph that its pods answer."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from e2e import lifecycle, modelstore
from e2e.classifiers import current, manifest, told, wait_answer, wait_door
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import KUBECTL
from e2e.demo.report import Live, Steps, predictions
from e2e.install import bring_images, install, install_service_monitor_crd
from e2e.kube import open_kube
from e2e.prepare import prepare
from e2e.target import target_from
from e2e.waiting import NotInTimeError, until
from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.cluster.api import Object
    from e2e.kube import Kube
    from e2e.target import Target

NAMESPACE = "vision"
FOLDER = Path(__file__).parent
IMAGENET = "imagenet"
MODEL = Path("models") / "mobilenet_v2_1.0_224.onnx"
CAT = Path("data") / "photos" / "cat_720p.jpg"
CATS = frozenset({"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"})
_READY_SECONDS = 180


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status is 1 where it could not go on, and the last line says why."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument("--down", action="store_true", help="take the demo's objects out of the cluster again")
    options = parser.parse_args(arguments)
    try:
        target = target_from()
        if options.down:
            take_down(target)
        else:
            Demo(target).run()
    except (ToolError, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command again goes on from here", file=sys.stderr)
        return 130
    return 0


def take_down(target: Target) -> None:
    """Stop the cluster if it is ours, or delete the demo's namespace in any other."""
    if target.local or target.kind:
        lifecycle.take_down(target)
        return
    with open_kube(target, on_warning=say) as kube:
        kube.delete("namespaces", NAMESPACE)


def shared_folder() -> Path | None:
    """The optional folder of models and photographs beside the checkout."""
    given = os.environ.get("IMAGECLASSIFIER_SHARED")
    folder = Path(given) if given else REPOSITORY.parent / "shared"
    return folder if (folder / MODEL).is_file() and (folder / CAT).is_file() else None


class Demo:
    """The steps, in order; each finds what is done already and leaves it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.shared = shared_folder()
        self.steps = Steps()

    def run(self) -> None:
        """Everything, with the times at the end."""
        step = self.steps.step
        if self.target.local:
            with step("The programs and images"):
                prepare()
        if self.target.local or self.target.kind:
            with step("The cluster"):
                lifecycle.bring_up(self.target)
        else:
            say(f"Using the context {self.target.context} of {self.target.kubeconfig}")
        with step("The images"):
            images = bring_images(self.target)
        with open_kube(self.target, on_warning=say) as kube:
            with step("The operator"):
                install_service_monitor_crd(kube)
                install(kube, images)
            with step("The object pets"):
                self._declare(kube)
            if self.shared:
                with step("The object imagenet, its model from a store in the cluster"):
                    self._declare_imagenet(kube, self.shared, images["runtime"])
            with step("Ready"):
                self._wait(kube)
            answers = self._ask(kube)
            self._show(kube, answers)

    def _names(self) -> list[str]:
        return ["pets", IMAGENET] if self.shared else ["pets"]

    def _declare(self, kube: Kube) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        kube.apply(namespace, yaml.safe_load((FOLDER / "pets.yaml").read_text()))

    def _declare_imagenet(self, kube: Kube, shared: Path, image: str) -> None:
        kube.apply(*modelstore.manifests(NAMESPACE, image))
        modelstore.wait_store(kube, NAMESPACE)
        digest = modelstore.put(kube, NAMESPACE, shared / MODEL)
        model = {"uri": modelstore.url(NAMESPACE, MODEL.name), "sha256": digest}
        kube.apply(manifest(IMAGENET, namespace=NAMESPACE, spec={"model": model}))

    def _wait(self, kube: Kube) -> None:
        for name in self._names():
            live = Live()

            def ready(name: str = name, live: Live = live) -> bool:
                found = kube.get("imageclassifiers", name, namespace=NAMESPACE)
                live.show(f"{name}: {told(found)}")
                return found is not None and current(found).get("status") == "True"

            try:
                until(ready, seconds=_READY_SECONDS, what=f"{name} to be Ready", every=0.2)
            except NotInTimeError as error:
                advice = f"kubectl describe ic -n {NAMESPACE} {name} says more"
                raise ClusterError(f"{error}; {advice}") from error

    def _ask(self, kube: Kube) -> list[tuple[str, Path, Object]]:
        answers = []
        for name in self._names():
            photograph = self.shared / CAT if self.shared and name == IMAGENET else FOLDER / "cat.jpg"
            with self.steps.step(f"A photograph through the Service {name}"):
                way = wait_door(kube, name, namespace=NAMESPACE)
                answers.append((name, photograph, wait_answer(way, photograph.read_bytes())))
        return answers

    def _show(self, kube: Kube, answers: Sequence[tuple[str, Path, Object]]) -> None:
        print(f"\n$ kubectl get imageclassifiers -A\n{kube.kubectl('get', 'imageclassifiers', '-A')}")
        for name, photograph, answer in answers:
            url = f"http://{name}.{NAMESPACE}.svc/api/v1/classify"
            model = answer["model"]
            print(f"{photograph.name} posted to {url}, answered by {model['name']} ({model['sha256'][:12]}…):")
            print(f"{predictions(answer)}\n")
            if name == IMAGENET:
                require_cat(answer)
        print(f"What took how long:\n{self.steps.table()}\n")
        if self.target.local:
            where = f"KUBECONFIG={self.target.kubeconfig} PATH={Path(KUBECTL).parent}:$PATH"
            print(f"Go on with: export {where}; kubectl get ic -n {NAMESPACE}")
            print("Stop it with: make demo-down")


def require_cat(answer: Object) -> None:
    """Fail where ImageNet's classes do not call the cat a cat."""
    first = answer["predictions"][0]["class_name"]
    if not any(cat.lower() in first.lower() for cat in CATS):
        raise ClusterError(f"the cat came back as {first!r}")

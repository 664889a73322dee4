"""The demo: starts a cluster with the operator and one object, and classifies a photograph with its pods."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from e2e import lifecycle, model_store
from e2e.classifiers import current_condition, manifest, ready_summary, wait_for_endpoint, wait_for_response
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubectl import KUBECTL
from e2e.demo.report import ChangedLines, Steps, predictions
from e2e.install import install, install_service_monitor_crd, provide_images
from e2e.kube import open_kube
from e2e.prepare import prepare
from e2e.target import target_from
from e2e.waiting import WaitTimeoutError, until
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
    """Run the demo; the exit status is 1 if it failed, and the last line says why."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description=__doc__)
    parser.add_argument(
        "--down", action="store_true", help="stop the demo's cluster, or delete its objects from yours"
    )
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
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


def take_down(target: Target) -> None:
    """Stop the cluster if the demo created it, else delete the demo's namespace."""
    if target.local or target.kind:
        lifecycle.take_down(target)
        return
    with open_kube(target, on_warning=say) as kube:
        kube.delete("namespaces", NAMESPACE)


def shared_folder() -> Path | None:
    """The folder with the second model and its photograph, None if it does not have both."""
    given = os.environ.get("IMAGECLASSIFIER_SHARED")
    folder = Path(given) if given else REPOSITORY.parent / "shared"
    return folder if (folder / MODEL).is_file() and (folder / CAT).is_file() else None


class Demo:
    """Runs the steps in order; each skips what is done already."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.shared = shared_folder()
        self.steps = Steps()

    def run(self) -> None:
        """Run all steps and print their times."""
        step = self.steps.step
        if self.target.local:
            with step("The programs and images"):
                prepare()
        if self.target.local or self.target.kind:
            with step("The cluster"):
                lifecycle.start(self.target)
        else:
            say(f"Using the context {self.target.context} of {self.target.kubeconfig}")
        with step("The images"):
            images = provide_images(self.target)
        with open_kube(self.target, on_warning=say) as kube:
            with step("The operator"):
                install_service_monitor_crd(kube)
                install(kube, images)
            with step("The object pets"):
                self._apply_pets(kube)
            if self.shared:
                with step("The object imagenet, its model from a store in the cluster"):
                    self._apply_imagenet(kube, self.shared, images["runtime"])
            with step("Ready"):
                self._wait_until_ready(kube)
            results = self._classify(kube)
            self._print(kube, results)

    def _names(self) -> list[str]:
        return ["pets", IMAGENET] if self.shared else ["pets"]

    def _apply_pets(self, kube: Kube) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        kube.apply(namespace, yaml.safe_load((FOLDER / "pets.yaml").read_text()))

    def _apply_imagenet(self, kube: Kube, shared: Path, image: str) -> None:
        kube.apply(*model_store.manifests(NAMESPACE, image))
        model_store.wait_for_store(kube, NAMESPACE)
        digest = model_store.put(kube, NAMESPACE, shared / MODEL)
        model = {"uri": model_store.url(NAMESPACE, MODEL.name), "sha256": digest}
        kube.apply(manifest(IMAGENET, namespace=NAMESPACE, spec={"model": model}))

    def _wait_until_ready(self, kube: Kube) -> None:
        for name in self._names():
            progress = ChangedLines()

            def ready(name: str = name, progress: ChangedLines = progress) -> bool:
                found = kube.get("imageclassifiers", name, namespace=NAMESPACE)
                progress.show(f"{name}: {ready_summary(found)}")
                return found is not None and current_condition(found).get("status") == "True"

            try:
                until(ready, seconds=_READY_SECONDS, what=f"{name} to be Ready", every=0.2)
            except WaitTimeoutError as error:
                advice = f"see kubectl describe ic -n {NAMESPACE} {name}"
                raise ClusterError(f"{error}; {advice}") from error

    def _classify(self, kube: Kube) -> list[tuple[str, Path, Object]]:
        results = []
        for name in self._names():
            photograph = self.shared / CAT if self.shared and name == IMAGENET else FOLDER / "cat.jpg"
            with self.steps.step(f"A photograph through the Service {name}"):
                endpoint = wait_for_endpoint(kube, name, namespace=NAMESPACE)
                results.append((name, photograph, wait_for_response(endpoint, photograph.read_bytes())))
        return results

    def _print(self, kube: Kube, results: Sequence[tuple[str, Path, Object]]) -> None:
        print(f"\n$ kubectl get imageclassifiers -A\n{kube.kubectl('get', 'imageclassifiers', '-A')}")
        for name, photograph, result in results:
            url = f"http://{name}.{NAMESPACE}.svc/api/v1/classify"
            model = result["model"]
            print(f"{photograph.name} posted to {url}, answered by {model['name']} ({model['sha256'][:12]}…):")
            print(f"{predictions(result)}\n")
            if name == IMAGENET:
                require_cat(result)
        print(f"Timings:\n{self.steps.table()}\n")
        if self.target.local:
            variables = f"KUBECONFIG={self.target.kubeconfig} PATH={Path(KUBECTL).parent}:$PATH"
            print(f"Next: export {variables}; kubectl get ic -n {NAMESPACE}")
            print("Stop it with: make demo-down")


def require_cat(result: Object) -> None:
    """Raise ClusterError unless the first class is a cat of ImageNet."""
    first = result["predictions"][0]["class_name"]
    if not any(cat.lower() in first.lower() for cat in CATS):
        raise ClusterError(f"the photograph of a cat was classified as {first!r}")

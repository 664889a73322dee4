"""A model is served only if its digest is the one in the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e import model_store
from e2e.classifiers import (
    condition,
    manifest,
    pods,
    wait_for_endpoint,
    wait_for_reason,
    wait_for_response,
    wait_until_ready,
)

if TYPE_CHECKING:
    from e2e.kube import Kube

WRONG = "0123456789abcdef" * 4


def test_a_wrong_digest_is_rejected_and_reported_and_the_right_one_serves(
    kube: Kube, namespace: str, store: str, photograph: bytes
) -> None:
    right = model_store.bundled_digest(kube, store)
    uri = model_store.url(store, f"{model_store.BUNDLED}/")
    spec = {"model": {"uri": uri, "sha256": WRONG}}
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_for_reason(kube, "pets", "ModelDigestMismatch", namespace=namespace)
    ready = condition(live, "Ready")
    assert ready["status"] == "False"
    assert WRONG in ready["message"]
    assert right in ready["message"]
    assert condition(live, "Stalled")["status"] == "True"
    assert condition(live, "Available")["status"] == "False"
    (pod,) = pods(kube, "pets", namespace=namespace)
    assert "running" not in pod["status"]["containerStatuses"][0]["state"]
    assert "ModelDigestMismatch" in kube.kubectl("get", "ic", "pets", f"--namespace={namespace}")

    spec["model"]["sha256"] = right
    kube.apply(manifest("pets", namespace=namespace, spec=spec))
    live = wait_until_ready(kube, "pets", namespace=namespace)
    assert live["status"]["model"]["sha256"] == right
    assert condition(live, "Stalled")["status"] == "False"
    result = wait_for_response(wait_for_endpoint(kube, "pets", namespace=namespace), photograph)
    assert result["model"]["sha256"] == right

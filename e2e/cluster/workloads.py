"""Deletes all pods before the cluster stops, so that kubelet itself removes their mounts and networks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from e2e.cluster.api import ApiError, connect, url_path
from tools.steps import say

if TYPE_CHECKING:
    from pathlib import Path


def delete_pods(kubeconfig: Path, *, seconds: float) -> None:
    """Delete every pod and wait until kubelet has stopped them; gives up with a message on timeout."""
    api = connect(kubeconfig)
    deadline = time.monotonic() + seconds
    try:
        while pods := api.list("pods"):
            if time.monotonic() > deadline:
                say(f"  {len(pods)} pods did not stop in {seconds:.0f} s; killing them")
                return
            waiting = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
            for namespace in {pod["metadata"]["namespace"] for pod in waiting}:
                api.request("DELETE", url_path("pods", namespace=namespace), gracePeriodSeconds="1")
            time.sleep(0.2)
    except ApiError as error:
        say(f"  could not delete the pods ({error}); killing them")

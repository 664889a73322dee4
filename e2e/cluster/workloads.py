"""Empties the cluster of pods before it stops, so that kubelet itself takes their mounts and networks back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from e2e.cluster.api import ApiError, connect, path_of
from tools.steps import say

if TYPE_CHECKING:
    from pathlib import Path


def delete_pods(kubeconfig: Path, *, seconds: float) -> None:
    """Delete every pod and wait for kubelet to have ended them; gives up, and says so, when time is up."""
    api = connect(kubeconfig)
    deadline = time.monotonic() + seconds
    try:
        while pods := api.list("pods"):
            if time.monotonic() > deadline:
                say(f"  {len(pods)} pods did not end in {seconds:.0f} s; ending them the hard way")
                return
            waiting = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
            for namespace in {pod["metadata"]["namespace"] for pod in waiting}:
                api.request("DELETE", path_of("pods", namespace=namespace), gracePeriodSeconds="1")
            time.sleep(0.2)
    except ApiError as error:
        say(f"  could not delete the pods ({error}); ending them the hard way")

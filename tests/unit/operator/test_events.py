"""The name of an Event is valid, whatever the name of the object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.events import report

from tests.unit.operator.scripted_cluster import ScriptedCluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.kube import Resource

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"


class EventCluster(ScriptedCluster):
    """Records created objects."""

    def __init__(self) -> None:
        super().__init__()
        self.created: list[Mapping[str, Any]] = []

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.created.append(manifest)
        return {}


@pytest.mark.parametrize("name", ["pets", "9.lives", "a" * 199 + "-b", "a" * 199 + ".b", "a." * 126 + "a"])
async def test_the_name_of_an_event_is_a_dns_subdomain(name: str) -> None:
    cluster = EventCluster()
    metadata = {"name": name, "namespace": "vision", "uid": "1", "resourceVersion": "1"}
    live = {"apiVersion": "v", "kind": "ImageClassifier", "metadata": metadata}
    after = [{"type": "Ready", "status": "True", "reason": "AllReplicasReady", "message": "all"}]
    await report(cluster, live, before=[], after=after)
    [event] = cluster.created
    assert re.fullmatch(rf"{LABEL}(\.{LABEL})*", event["metadata"]["name"])
    assert len(event["metadata"]["name"]) <= 253
    assert event["involvedObject"]["name"] == name

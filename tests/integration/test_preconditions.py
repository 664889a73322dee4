"""Writes for a version that is no longer the live one are conflicts on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from imageclassifier_operator.kube import CLASSIFIERS, ConflictError
from imageclassifier_operator.kube.client import KubeClient, connect

from tests.integration.operator_harness import Api, OperatorCluster, classifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def kube(cluster: OperatorCluster) -> AsyncIterator[KubeClient]:
    plane = cluster.plane
    async with await connect(kubeconfig=str(plane.kubeconfig), context=plane.settings.context) as opened:
        yield opened


async def read(kube: KubeClient, api: Api) -> dict[str, Any]:
    live = await kube.get(CLASSIFIERS, namespace=api.namespace, name="pets")
    assert live is not None
    return live


async def test_an_object_that_was_created_again_does_not_get_the_status_of_the_one_before(
    kube: KubeClient, api: Api
) -> None:
    """The UID alone does not prevent it: the API server ignores it in a status."""
    api.apply(classifier())
    before = await read(kube, api)
    api.run("delete", "ic", "pets")
    api.apply(classifier())
    names = {key: before["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
    kind = {key: before[key] for key in ("apiVersion", "kind")}
    status = {**kind, "metadata": names, "status": {"readySummary": "1/1"}}
    with pytest.raises(ConflictError):
        await kube.apply(CLASSIFIERS, status, manager="test", subresource="status")
    assert "status" not in await read(kube, api)


async def test_an_object_that_has_changed_since_it_was_read_is_not_deleted(kube: KubeClient, api: Api) -> None:
    api.apply(classifier())
    before = await read(kube, api)
    api.run("annotate", "ic", "pets", "example.org/note=changed")
    with pytest.raises(ConflictError):
        await kube.delete(CLASSIFIERS, before)
    await kube.delete(CLASSIFIERS, await read(kube, api))
    assert await kube.get(CLASSIFIERS, namespace=api.namespace, name="pets") is None

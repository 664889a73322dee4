"""All kopf handlers. They have no logic: an event only makes its object due for a reconcile."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import kopf

from imageclassifier_operator.api import GROUP, PLURAL, VERSION
from imageclassifier_operator.controller import Controller, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class EndlessBackoffs:
    """The seconds between kopf's retries of a request: growing at first, and then constant."""

    def __iter__(self) -> Iterator[float]:
        yield from (1, 1, 2, 3, 5, 8, 13, 21)
        yield from itertools.repeat(30)


def register(registry: kopf.OperatorRegistry, controller: Controller, *, login: Callable[..., Any]) -> None:
    """Register the handlers. They store nothing in the objects: no finalizer, no annotation."""

    @kopf.on.login(registry=registry)
    def _login(**kwargs: Any) -> Any:
        return login(**kwargs)

    @kopf.on.cleanup(registry=registry)
    async def _stopped(**_: Any) -> None:
        controller.stop()  # otherwise, kopf waits 5 s for the tasks of the controller

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def _changed(event: kopf.RawEvent, namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace is not None and name is not None:
            version, deleted = event["object"]["metadata"]["resourceVersion"], event["type"] == "DELETED"
            controller.handle_event(Key(namespace, name), resource_version=version, deleted=deleted)


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings for an operator that only watches."""
    result = kopf.OperatorSettings()
    result.scanning.disabled = True  # kopf then lists no CRDs or namespaces, and needs no permission to
    result.posting.enabled = False
    result.peering.standalone = True
    result.networking.request_timeout = 30
    # Without an end, kopf retries for ever. Otherwise, a namespace without permission would stop all others.
    result.networking.error_backoffs = EndlessBackoffs()
    result.watching.server_timeout = 300  # an integer, since the API server rejects 300.0
    result.watching.client_timeout = 330
    return result

"""Every kopf decorator, and no logic: an event only makes its object due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from imageclassifier_operator.api import GROUP, PLURAL, VERSION
from imageclassifier_operator.controller import Controller, Key

if TYPE_CHECKING:
    from collections.abc import Callable


def register(registry: kopf.OperatorRegistry, controller: Controller, *, login: Callable[..., Any]) -> None:
    """Add the handlers to a registry. They store nothing: no finalizer, no annotation on any object."""

    @kopf.on.login(registry=registry)
    def _login(**kwargs: Any) -> Any:
        return login(**kwargs)

    @kopf.on.cleanup(registry=registry)
    async def _stopped(**_: Any) -> None:
        controller.stop()  # else kopf waits 5 s for tasks that it takes for its own and hanging

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def _changed(event: kopf.RawEvent, namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace is not None and name is not None:
            version = event["object"]["metadata"]["resourceVersion"]
            controller.seen(Key(namespace, name), resource_version=version, deleted=event["type"] == "DELETED")


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings for an operator that only listens."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # no list of CRDs and namespaces, and no right to it
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.networking.request_timeout = 30
    chosen.watching.server_timeout = 300  # whole numbers: the API server parses them as such
    chosen.watching.client_timeout = 330
    return chosen

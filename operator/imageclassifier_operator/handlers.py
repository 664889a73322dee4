"""All kopf handlers, without logic: an event only makes its object due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kopf

from imageclassifier_operator.api import GROUP, PLURAL, VERSION
from imageclassifier_operator.controller import Controller, Key

if TYPE_CHECKING:
    from collections.abc import Callable


def register(registry: kopf.OperatorRegistry, controller: Controller, *, login: Callable[..., Any]) -> None:
    """Register the handlers. They store nothing: no finalizer, no annotation."""

    @kopf.on.login(registry=registry)
    def _login(**kwargs: Any) -> Any:
        return login(**kwargs)

    @kopf.on.cleanup(registry=registry)
    async def _stopped(**_: Any) -> None:
        controller.stop()  # otherwise kopf waits 5 s for these tasks

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def _changed(event: kopf.RawEvent, namespace: str | None, name: str | None, **_: Any) -> None:
        if namespace is not None and name is not None:
            version, deleted = event["object"]["metadata"]["resourceVersion"], event["type"] == "DELETED"
            controller.handle_event(Key(namespace, name), resource_version=version, deleted=deleted)


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings for an operator that only watches."""
    chosen = kopf.OperatorSettings()
    chosen.scanning.disabled = True  # lists no CRDs and namespaces, and needs no right to
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.networking.request_timeout = 30
    chosen.watching.server_timeout = 300  # integers: the API server rejects others
    chosen.watching.client_timeout = 330
    return chosen

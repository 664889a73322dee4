"""Who sent a request, as the gate found out; there is none where no gate stands."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from imageclassifier_runtime.auth.rate_limits import Buckets

_SLOT = "imageclassifier.caller"


@dataclasses.dataclass(slots=True)
class Caller:
    """`address` is the client's, behind trusted proxies too; `key` is the name of its API key."""

    address: str
    key: str | None = None
    buckets: Buckets | None = None
    account: str = ""

    def charge(self, requests: int) -> None:
        """Count requests that came inside of this one."""
        if self.buckets is not None and requests > 0:
            self.buckets.charge(self.account, requests)


def note(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Put it where the rest of the request's way finds it."""
    scope[_SLOT] = caller


def caller_of(scope: Mapping[str, Any]) -> Caller | None:
    """Return who sent the request of this ASGI scope."""
    caller: Caller | None = scope.get(_SLOT)
    return caller

"""The caller of a request, set by AuthMiddleware; absent if it is not installed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from imageclassifier_runtime.auth.rate_limits import Buckets

_SCOPE_KEY = "imageclassifier.caller"


@dataclasses.dataclass(slots=True)
class Caller:
    """`address` is the client's, also behind trusted proxies; `key` is the name of its API key."""

    address: str
    key: str | None = None
    buckets: Buckets | None = None
    account: str = ""

    def charge(self, requests: int) -> None:
        """Charge the rate limit for the other items of a batch."""
        if self.buckets is not None and requests > 0:
            self.buckets.charge(self.account, requests)


def set_caller(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Store the caller in the request's ASGI scope."""
    scope[_SCOPE_KEY] = caller


def caller_of(scope: Mapping[str, Any]) -> Caller | None:
    """Return the caller stored in an ASGI scope."""
    caller: Caller | None = scope.get(_SCOPE_KEY)
    return caller

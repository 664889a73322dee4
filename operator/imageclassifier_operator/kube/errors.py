"""Errors of the API server, as types."""

from __future__ import annotations


class KubeError(Exception):
    """A request that failed; `status` is the HTTP code (0: no response), `reason` that of the API."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class UnreachableError(KubeError):
    """No response, or one that asks to retry later (429, 5xx)."""


class NotFoundError(KubeError):
    """404: no such object, namespace or API."""


class ConflictError(KubeError):
    """409: the object has changed since it was read."""


class GoneError(KubeError):
    """410: the resource version is too old to watch from."""


class ForbiddenError(KubeError):
    """401 or 403: RBAC, a quota, or a namespace that is terminating."""


class RejectedError(KubeError):
    """Any other 4xx: the API server does not accept this request."""


def error_of(*, status: int, reason: str, message: str, retry_after: float = 0.0) -> KubeError:
    """Return the typed error for an HTTP status and the fields of a `metav1.Status`."""
    kinds: dict[int, type[KubeError]] = {
        401: ForbiddenError,
        403: ForbiddenError,
        404: NotFoundError,
        409: ConflictError,
        410: GoneError,
        429: UnreachableError,
    }
    kind = kinds.get(status, RejectedError if 400 <= status < 500 else UnreachableError)
    return kind(message, status=status, reason=reason, retry_after=retry_after)

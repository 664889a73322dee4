"""What an API server can answer instead of the thing asked for, as types."""

from __future__ import annotations


class KubeError(Exception):
    """A request that failed; `status` is the HTTP code (0: no answer), `reason` the API's own word."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class UnreachableError(KubeError):
    """No answer, or one that says to come back later (429, 5xx)."""


class NotFoundError(KubeError):
    """404: no such object, namespace or API."""


class ConflictError(KubeError):
    """409: the object is not the one that was read."""


class GoneError(KubeError):
    """410: the resource version is too old to watch from."""


class ForbiddenError(KubeError):
    """401 or 403: RBAC, a quota, or a namespace that is going away."""


class RejectedError(KubeError):
    """Any other 4xx: the API server will never take this as it is."""


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

"""One exception type for each kind of failed request to the API server, so that callers can tell them apart."""

from __future__ import annotations


class KubeError(Exception):
    """A failed request. `status` is the HTTP status code (0: no response), `reason` the reason in the response.

    fields: the paths of the fields that are the causes, as `spec.ports[0].name`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str = "",
        retry_after: float = 0.0,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        self.fields = fields


class UnreachableError(KubeError):
    """No response, or one that asks to retry later (429, 5xx)."""


class SilentError(UnreachableError):
    """A watch that was established has sent nothing for a long time, not even a bookmark."""


class NotFoundError(KubeError):
    """404: no such object, namespace or API."""


class ConflictError(KubeError):
    """409: the object has changed since it was read."""


class GoneError(KubeError):
    """410: the resource version is too old to watch from."""


class ForbiddenError(KubeError):
    """401 or 403: rejected because of RBAC, a quota, or a namespace that is terminating."""


class RejectedError(KubeError):
    """Any other 4xx: the API server does not accept this request."""


def error_for_status(
    *, status: int, reason: str, message: str, retry_after: float = 0.0, fields: tuple[str, ...] = ()
) -> KubeError:
    """Return the exception for an HTTP status code, with the fields of the `metav1.Status` in the response."""
    types: dict[int, type[KubeError]] = {
        401: ForbiddenError,
        403: ForbiddenError,
        404: NotFoundError,
        409: ConflictError,
        410: GoneError,
        429: UnreachableError,
    }
    error_type = types.get(status, RejectedError if 400 <= status < 500 else UnreachableError)
    return error_type(message, status=status, reason=reason, retry_after=retry_after, fields=fields)

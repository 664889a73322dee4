"""Typed errors: what a client did wrong, what the server cannot do now, and why a model is not usable."""

from __future__ import annotations

import random
from typing import ClassVar

# Those who are refused together and came back together would be a crowd each time.
_RETRY_SECONDS = (1, 3)
_CHALLENGE = 'Bearer realm="imageclassifier"'


def retry_after_seconds() -> int:
    """Return how many seconds one who found no room is to wait, for each another number."""
    return random.randint(*_RETRY_SECONDS)  # noqa: S311 - nothing secret


class RequestError(Exception):
    """A request that gets a problem-details answer; `detail` is written for the person who sent it."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, reason: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason or self.slug

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers that the answer has besides."""
        return {}


class ImageUndecodableError(RequestError):
    """The bytes claim a format that we take, but no image comes out of them."""

    status, slug, title = 400, "image-undecodable", "The image cannot be decoded"


class BodyInvalidError(RequestError):
    """The body is not the form or the image that its headers say."""

    status, slug, title = 400, "body-invalid", "The request body is malformed"


class BodyTimeoutError(RequestError):
    """The body came too slowly."""

    status, slug, title = 408, "body-timeout", "The request body did not arrive in time"


class TooLargeError(RequestError):
    """More bytes or pixels than this server takes."""

    status, slug, title = 413, "too-large", "The image is too large"


class UnsupportedTypeError(RequestError):
    """Not one of the image types or content types that we take."""

    status, slug, title = 415, "unsupported-type", "Not a type that this server takes"


class TensorError(RequestError):
    """A tensor that is not what the model takes."""

    status, slug, title = 400, "tensor-invalid", "The tensor is not what the model takes"


class UnauthorizedError(RequestError):
    """A request without a key that opens the door (RFC 6750)."""

    status, slug, title = 401, "unauthorized", "An API key is needed"

    def __init__(self, detail: str, *, presented: bool) -> None:
        super().__init__(detail)
        self._presented = presented

    @property
    def headers(self) -> dict[str, str]:
        """Return the challenge, with an error only where a key came."""
        return {"WWW-Authenticate": _CHALLENGE + (', error="invalid_token"' if self._presented else "")}


class RateLimitedError(RequestError):
    """More requests than this client may send; `seconds` is when the next one may come."""

    status, slug, title = 429, "rate-limited", "Too many requests"

    def __init__(self, detail: str, *, seconds: int) -> None:
        super().__init__(detail)
        self._seconds = seconds

    @property
    def headers(self) -> dict[str, str]:
        """Return when to come again."""
        return {"Retry-After": str(self._seconds)}


class NotFoundError(RequestError):
    """A model or version that is not served here."""

    status, slug, title = 404, "not-found", "Not found"


class RefusedError(RequestError):
    """Understood, and not to be done through this server."""

    status, slug, title = 403, "refused", "Refused"


class ParameterError(RequestError):
    """A parameter outside its range."""

    status, slug, title = 422, "invalid-parameter", "A parameter is not valid"


class UnavailableError(RequestError):
    """No room now; another pod, or this one a little later, will answer."""

    status, slug, title = 503, "unavailable", "The server has no room for this request now"

    @property
    def headers(self) -> dict[str, str]:
        """Return when to come again."""
        return {"Retry-After": str(retry_after_seconds())}


class CacheUnusableError(Exception):
    """A store of results was not asked, did not answer in time, or not with what can be believed."""


class ModelError(Exception):
    """A model that cannot be served; `reason` is one of the operator's known causes."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SettingsError(Exception):
    """A setting that cannot be used, with its name and what it should be."""

    reason: ClassVar[str] = "SettingsInvalid"


class ApiKeysError(SettingsError):
    """No API keys where they should be: without them the door stays shut."""

    reason = "ApiKeysInvalid"


DIGEST_MISMATCH = "ModelDigestMismatch"
NOT_FOUND = "ModelNotFound"
UNREACHABLE = "ModelUnreachable"
ACCESS_DENIED = "ModelAccessDenied"
CREDENTIALS_MISSING = "ModelCredentialsMissing"
ADDRESS_REFUSED = "ModelAddressRefused"
TOO_LARGE = "ModelTooLarge"
INVALID = "ModelInvalid"
PRECISION_MISSING = "ModelPrecisionMissing"

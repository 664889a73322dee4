"""Typed errors: invalid requests, overload, unusable models, and invalid settings."""

from __future__ import annotations

import random
from typing import ClassVar

# Randomised, so that clients rejected at the same time do not all retry at the same time.
_RETRY_SECONDS = (1, 3)
_CHALLENGE = 'Bearer realm="imageclassifier"'


def retry_after_seconds() -> int:
    """Return a random value for Retry-After in seconds."""
    return random.randint(*_RETRY_SECONDS)  # noqa: S311 - nothing secret


class RequestError(Exception):
    """An error that is returned to the client; `detail` is written for the client's developer."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, reason: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason or self.slug

    @property
    def headers(self) -> dict[str, str]:
        """Return additional response headers."""
        return {}


class ImageUndecodableError(RequestError):
    """The bytes have a supported format, but cannot be decoded."""

    status, slug, title = 400, "image-undecodable", "The image cannot be decoded"


class BodyInvalidError(RequestError):
    """The body does not match its headers."""

    status, slug, title = 400, "body-invalid", "The request body is malformed"


class BodyTimeoutError(RequestError):
    """The body arrived too slowly."""

    status, slug, title = 408, "body-timeout", "The request body did not arrive in time"


class TooLargeError(RequestError):
    """More bytes or pixels than this server accepts."""

    status, slug, title = 413, "too-large", "The image is too large"


class UnsupportedTypeError(RequestError):
    """An unsupported image type or content type."""

    status, slug, title = 415, "unsupported-type", "Not a type that this server takes"


class TensorError(RequestError):
    """A tensor that does not match the model's input."""

    status, slug, title = 400, "tensor-invalid", "The tensor is not what the model takes"


class UnauthorizedError(RequestError):
    """A request without a valid API key (RFC 6750)."""

    status, slug, title = 401, "unauthorized", "An API key is required"

    def __init__(self, detail: str, *, presented: bool) -> None:
        super().__init__(detail)
        self._presented = presented

    @property
    def headers(self) -> dict[str, str]:
        """Return the challenge, with an error only if a key was presented."""
        return {"WWW-Authenticate": _CHALLENGE + (', error="invalid_token"' if self._presented else "")}


class RateLimitedError(RequestError):
    """The client's rate limit is exceeded; `seconds` is the time until the next request is accepted."""

    status, slug, title = 429, "rate-limited", "Too many requests"

    def __init__(self, detail: str, *, seconds: int) -> None:
        super().__init__(detail)
        self._seconds = seconds

    @property
    def headers(self) -> dict[str, str]:
        """Return Retry-After."""
        return {"Retry-After": str(self._seconds)}


class NotFoundError(RequestError):
    """A model or version that is not served here."""

    status, slug, title = 404, "not-found", "Not found"


class RefusedError(RequestError):
    """A valid request that this server does not support."""

    status, slug, title = 403, "refused", "Refused"


class ParameterError(RequestError):
    """A parameter outside its range."""

    status, slug, title = 422, "invalid-parameter", "A parameter is not valid"


class UnavailableError(RequestError):
    """Overload or shutdown; another pod, or the same one later, may accept the request."""

    status, slug, title = 503, "unavailable", "The server has no capacity for this request now"

    @property
    def headers(self) -> dict[str, str]:
        """Return Retry-After."""
        return {"Retry-After": str(retry_after_seconds())}


class CacheUnusableError(Exception):
    """Redis was not used, timed out, or returned an invalid value."""


class ModelError(Exception):
    """A model that cannot be served; `reason` is one of the reasons known to the operator."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def error_text(error: BaseException) -> str:
    """Return what an error of the network or of a file says, without its number: `Connection refused`."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


class SettingsError(Exception):
    """An invalid setting; the message names it and what it should be."""

    reason: ClassVar[str] = "SettingsInvalid"


class ApiKeysError(SettingsError):
    """No valid API keys were found: the server would reject all requests."""

    reason = "ApiKeysInvalid"


class CaCertificatesError(SettingsError):
    """The CA certificates cannot be read: the servers that they sign for would not be trusted."""

    reason = "CACertificatesInvalid"


DIGEST_MISMATCH = "ModelDigestMismatch"
NOT_FOUND = "ModelNotFound"
UNREACHABLE = "ModelUnreachable"
ACCESS_DENIED = "ModelAccessDenied"
CREDENTIALS_MISSING = "ModelCredentialsMissing"
ADDRESS_REFUSED = "ModelAddressRefused"
TOO_LARGE = "ModelTooLarge"
INVALID = "ModelInvalid"
PRECISION_MISSING = "ModelPrecisionMissing"

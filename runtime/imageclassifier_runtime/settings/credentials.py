"""Credentials of model sources; the environment variables have the names of the keys of the Secret in the spec."""

from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS: Mapping[str, tuple[str, ...]] = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "hf": ("HF_TOKEN",),
    "http": ("HTTP_BEARER_TOKEN", "HTTP_USERNAME", "HTTP_PASSWORD"),
    "https": ("HTTP_BEARER_TOKEN", "HTTP_USERNAME", "HTTP_PASSWORD"),
}
"""The environment variables of each scheme; a source gets only the credentials of its own scheme."""
# These are sent in headers unchanged; the others are encoded, or only used for signing.
_SENT_UNENCODED = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "HF_TOKEN", "HTTP_BEARER_TOKEN"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class S3Keys:
    """An access key ID, its secret key, and the session token of temporary credentials."""

    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Credentials:
    """The credentials in the environment; None for sources that are read anonymously."""

    s3: S3Keys | None = None
    hf_token: str | None = dataclasses.field(default=None, repr=False)
    http_authorization: str | None = dataclasses.field(default=None, repr=False)

    def has(self, scheme: str) -> bool:
        """Return whether there are credentials for a scheme."""
        kinds = {"s3": self.s3, "hf": self.hf_token}
        return kinds.get(scheme, self.http_authorization) is not None


def from_env(env: Mapping[str, str]) -> Credentials:
    """Read the variables; an empty value counts as absent.

    Raises SettingsError if a variable is set without the other one of its pair.
    """
    values = {name: env.get(name, "").strip() for names in KEYS.values() for name in names}
    for name, value in values.items():
        if not value.isprintable():
            raise SettingsError(f"{name} contains a line break or another control character: remove it")
        if name in _SENT_UNENCODED and not value.isascii():
            raise SettingsError(f"{name} contains a character that is not ASCII: an HTTP header cannot contain it")
    return Credentials(
        s3=_s3(values),
        hf_token=values["HF_TOKEN"] or None,
        http_authorization=_http(values),
    )


def _s3(values: Mapping[str, str]) -> S3Keys | None:
    _require_pair(values, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if not values["AWS_ACCESS_KEY_ID"]:
        return None
    return S3Keys(
        access_key=values["AWS_ACCESS_KEY_ID"],
        secret_key=values["AWS_SECRET_ACCESS_KEY"],
        session_token=values["AWS_SESSION_TOKEN"] or None,
    )


def _http(values: Mapping[str, str]) -> str | None:
    token = values["HTTP_BEARER_TOKEN"]
    if token and values["HTTP_USERNAME"]:
        raise SettingsError("HTTP_BEARER_TOKEN and HTTP_USERNAME are both set: set only one of them")
    if token:
        return f"Bearer {token}"
    _require_pair(values, "HTTP_USERNAME", "HTTP_PASSWORD")
    return basic(values["HTTP_USERNAME"], values["HTTP_PASSWORD"]) if values["HTTP_USERNAME"] else None


def basic(user: str, password: str) -> str:
    """Return the Authorization header of HTTP's basic scheme (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _require_pair(values: Mapping[str, str], one: str, other: str) -> None:
    for given, missing in ((one, other), (other, one)):
        if values[given] and not values[missing]:
            raise SettingsError(f"{given} is set without {missing}: set both")

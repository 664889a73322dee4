"""AWS Signature Version 4 of a GET request without a body, as S3 and the stores like it want it.

Written out here because a library that signs brings tens of megabytes with it, and every pod would carry them.
The rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime
    from collections.abc import Mapping

    from imageclassifier_runtime.settings.credentials import S3Keys

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-._~"


def signed(
    path: str, headers: Mapping[str, str], *, keys: S3Keys, region: str, now: datetime.datetime
) -> dict[str, str]:
    """Return `headers` with those that sign a GET: of `Host`, `Range` and S3's own, which no proxy rewrites.

    `path` is what is sent: percent-encoded by `encoded`, with its query behind a `?`. `headers` must hold `Host`.
    """
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    every = {**headers, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
    if keys.session_token:
        every["x-amz-security-token"] = keys.session_token
    lowered = sorted((name.lower(), " ".join(value.split())) for name, value in every.items())
    chosen = [(name, value) for name, value in lowered if name in {"host", "range"} or name.startswith("x-amz-")]
    names = ";".join(name for name, _ in chosen)
    lines = [f"{name}:{value}" for name, value in chosen]
    resource, _, query = path.partition("?")
    request = "\n".join(("GET", resource, _canonical(query), *lines, "", names, _NO_BODY))
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    every["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return every


def encoded(text: str, *, slash: bool = False) -> str:
    """Return a text percent-encoded as both the request and its signature have it."""
    return urllib.parse.quote(text, safe=_UNRESERVED + ("/" if slash else ""))


def _canonical(query: str) -> str:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in sorted((name, value) for name, _, value in pairs))


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

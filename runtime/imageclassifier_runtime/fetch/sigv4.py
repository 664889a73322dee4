"""Signs GET requests for S3 and compatible stores with AWS Signature Version 4.

Implemented here because a library for it would add tens of megabytes to every pod.
Specification: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
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
    """Return `headers` with a signature over those that proxies do not change: `Host`, `Range` and `x-amz-…`.

    `path` is as sent: percent-encoded by `encoded`, with the query after a `?`. `headers` must contain `Host`.
    """
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    all_headers = {**headers, "x-amz-content-sha256": _NO_BODY, "x-amz-date": timestamp}
    if keys.session_token:
        all_headers["x-amz-security-token"] = keys.session_token
    lowered = sorted((name.lower(), " ".join(value.split())) for name, value in all_headers.items())
    chosen = [(name, value) for name, value in lowered if name in {"host", "range"} or name.startswith("x-amz-")]
    names = ";".join(name for name, _ in chosen)
    lines = [f"{name}:{value}" for name, value in chosen]
    resource, _, query = path.partition("?")
    request = "\n".join(("GET", resource, _canonical_query(query), *lines, "", names, _NO_BODY))
    scope = f"{timestamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join((_ALGORITHM, timestamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    all_headers["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return all_headers


def encoded(text: str, *, slash: bool = False) -> str:
    """Return a text percent-encoded as required for the request and its signature."""
    return urllib.parse.quote(text, safe=_UNRESERVED + ("/" if slash else ""))


def _canonical_query(query: str) -> str:
    pairs = (part.partition("=") for part in query.split("&") if part)
    return "&".join(f"{name}={value}" for name, value in sorted((name, value) for name, _, value in pairs))


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

"""Objects of S3 and of every store that speaks its API: their URLs, their signatures, and what a prefix holds."""

from __future__ import annotations

import dataclasses
import datetime
import re
import urllib.parse
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import ACCESS_DENIED, NOT_FOUND, TOO_LARGE, UNREACHABLE, ModelError
from imageclassifier_runtime.fetch import transport
from imageclassifier_runtime.fetch.retry import retrying
from imageclassifier_runtime.fetch.sigv4 import encoded, signed
from imageclassifier_runtime.settings.urls import shown

if TYPE_CHECKING:
    import http.client
    from collections.abc import Collection, Mapping

    from imageclassifier_runtime.fetch.transport import Target
    from imageclassifier_runtime.settings.commands import FetchSettings

_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_MOST_PAGES = 10
_PAGE_KEYS = 1000
_PAGE_BYTES = 4 * 1024 * 1024


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key`; the key is taken as it is written, nothing in it is decoded."""
    found = _URI.fullmatch(uri)
    if found is None:
        raise ModelError(NOT_FOUND, f"{shown(uri)} names no object: write s3://bucket/key or s3://bucket/prefix/")
    return found[1], found[2]


def target(bucket: str, key: str, settings: FetchSettings) -> Target:
    """Return where an object is, signed with the keys where there are some."""
    base, in_host = _base(bucket, settings)
    path = f"/{encoded(key, slash=True)}" if in_host else f"/{encoded(bucket)}/{encoded(key, slash=True)}"
    return dataclasses.replace(base, path=path, authorize=_authorize(settings))


def names(
    bucket: str, prefix: str, settings: FetchSettings, deadline: float, *, wanted: Collection[str]
) -> set[str]:
    """Return which of the `wanted` names lie directly under a prefix; raises ModelError.

    At most ten pages of a thousand keys are read: a prefix with more is not the folder of one model.
    """
    found: set[str] = set()
    others: list[str] = []
    token: str | None = None
    for _page in range(_MOST_PAGES):
        keys, token = retrying(lambda: _page_of(bucket, prefix, token, settings, deadline), settings, deadline)  # noqa: B023
        below = [key.removeprefix(prefix) for key in keys if key.startswith(prefix) and key != prefix]
        found.update(name for name in below if name in wanted)
        others.extend(name for name in below if name not in wanted)
        if token is None or len(found) == len(wanted):
            return _told(found, others, bucket, prefix)
    most = _MOST_PAGES * _PAGE_KEYS
    raise ModelError(
        TOO_LARGE, f"s3://{bucket}/{prefix} holds more than {most} objects: give the model its own prefix"
    )


def _told(found: set[str], others: list[str], bucket: str, prefix: str) -> set[str]:
    if not found:
        seen = f"it has {', '.join(name[:80] for name in sorted(others)[:10])}" if others else "it is empty"
        raise ModelError(NOT_FOUND, f"s3://{bucket}/{prefix} holds no file of a model: {seen}")
    return found


def _page_of(
    bucket: str, prefix: str, token: str | None, settings: FetchSettings, deadline: float
) -> tuple[list[str], str | None]:
    """Return the keys of one page of ListObjectsV2, and the token of the next."""
    query = {
        "list-type": "2",
        "delimiter": "/",
        "encoding-type": "url",
        "max-keys": str(_PAGE_KEYS),
        "prefix": prefix,
        **({"continuation-token": token} if token else {}),
    }
    place = target(bucket, "", settings)
    text = "&".join(f"{encoded(name)}={encoded(query[name])}" for name in sorted(query))
    place = dataclasses.replace(place, path=f"{place.path}?{text}")
    try:
        with transport.get(place, settings, deadline) as response:
            body = _whole(response, place)
    except ModelError as error:
        if error.reason == ACCESS_DENIED:
            text = f"{error.message}; a prefix is listed (s3:ListBucket), a single object only read"
            raise ModelError(ACCESS_DENIED, text) from error
        raise
    return _parse(body, place)


def _whole(response: http.client.HTTPResponse, place: Target) -> bytes:
    body = response.read(_PAGE_BYTES + 1)
    if len(body) > _PAGE_BYTES:
        raise ModelError(UNREACHABLE, f"{place}: a page of the listing has more than {_PAGE_BYTES} bytes")
    if response.length:
        raise transport.TransientError(f"{place}: the listing ended early")
    return body


def _parse(body: bytes, place: Target) -> tuple[list[str], str | None]:
    # A listing has no document type; one that has could make a small page expand to gigabytes.
    if b"<!" in body:
        raise ModelError(UNREACHABLE, f"{place} answers no listing of S3, but a document with a DTD or comments")
    try:
        root = ET.fromstring(body)  # noqa: S314 - bounded, and without entities of its own
    except (ET.ParseError, LookupError, ValueError) as error:  # the latter two of an encoding that it claims
        raise ModelError(UNREACHABLE, f"{place} answers no listing of S3: {error}") from error
    if _local(root) != "ListBucketResult":
        raise ModelError(UNREACHABLE, f"{place} answers no listing of S3, but {_local(root)[:80]}")
    keys = [
        urllib.parse.unquote_plus(child.text or "")
        for entry in root
        if _local(entry) == "Contents"
        for child in entry
        if _local(child) == "Key"
    ]
    said = {_local(child): child.text or "" for child in root if len(child) == 0}
    more = said.get("IsTruncated") == "true"
    return keys, (said.get("NextContinuationToken") or None) if more else None


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _base(bucket: str, settings: FetchSettings) -> tuple[Target, bool]:
    """Return the store, and whether the bucket is part of its host name."""
    region = settings.s3_region
    own = f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    base = transport.parse(settings.s3_endpoint or own)
    # A bucket with dots is not covered by the store's certificate, and other stores seldom have names for buckets.
    style = settings.s3_addressing
    in_host = style == "virtual" or (style == "auto" and settings.s3_endpoint is None and "." not in bucket)
    return (dataclasses.replace(base, host=f"{bucket}.{base.host}") if in_host else base), in_host


def _authorize(settings: FetchSettings) -> transport.Authorize | None:
    keys = settings.credentials.s3
    if keys is None:
        return None

    def authorize(place: Target, headers: Mapping[str, str]) -> dict[str, str]:
        now = datetime.datetime.now(datetime.UTC)
        return signed(place.path, headers, keys=keys, region=settings.s3_region, now=now)

    return authorize

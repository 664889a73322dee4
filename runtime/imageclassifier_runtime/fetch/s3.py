"""Locates objects in S3 and compatible stores: URLs, signatures, and the listing of a prefix."""

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
_MAX_PAGES = 10
_PAGE_KEYS = 1000
_MAX_PAGE_BYTES = 4 * 1024 * 1024


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/key`; the key is not decoded."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ModelError(NOT_FOUND, f"{shown(uri)} is not valid: write s3://bucket/key or s3://bucket/prefix/")
    return match[1], match[2]


def target(bucket: str, key: str, settings: FetchSettings) -> Target:
    """Return the URL of an object; requests are signed if there are keys."""
    base, in_host = _base(bucket, settings)
    path = f"/{encoded(key, slash=True)}" if in_host else f"/{encoded(bucket)}/{encoded(key, slash=True)}"
    return dataclasses.replace(base, path=path, authorize=_authorize(settings))


def list_names(
    bucket: str, prefix: str, settings: FetchSettings, deadline: float, *, names: Collection[str]
) -> set[str]:
    """Return which of `names` exist directly under a prefix; raises ModelError if none does.

    At most ten pages of a thousand keys are read: a prefix with more is not the folder of one model.
    """
    found: set[str] = set()
    others: list[str] = []
    token: str | None = None
    for _page in range(_MAX_PAGES):
        keys, token = retrying(lambda: _list_page(bucket, prefix, token, settings, deadline), settings, deadline)  # noqa: B023
        below = [key.removeprefix(prefix) for key in keys if key.startswith(prefix) and key != prefix]
        found.update(name for name in below if name in names)
        others.extend(name for name in below if name not in names)
        if token is None or len(found) == len(names):
            _check_found(found, others, bucket, prefix)
            return found
    limit = _MAX_PAGES * _PAGE_KEYS
    raise ModelError(
        TOO_LARGE, f"s3://{bucket}/{prefix} contains more than {limit} objects: give the model its own prefix"
    )


def _check_found(found: set[str], others: list[str], bucket: str, prefix: str) -> None:
    if not found:
        listed = ", ".join(name[:80] for name in sorted(others)[:10])
        content = f"it contains {listed}" if others else "it is empty"
        raise ModelError(NOT_FOUND, f"s3://{bucket}/{prefix} contains no model files: {content}")


def _list_page(
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
    page = target(bucket, "", settings)
    text = "&".join(f"{encoded(name)}={encoded(query[name])}" for name in sorted(query))
    page = dataclasses.replace(page, path=f"{page.path}?{text}")
    try:
        with transport.get(page, settings, deadline) as response:
            body = _read_page(response, page)
    except ModelError as error:
        if error.reason == ACCESS_DENIED:
            text = f"{error.message}; listing a prefix requires the permission s3:ListBucket"
            raise ModelError(ACCESS_DENIED, text) from error
        raise
    return _parse_page(body, page)


def _read_page(response: http.client.HTTPResponse, page: Target) -> bytes:
    body = response.read(_MAX_PAGE_BYTES + 1)
    if len(body) > _MAX_PAGE_BYTES:
        raise ModelError(UNREACHABLE, f"{page}: a page of the listing has more than {_MAX_PAGE_BYTES} bytes")
    if response.length:
        raise transport.TransientError(f"{page}: the listing is truncated")
    return body


def _parse_page(body: bytes, page: Target) -> tuple[list[str], str | None]:
    # Listings have no document type definition; with one, a small page could expand to gigabytes.
    if b"<!" in body:
        raise ModelError(UNREACHABLE, f"{page}: not a listing of S3, but a document with a DTD or comments")
    try:
        root = ET.fromstring(body)  # noqa: S314 - limited in size, and without entity definitions
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two for an unknown encoding
        raise ModelError(UNREACHABLE, f"{page}: not a listing of S3: {error}") from error
    if _local_name(root) != "ListBucketResult":
        raise ModelError(UNREACHABLE, f"{page}: not a listing of S3, but {_local_name(root)[:80]}")
    keys = [
        urllib.parse.unquote_plus(child.text or "")
        for entry in root
        if _local_name(entry) == "Contents"
        for child in entry
        if _local_name(child) == "Key"
    ]
    fields = {_local_name(child): child.text or "" for child in root if len(child) == 0}
    more = fields.get("IsTruncated") == "true"
    return keys, (fields.get("NextContinuationToken") or None) if more else None


def _local_name(element: ET.Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _base(bucket: str, settings: FetchSettings) -> tuple[Target, bool]:
    """Return the URL of the store, and whether its host name contains the bucket."""
    region = settings.s3_region
    aws = f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    base = transport.parse(settings.s3_endpoint or aws)
    # AWS's certificate does not cover buckets with dots, and other stores rarely have host names for buckets.
    style = settings.s3_addressing
    in_host = style == "virtual" or (style == "auto" and settings.s3_endpoint is None and "." not in bucket)
    return (dataclasses.replace(base, host=f"{bucket}.{base.host}") if in_host else base), in_host


def _authorize(settings: FetchSettings) -> transport.Authorize | None:
    keys = settings.credentials.s3
    if keys is None:
        return None

    def authorize(request: Target, headers: Mapping[str, str]) -> dict[str, str]:
        now = datetime.datetime.now(datetime.UTC)
        return signed(request.path, headers, keys=keys, region=settings.s3_region, now=now)

    return authorize

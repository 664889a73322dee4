"""The name of every child, as functions of the ImageClassifier's name."""

from __future__ import annotations

import hashlib
import re

_DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_LONGEST = 63


def child_name(name: str) -> str:
    """Return the name that all children share: that of the object if it is valid for a Service.

    Services take DNS-1035 labels (RFC 1035: at most 63 letters, digits and hyphens, a letter first), objects
    take DNS-1123 subdomains. Any other name is shortened and gets a part of its digest, so that names stay unique.
    """
    if len(name) <= _LONGEST and _DNS_1035.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9-]", "-", name)
    if not stem[:1].isalpha():
        stem = f"ic-{stem}"
    return f"{stem[: _LONGEST - len(digest) - 1].rstrip('-')}-{digest}"


def service_url(*, name: str, namespace: str, port: int) -> str:
    """Return the address of the Service inside the cluster; port 80 is omitted."""
    suffix = "" if port == 80 else f":{port}"
    return f"http://{child_name(name)}.{namespace}.svc{suffix}"

"""The names of children, containers and volumes, and the URL of the Service."""

from __future__ import annotations

import hashlib
import re

MODEL_CONTAINER = "model"
"""The init container that fetches the model."""

SERVER_CONTAINER = "server"

API_KEYS_VOLUME = "api-keys"
"""The volume with the Secret of `spec.security.apiKeysSecretRef`."""

CA_VOLUME = "ca-certificates"
"""The volume with the ConfigMap of `spec.runtime.caConfigMapRef`, or of the operator's configuration."""

_DNS_1035 = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_MAX_NAME_LENGTH = 63


def child_name(name: str) -> str:
    """Return the name that all children share.

    It is the name of the ImageClassifier if that is a valid name for a Service too. The name of a Service is a
    DNS-1035 label (RFC 1035: at most 63 letters, digits and hyphens, a letter first); the name of an
    ImageClassifier is a DNS-1123 subdomain. A name that is not valid for a Service is changed to a valid one, and
    a part of its digest is appended, so that names stay unique.
    """
    if len(name) <= _MAX_NAME_LENGTH and _DNS_1035.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    stem = re.sub(r"[^a-z0-9-]", "-", name)
    if not stem[:1].isalpha():
        stem = f"ic-{stem}"
    return f"{stem[: _MAX_NAME_LENGTH - len(digest) - 1].rstrip('-')}-{digest}"


def service_url(*, name: str, namespace: str, port: int) -> str:
    """Return the URL of the Service inside the cluster, without the port if it is 80."""
    port_suffix = "" if port == 80 else f":{port}"
    return f"http://{child_name(name)}.{namespace}.svc{port_suffix}"

"""The server's settings for authentication and rate limits, and the Secret with API keys as a volume.

The operator never reads a Secret: the kubelet mounts it, and updates it in running pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageclassifier_operator.api import Security

KEYS_DIR = "/api-keys"
_VOLUME = "api-keys"
_MODE = 0o440


def settings(security: Security) -> dict[str, str]:
    """Return the settings of `serve` for `spec.security`."""
    found: dict[str, str] = {}
    if security.api_keys_secret is not None:
        found["API_KEYS_PATH"] = KEYS_DIR
    if security.rate_limit is not None:
        found["RATE_LIMIT"] = str(security.rate_limit.requests_per_second)
        if security.rate_limit.burst is not None:
            found["RATE_LIMIT_BURST"] = str(security.rate_limit.burst)
    if security.trusted_proxies:
        found["TRUSTED_PROXIES"] = ",".join(security.trusted_proxies)
    return found


def mounts(security: Security) -> list[dict[str, Any]]:
    """Return the mount of the keys, for the server only."""
    if security.api_keys_secret is None:
        return []
    return [{"name": _VOLUME, "mountPath": KEYS_DIR, "readOnly": True}]


def volumes(security: Security) -> list[dict[str, Any]]:
    """Return the Secret as a volume, readable only for the pod's group.

    It is optional so that the status reports a missing one: the server exits without keys and says so in its
    termination message, while a volume that cannot be mounted is reported only in Events.
    """
    if security.api_keys_secret is None:
        return []
    secret = {"secretName": security.api_keys_secret, "defaultMode": _MODE, "optional": True}
    return [{"name": _VOLUME, "secret": secret}]

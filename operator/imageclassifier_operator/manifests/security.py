"""The server's settings for authentication and rate limits, and the Secret with API keys as a volume.

The operator never reads a Secret: the kubelet mounts it, and updates it in running pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.naming import API_KEYS_VOLUME

if TYPE_CHECKING:
    from imageclassifier_operator.api import Security

KEYS_DIR = "/api-keys"
_FILE_MODE = 0o440


def settings(security: Security) -> dict[str, str]:
    """Return the settings of `serve` for `spec.security`."""
    result: dict[str, str] = {}
    if security.api_keys_secret is not None:
        result["API_KEYS_PATH"] = KEYS_DIR
    if security.rate_limit is not None:
        result["RATE_LIMIT"] = str(security.rate_limit.requests_per_second)
        if security.rate_limit.burst is not None:
            result["RATE_LIMIT_BURST"] = str(security.rate_limit.burst)
    if security.trusted_proxies:
        result["TRUSTED_PROXIES"] = ",".join(security.trusted_proxies)
    return result


def mounts(security: Security) -> list[dict[str, Any]]:
    """Return the mount of the keys. Only the server container has it."""
    if security.api_keys_secret is None:
        return []
    return [{"name": API_KEYS_VOLUME, "mountPath": KEYS_DIR, "readOnly": True}]


def volumes(security: Security) -> list[dict[str, Any]]:
    """Return the Secret as a volume whose files only root and the pod's group can read.

    The volume is optional, so that the status can report a missing Secret: the server exits if it finds no keys,
    and gives the reason in its termination message. A volume that cannot be mounted is reported only in Events.
    """
    if security.api_keys_secret is None:
        return []
    secret = {"secretName": security.api_keys_secret, "defaultMode": _FILE_MODE, "optional": True}
    return [{"name": API_KEYS_VOLUME, "secret": secret}]

"""What the init container needs for the source of the model: settings, keys of a Secret, a mounted claim.

The operator never reads a Secret: the kubelet passes the keys to the init container, and not to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageclassifier_operator.api import ModelSource

VOLUMES_DIR = "/volumes"
_VOLUME = "source"
_HTTP = {"HTTP_BEARER_TOKEN": False, "HTTP_USERNAME": False, "HTTP_PASSWORD": False}
_KEYS = {
    "s3": {"AWS_ACCESS_KEY_ID": True, "AWS_SECRET_ACCESS_KEY": True, "AWS_SESSION_TOKEN": False},
    "hf": {"HF_TOKEN": True},
    "http": _HTTP,
    "https": _HTTP,
}
"""By scheme, the keys, and whether a Secret must have each: without a required key, a pod does not start."""


def settings(model: ModelSource) -> dict[str, str]:
    """Return the settings of `fetch` for this source."""
    found: dict[str, str] = {}
    if model.s3 is not None:
        endpoint = {"S3_ENDPOINT": model.s3.endpoint} if model.s3.endpoint else {}
        found |= {**endpoint, "S3_REGION": model.s3.region, "S3_ADDRESSING": model.s3.addressing.lower()}
    if model.credentials_secret is not None:
        found["CREDENTIALS_SECRET"] = model.credentials_secret
    return found


def secret_env(model: ModelSource) -> list[dict[str, Any]]:
    """Return the variables whose values come from the Secret: only those of this scheme."""
    if model.credentials_secret is None:
        return []
    return [
        {
            "name": key,
            "valueFrom": {
                # false is omitted: the API server drops it
                "secretKeyRef": {
                    "name": model.credentials_secret,
                    "key": key,
                    **({} if required else {"optional": True}),
                }
            },
        }
        for key, required in _KEYS.get(model.scheme, {}).items()
    ]


def mounts(model: ModelSource) -> list[dict[str, Any]]:
    """Return the mount of the claim, for the init container only."""
    if model.claim is None:
        return []
    return [{"name": _VOLUME, "mountPath": f"{VOLUMES_DIR}/{model.claim}", "readOnly": True}]


def volumes(model: ModelSource) -> list[dict[str, Any]]:
    """Return the claim as a volume, read-only, so that the kubelet does not change owners or modes in it."""
    if model.claim is None:
        return []
    return [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": model.claim, "readOnly": True}}]

"""The source of the model: settings for the init container, variables from a Secret, and a claim as a volume.

The operator never reads a Secret: the kubelet passes the keys to the init container, and not to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.secret_keys import SECRET_KEYS_BY_SCHEME

if TYPE_CHECKING:
    from imageclassifier_operator.api import ModelSource

VOLUMES_DIR = "/volumes"
_VOLUME_NAME = "source"


def settings(model: ModelSource) -> dict[str, str]:
    """Return the settings of `fetch` for this source."""
    result: dict[str, str] = {}
    if model.s3 is not None:
        endpoint = {"S3_ENDPOINT": model.s3.endpoint} if model.s3.endpoint else {}
        result |= {**endpoint, "S3_REGION": model.s3.region, "S3_ADDRESSING": model.s3.addressing.lower()}
    if model.credentials_secret is not None:
        result["CREDENTIALS_SECRET"] = model.credentials_secret
    return result


def secret_env(model: ModelSource) -> list[dict[str, Any]]:
    """Return the variables whose values come from the Secret, only for the keys of this model's scheme."""
    if model.credentials_secret is None:
        return []
    return [
        {
            "name": key,
            "valueFrom": {
                # For a required key, `optional` is omitted: its default is false.
                "secretKeyRef": {
                    "name": model.credentials_secret,
                    "key": key,
                    **({} if required else {"optional": True}),
                }
            },
        }
        for key, required in SECRET_KEYS_BY_SCHEME.get(model.scheme, {}).items()
    ]


def mounts(model: ModelSource) -> list[dict[str, Any]]:
    """Return the mount of the claim. Only the init container has it."""
    if model.claim is None:
        return []
    return [{"name": _VOLUME_NAME, "mountPath": f"{VOLUMES_DIR}/{model.claim}", "readOnly": True}]


def volumes(model: ModelSource) -> list[dict[str, Any]]:
    """Return the claim as a volume. It is read-only, so the kubelet does not change owners and modes of files."""
    if model.claim is None:
        return []
    return [{"name": _VOLUME_NAME, "persistentVolumeClaim": {"claimName": model.claim, "readOnly": True}}]

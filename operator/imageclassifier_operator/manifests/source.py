"""What the init container gets for a model of the spec's own: settings, keys of a Secret, a mounted claim.

The operator never reads a Secret, and the server never sees one: the kubelet hands the keys to the init container.
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
"""By scheme, the keys and whether a Secret must have them: a pod without one that it must have is not started."""


def settings(model: ModelSource) -> dict[str, str]:
    """Return the settings of `fetch` that this source adds."""
    found: dict[str, str] = {}
    if model.s3 is not None:
        endpoint = {"S3_ENDPOINT": model.s3.endpoint} if model.s3.endpoint else {}
        found |= {**endpoint, "S3_REGION": model.s3.region, "S3_ADDRESSING": model.s3.addressing.lower()}
    if model.credentials_secret is not None:
        found["CREDENTIALS_SECRET"] = model.credentials_secret
    return found


def secret_env(model: ModelSource) -> list[dict[str, Any]]:
    """Return the variables whose values the kubelet takes from the Secret: those of this scheme and no others."""
    if model.credentials_secret is None:
        return []
    return [
        {
            "name": key,
            "valueFrom": {
                # a false is left out: the API server drops it
                "secretKeyRef": {
                    "name": model.credentials_secret,
                    "key": key,
                    **({} if needed else {"optional": True}),
                }
            },
        }
        for key, needed in _KEYS.get(model.scheme, {}).items()
    ]


def mounts(model: ModelSource) -> list[dict[str, Any]]:
    """Return where the init container finds the claim; the server has no use for it."""
    if model.claim is None:
        return []
    return [{"name": _VOLUME, "mountPath": f"{VOLUMES_DIR}/{model.claim}", "readOnly": True}]


def volumes(model: ModelSource) -> list[dict[str, Any]]:
    """Return the claim as a volume: read-only, so that no node changes owners or modes in it."""
    if model.claim is None:
        return []
    return [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": model.claim, "readOnly": True}}]

"""What to do about the reason that a container reports, with the Secret or ConfigMap that the pod's spec names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imageclassifier_operator.api.secret_keys import SECRET_KEYS_BY_SCHEME
from imageclassifier_operator.naming import API_KEYS_VOLUME, CA_VOLUME, MODEL_CONTAINER, SERVER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_UNKNOWN_CA = re.compile(r"unable to get local issuer certificate|self-signed certificate")

_REMEDIES = {
    "ModelDigestMismatch": "correct spec.model.sha256, or put the right model at the source; for spec.model.name, "
    "correct the operator's catalogue",
    "ModelNotFound": "check spec.model",
    "ModelAccessDenied": "name a Secret with credentials in spec.model.credentialsSecretRef, or allow access "
    "without one, as a model of the operator's catalogue requires",
    "ModelCredentialsMissing": "create that Secret in this namespace, with the keys that its source takes",
    "ModelUnreachable": "check that the source can be reached from this namespace; retrying",
    "ModelAddressRefused": "serve the model from another address",
    "ModelTooLarge": "serve a smaller model",
    "ModelInvalid": "export the model again",
    "ApiKeysInvalid": "the Secret{api_keys} in this namespace, which spec.security.apiKeysSecretRef names, must "
    "exist and have API keys",
    "CACertificatesInvalid": "the ConfigMap{ca_certificates} in this namespace, which spec.runtime.caConfigMapRef "
    "or the operator's configuration names, must exist and have CA certificates in keys that end in .crt or .pem",
    "SettingsInvalid": "correct the field of spec, or the key of the Secret, that sets this value",
}
"""The remedy for each reason in a termination message. ModelPrecisionMissing has its remedy in its message."""

_BUNDLED_MODEL_REMEDY = (
    "the model comes with the runtime image: use a runtime image that fits the operator's catalogue, or correct "
    "the catalogue"
)

_UNREADABLE_CLAIM_REMEDY = "make the files in the claim readable for the user or group 65532"

_MODEL_FIELDS = {key: "spec.model.credentialsSecretRef" for keys in SECRET_KEYS_BY_SCHEME.values() for key in keys}
_SERVER_FIELDS = {
    "IMAGECLASSIFIER_CACHE_REDIS_PASSWORD": "spec.cache.redis.credentialsSecretRef",
    "IMAGECLASSIFIER_CACHE_REDIS_USERNAME": "spec.cache.redis.credentialsSecretRef",
    "OTEL_EXPORTER_OTLP_HEADERS": "spec.tracing.headersSecretRef",
}
_FIELDS = {MODEL_CONTAINER: _MODEL_FIELDS, SERVER_CONTAINER: _SERVER_FIELDS}
"""The field that names a Secret, by the container and its variable, which has a key of the Secret."""

_MISSING_SECRET = re.compile(
    r'secrets? "(?P<missing>[^"]+)" not found|couldn\'t find key \S+ in Secret [^/\s]+/(?P<incomplete>[a-z0-9.-]+)'
)
"""Source: the API server's NotFound, and `makeEnvironmentVariables` in kubernetes `pkg/kubelet/kubelet_pods.go`.
"""


def of_report(reason: str, message: str, *, container: str, pod: Mapping[str, Any]) -> str | None:
    """Return what to do about a reason in a termination message, or None if the message says it itself.

    container: the name of the container that wrote it.
    """
    ca_certificates = _volume_source(pod, CA_VOLUME, "configMap").get("name")
    if reason == "ModelUnreachable" and _UNKNOWN_CA.search(message):
        return _unknown_ca_remedy(ca_certificates)
    if reason in {"ModelDigestMismatch", "ModelNotFound"} and _is_bundled(container, pod):
        return _BUNDLED_MODEL_REMEDY
    secret = _setting(pod, "CREDENTIALS_SECRET")
    if reason == "ModelAccessDenied" and _setting(pod, "MODEL_URI").startswith("pvc:"):
        return _UNREADABLE_CLAIM_REMEDY
    if reason == "ModelAccessDenied" and secret:
        return f"check what the keys of the Secret {secret} (spec.model.credentialsSecretRef) may read"
    remedy = _REMEDIES.get(reason)
    return remedy and remedy.format(
        api_keys=_after_space(_volume_source(pod, API_KEYS_VOLUME, "secret").get("secretName")),
        ca_certificates=_after_space(ca_certificates),
    )


def of_missing_secret(reported: str, *, container: str, pod: Mapping[str, Any]) -> str | None:
    """Return what to do if a container lacks a Secret or a key of it, or None if it lacks something else."""
    found = _MISSING_SECRET.search(reported)
    if found is None:
        return None
    read = list(_read_from_secret(found["missing"] or found["incomplete"], container=container, pod=pod))
    field_of = _FIELDS.get(container, {})
    fields = sorted({field_of[variable] for variable, _, _ in read if variable in field_of})
    required = list(dict.fromkeys(key for _, key, is_required in read if is_required))
    optional = [key for key in dict.fromkeys(key for _, key, _ in read) if key not in required]
    who = f"{' and '.join(fields) or f'container {container}'} need{'' if len(fields) > 1 else 's'}"
    with_keys = f", with the key{_plural(required)} {' and '.join(required)}" if required else ""
    may = f" ({' and '.join(optional)} {'is' if len(optional) == 1 else 'are'} optional)" if optional else ""
    return f"{who} that Secret in this namespace{with_keys}{may}"


def _unknown_ca_remedy(config_map: str | None) -> str:
    if config_map:
        return (
            f"add the certificate of the server's CA to the ConfigMap {config_map}, and delete the pod, so that a "
            "new one reads it"
        )
    return (
        "put the certificate of the server's CA into a ConfigMap in this namespace, in a key that ends in .crt or "
        ".pem, and name it in spec.runtime.caConfigMapRef; retrying"
    )


def _is_bundled(container: str, pod: Mapping[str, Any]) -> bool:
    """Whether the model is in the image: the server reads it there, or the init container does."""
    uris = _setting(pod, "MODEL_URI").split()
    return container == SERVER_CONTAINER or (bool(uris) and all(uri.startswith("bundled:") for uri in uris))


def _plural(items: Sequence[str]) -> str:
    return "" if len(items) == 1 else "s"


def _read_from_secret(secret: str, *, container: str, pod: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield the variables of a container that come from a Secret, with the key, and whether it must exist."""
    for variable in _variables(pod, container):
        source = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
        if source.get("name") == secret:
            yield variable.get("name", ""), source.get("key", ""), not source.get("optional")


def _setting(pod: Mapping[str, Any], name: str) -> str:
    """Return a setting of the init container that fetches the model; empty if there is none."""
    variables = {each.get("name"): each.get("value") or "" for each in _variables(pod, MODEL_CONTAINER)}
    return variables.get(f"IMAGECLASSIFIER_{name}", "")


def _variables(pod: Mapping[str, Any], container: str) -> list[Mapping[str, Any]]:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return next((each.get("env") or [] for each in containers if each.get("name") == container), [])


def _volume_source(pod: Mapping[str, Any], volume: str, kind: str) -> Mapping[str, Any]:
    volumes = (pod.get("spec") or {}).get("volumes") or []
    return next((each.get(kind) or {} for each in volumes if each.get("name") == volume), {})


def _after_space(name: str | None) -> str:
    return f" {name}" if name else ""

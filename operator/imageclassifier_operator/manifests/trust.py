"""CA certificates from a ConfigMap, and the proxies of the operator's configuration, for both containers of a pod.

The operator reads neither the ConfigMap nor anything through a proxy: it connects only to the API server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imageclassifier_operator.naming import CA_VOLUME

if TYPE_CHECKING:
    from imageclassifier_operator.manifests.params import Params

CA_DIR = "/ca-certificates"


def settings(params: Params) -> dict[str, str]:
    """Return the setting of both commands for the CA certificates."""
    name = _config_map(params)
    return {} if name is None else {"CA_DIR": _mount_path(name)}


def mounts(params: Params) -> list[dict[str, Any]]:
    """Return the mount of the CA certificates. Its path has the ConfigMap's name, which messages then show."""
    name = _config_map(params)
    return [] if name is None else [{"name": CA_VOLUME, "mountPath": _mount_path(name), "readOnly": True}]


def volumes(params: Params) -> list[dict[str, Any]]:
    """Return the ConfigMap as a volume.

    The volume is optional, so that the status can report a missing ConfigMap: the first container that reads it
    fails if it finds no certificates, and gives the reason in its termination message. A volume that cannot be
    mounted is reported only in Events.
    """
    name = _config_map(params)
    return [] if name is None else [{"name": CA_VOLUME, "configMap": {"name": name, "optional": True}}]


def proxy_variables(params: Params) -> dict[str, str]:
    """Return the configured proxy variables that the spec does not set, in upper or in lower case."""
    config = params.config
    variables = {
        "HTTPS_PROXY": config.runtime_https_proxy,
        "HTTP_PROXY": config.runtime_http_proxy,
        "NO_PROXY": config.runtime_no_proxy,
    }
    in_spec = {variable.name.upper() for variable in params.spec.runtime.env}
    return {name: value for name, value in variables.items() if value and name not in in_spec}


def _config_map(params: Params) -> str | None:
    return params.spec.runtime.ca_config_map or params.config.runtime_ca_config_map or None


def _mount_path(name: str) -> str:
    return f"{CA_DIR}/{name}"

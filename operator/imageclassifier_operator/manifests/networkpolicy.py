"""The NetworkPolicy, which isolates the pods: it lists who may connect to them, and the ports they may connect to.

The kubelet's probes come from the pod's node, which Kubernetes always allows. The ports are those of the present
spec and those of the accepted template: its pods may be created again at any time, for example after an eviction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.containers import PORT
from imageclassifier_operator.manifests.deployment import pod_template
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api.network_policy import Peer
    from imageclassifier_operator.manifests.params import Params

_DEFAULT_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
_DNS_PORTS = (53, 5353)
"""Some clusters run DNS on 5353 behind a Service with 53, and check a policy after the Service's translation."""

_MODEL_URI, _S3_ENDPOINT = "IMAGECLASSIFIER_MODEL_URI", "IMAGECLASSIFIER_S3_ENDPOINT"
_OWN_VARIABLES = ("IMAGECLASSIFIER_", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROXY_VARIABLES = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"})


def build(params: Params) -> dict[str, Any] | None:
    """Return the NetworkPolicy, or None if the spec does not request one."""
    policy = params.spec.network_policy
    if policy is None:
        return None
    templates = (pod_template(params), params.template or {})
    ports = set().union(*map(_egress_ports, templates))
    peers = [_peer(peer) for peer in (*policy.allow_from, *policy.allow_metrics_from)]
    return {
        "metadata": child_metadata(params.ic),
        "spec": {
            "podSelector": {"matchLabels": selector_labels(params.ic.name)},
            "policyTypes": ["Ingress", "Egress"],
            # A rule without peers would allow every client. An empty list is applied too, so that a rule that
            # someone adds is removed. (To the API server, it is a change each time that it is applied, but the
            # operator applies it only if something differs.)
            "ingress": [{"from": peers, "ports": [_port("TCP", PORT)]}] if peers else [],
            "egress": [
                {
                    "ports": [
                        *(_port(protocol, number) for number in _DNS_PORTS for protocol in ("UDP", "TCP")),
                        *(_port("TCP", number) for number in sorted(ports - set(_DNS_PORTS))),
                    ]
                }
            ],
        },
    }


def _peer(peer: Peer) -> dict[str, Any]:
    """Return a peer. An empty selector is kept: it selects everything."""
    return peer.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _port(protocol: str, number: int) -> dict[str, Any]:
    return {"protocol": protocol, "port": number}


def _egress_ports(template: Mapping[str, Any]) -> set[int]:
    """Return the ports that the pods of a template connect to, besides DNS, from the URLs in their variables."""
    pod = template.get("spec") or {}
    values = {
        variable["name"]: variable.get("value") or ""
        for container in (*pod.get("initContainers", ()), *pod.get("containers", ()))
        for variable in container.get("env", ())
    }
    own = [url for name, value in values.items() if name.startswith(_OWN_VARIABLES) for url in value.split()]
    proxies = [value for name, value in values.items() if name.upper() in _PROXY_VARIABLES]
    ports = set().union(*(_url_ports(url) for url in [*proxies, *(url for url in own if "://" in url)]))
    return ports | _other_source_ports(values)


def _other_source_ports(values: Mapping[str, str]) -> set[int]:
    """Return the ports of the model's source that are not in its URIs."""
    uris = values.get(_MODEL_URI, "").split()
    schemes = {uri.partition("://")[0] for uri in uris}
    # A server on the default port of http often redirects to the one of https.
    redirects = any(
        _DEFAULT_PORTS["http"] in _url_ports(uri) for uri in uris if uri.startswith(("http://", "https://"))
    )
    is_aws = "s3" in schemes and not values.get(_S3_ENDPOINT)
    return {_DEFAULT_PORTS["https"]} if "hf" in schemes or is_aws or redirects else set()


def _url_ports(url: str) -> set[int]:
    """Return the port of a URL, or nothing if it has no valid one: the pods then report it."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        return set()
    return {port} if port and parts.hostname else set()

"""The NetworkPolicy, which isolates the pods: it lists who may connect to them, and the ports they may connect to.

The kubelet's probes come from the pod's node, which Kubernetes always allows. The ports are those of the present
spec and those of the accepted template: its pods may be created again at any time, for example after an eviction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imageclassifier_operator.labels import selector_labels
from imageclassifier_operator.manifests.containers import PORT
from imageclassifier_operator.manifests.metadata import child_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ModelSource, Spec
    from imageclassifier_operator.api.network_policy import Peer
    from imageclassifier_operator.manifests.params import Params

_DEFAULT_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
_DNS_PORTS = (53, 5353)
"""Some clusters run DNS on 5353 behind a Service with 53, and check a policy after the Service's translation."""

_OWN_VARIABLES = ("IMAGECLASSIFIER_", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROXY_VARIABLES = frozenset({"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"})


def build(params: Params) -> dict[str, Any] | None:
    """Return the NetworkPolicy, or None if the spec does not request one."""
    policy = params.spec.network_policy
    if policy is None:
        return None
    ports = _egress_ports(params.spec) | _template_ports(params.template or {})
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


def _egress_ports(spec: Spec) -> set[int]:
    """Return the ports that the containers of a pod connect to, besides DNS."""
    urls = [variable.value for variable in spec.runtime.env if variable.name.upper() in _PROXY_VARIABLES]
    if spec.cache is not None and spec.cache.redis is not None:
        urls.append(spec.cache.redis.url)
    if spec.tracing is not None:
        urls.append(spec.tracing.endpoint)
    return _model_ports(spec.model).union(*map(_url_ports, urls))


def _template_ports(template: Mapping[str, Any]) -> set[int]:
    """Return the ports of the URLs in the variables of a pod template."""
    pod = template.get("spec") or {}
    values = {
        variable["name"]: variable.get("value") or ""
        for container in (*pod.get("initContainers", ()), *pod.get("containers", ()))
        for variable in container.get("env", ())
        if variable["name"].startswith(_OWN_VARIABLES) or variable["name"].upper() in _PROXY_VARIABLES
    }
    urls = [url for value in values.values() for url in value.split() if "://" in url]
    found = set().union(*map(_url_ports, urls))
    schemes = {url.partition("://")[0] for url in urls}
    has_endpoint = any(name.endswith("S3_ENDPOINT") and value for name, value in values.items())
    model = values.get("IMAGECLASSIFIER_MODEL_URI", "").split()
    redirects = any(_DEFAULT_PORTS["http"] in _url_ports(uri) for uri in model if uri.startswith("http"))
    if "hf" in schemes or ("s3" in schemes and not has_endpoint) or redirects:
        found.add(_DEFAULT_PORTS["https"])
    return found


def _model_ports(model: ModelSource) -> set[int]:
    """Return the ports of the model's source; a bundled model and one in a claim need none."""
    match model.scheme:
        case "s3":
            endpoint = None if model.s3 is None else model.s3.endpoint
            return _url_ports(endpoint or "https://amazonaws.com")
        case "hf":
            return _url_ports("https://huggingface.co")
    ports = set().union(*(_url_ports(uri) for uri in model.uris if uri.startswith(("http://", "https://"))))
    # A server on the default port of http often redirects to the one of https.
    return ports | {_DEFAULT_PORTS["https"]} if _DEFAULT_PORTS["http"] in ports else ports


def _url_ports(url: str) -> set[int]:
    """Return the port of a URL, or nothing if it has no valid one: the pods then report it."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
    except ValueError:
        return set()
    return {port} if port and parts.hostname else set()

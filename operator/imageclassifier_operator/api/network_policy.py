"""The parts of the API that say who may connect to the pods. A peer has the fields that it has in Kubernetes."""

import ipaddress
from typing import Annotated

from pydantic import Field

from imageclassifier_operator.api.declaration import Part, items, rule
from imageclassifier_operator.api.field_types import Cidr
from imageclassifier_operator.api.scheduling import LabelSelector


class IPBlock(Part):
    """A network of addresses."""

    cidr: Cidr
    """The network as address/length, such as 192.0.2.0/24 or fd00::/8; 0.0.0.0/0 is every IPv4 address."""

    excluded: Annotated[
        tuple[Annotated[Cidr, Field(description="A network.")], ...], items(32, list_type="atomic")
    ] = Field(default=(), alias="except")
    """Networks within cidr that are not allowed."""

    @rule(
        message="except must have only networks within cidr that are smaller than it",
        field="except",
        detail="must have only networks within {self.cidr} that are smaller than it",
        reads=("cidr", "except"),
    )
    def _excludes_a_part(self) -> bool:
        return all(_is_part(network, of=self.cidr) for network in self.excluded)


def _is_part(cidr: str, *, of: str) -> bool:
    """Return whether a network is within another one, and smaller."""
    network, whole = ipaddress.ip_network(cidr), ipaddress.ip_network(of)
    return (
        network.version == whole.version
        and network.prefixlen > whole.prefixlen
        and network.supernet(new_prefix=whole.prefixlen) == whole
    )


class Peer(Part):
    """Pods, or a network, that may connect to the pods.

    With both selectors, these are the selected pods in the selected namespaces; with namespaceSelector only, all
    pods in the selected namespaces; with podSelector only, the selected pods in the namespace of this object.
    """

    namespace_selector: LabelSelector | None = None
    """Labels of namespaces; an empty selector selects all namespaces."""

    pod_selector: LabelSelector | None = None
    """Labels of pods; an empty selector selects all pods."""

    ip_block: IPBlock | None = None
    """Addresses of clients outside the cluster. Not together with a selector."""

    @rule(
        message="give either ipBlock or selectors, not both",
        cel="!has(self.ipBlock) || !(has(self.namespaceSelector) || has(self.podSelector))",
    )
    def _pods_or_network(self) -> bool:
        return self.ip_block is None or (self.namespace_selector is None and self.pod_selector is None)

    @property
    def is_given(self) -> bool:
        """Whether it selects anything."""
        return any(part is not None for part in (self.namespace_selector, self.pod_selector, self.ip_block))


Peers = Annotated[tuple[Peer, ...], items(32, list_type="atomic")]

_PROMETHEUS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
_GIVEN = "peer, has(peer.namespaceSelector) || has(peer.podSelector) || has(peer.ipBlock)"


class NetworkPolicy(Part):
    """NetworkPolicy isolates the pods: only peers may connect to them, and they only to ports that they need.

    It is off if absent, and on if present, even if empty ({}). It only has an effect if the cluster's network
    plugin enforces NetworkPolicies; other plugins ignore it, and nothing reports that. Probes of the kubelet are
    always allowed. A NetworkPolicy cannot name hosts, so the pods may connect to any address, on these ports: 53
    for DNS, and those of model.uri or the catalogue's URIs, model.s3.endpoint, cache.redis.url,
    tracing.otlpEndpoint, and HTTPS_PROXY, HTTP_PROXY and ALL_PROXY in runtime.env or the operator's configuration.
    If an http uri has port 80, 443 is allowed too, since such servers often redirect to https. To allow more, add
    a NetworkPolicy of your own for the pods: what any of them allows is allowed. One is needed for a source that
    redirects to another port, and, with many network plugins, for a Service whose targetPort is not its port.
    """

    allow_from: Peers = ()
    """Clients that may connect to the pods, such as pods of an application, of an ingress controller or of a
    gateway. If empty, only those of allowMetricsFrom may connect."""

    allow_metrics_from: Peers = Field(default=(_PROMETHEUS,), validate_default=True)
    """Peers that read the metrics. Metrics have the same port as predictions, so these peers may send all
    requests. By default, pods with the label app.kubernetes.io/name=prometheus in any namespace. If empty, no
    further peers."""

    @rule(
        message="each peer of allowFrom and allowMetricsFrom requires namespaceSelector, podSelector or ipBlock",
        cel=f"(!has(self.allowFrom) || self.allowFrom.all({_GIVEN})) && "
        f"(!has(self.allowMetricsFrom) || self.allowMetricsFrom.all({_GIVEN}))",
    )
    def _peers_are_given(self) -> bool:
        return all(peer.is_given for peer in (*self.allow_from, *self.allow_metrics_from))

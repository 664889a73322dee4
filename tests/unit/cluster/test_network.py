"""The clean-up removes only our own chains and rules."""

from __future__ import annotations

from e2e.cluster.network import overlapping_routes, removal_rules

_SAVED = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABC - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m comment --comment "not -j KUBE-SERVICES" -j DOCKER
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A DOCKER -i docker0 -j RETURN
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -j KUBE-SVC-ABC
COMMIT
"""


def test_our_chains_are_removed_with_the_rules_that_jump_to_them() -> None:
    assert removal_rules("nat", _SAVED).splitlines() == [
        "*nat",
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-D PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        "-F KUBE-SERVICES",
        "-F KUBE-SVC-ABC",
        "-F CNI-HOSTPORT-DNAT",
        "-X KUBE-SERVICES",
        "-X KUBE-SVC-ABC",
        "-X CNI-HOSTPORT-DNAT",
        "COMMIT",
    ]


def test_a_table_without_our_chains_is_unchanged() -> None:
    assert (
        removal_rules("nat", "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n")
        == ""
    )


def test_other_networks_that_overlap_our_ranges_are_listed() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.88.0.0/16", "dev": "podman0"},
        {"dst": "10.0.0.0/24", "dev": "eth0"},
        {"dst": "10.96.0.0/16", "dev": "cni0"},
        {"dst": "10.96.7.7", "dev": "tun0"},
    ]
    assert overlapping_routes(routes) == ["10.88.0.0/16 on podman0", "10.96.7.7 on tun0"]

"""A real single-node Kubernetes on one Debian machine, for users without a cluster or registry."""

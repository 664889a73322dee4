"""A real single-node Kubernetes on one Debian machine, for people with no cluster and no registry."""

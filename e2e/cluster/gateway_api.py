"""Fetches the CRD of HTTPRoutes from the Gateway API's Go module, once per machine, verified with `go.sum`."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

from e2e.cluster import golang, programs
from e2e.cluster.errors import ClusterError

MODULE = programs.Module(name="gateway-api", release="sigs.k8s.io/gateway-api", packages=())
HTTP_ROUTE_CRD = "httproutes.gateway.networking.k8s.io"
_FILE = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"


@functools.cache
def http_route_crd() -> Path:
    """The file of the CRD. Raises ClusterError if the module cannot be fetched."""
    go = golang.ensure(MODULE.minimum_go)
    command = [str(go.program), "mod", "download", "-json", MODULE.release]
    completed = subprocess.run(
        command,
        cwd=MODULE.folder,
        env=go.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(completed.stdout.strip() or "{}")
    if completed.returncode != 0 or "Dir" not in found:
        reason = found.get("Error") or completed.stderr.strip()
        raise ClusterError(f"`go mod download {MODULE.release}` failed in {MODULE.folder}: {reason}")
    return Path(found["Dir"]) / _FILE

"""Two servers in the cluster: an https model store whose certificate a private CA issued, and an HTTP proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.model_store import BUNDLED
from e2e.pod_programs import proxy, serve_bundled_over_tls, source
from e2e.runtime_pod import PYTHON, RuntimePod, wait_until_ready

if TYPE_CHECKING:
    from e2e.cluster.api import Object
    from e2e.cluster.pki import Authority
    from e2e.kube import Kube

STORE, PROXY = "private-store", "proxy"
_STORE_PORT, _PROXY_PORT = 8443, 3128
_TLS = "/tls"

_STORE_POD = RuntimePod(
    name=STORE,
    container="server",
    command=(PYTHON, "-c", source(serve_bundled_over_tls), _TLS, str(_STORE_PORT)),
    port_name="https",
    container_port=_STORE_PORT,
    service_port=443,
    probe={"tcpSocket": {"port": "https"}},
    volume_name="tls",
    volume={"secret": {"secretName": STORE}},
    mount_path=_TLS,
)
_PROXY_POD = RuntimePod(
    name=PROXY,
    container="proxy",
    command=(PYTHON, "-c", source(proxy), str(_PROXY_PORT)),
    port_name="proxy",
    container_port=_PROXY_PORT,
    service_port=_PROXY_PORT,
    probe={"tcpSocket": {"port": "proxy"}},
    volume_name="tmp",
    volume={"emptyDir": {"sizeLimit": "1Mi"}},
    mount_path="/tmp",  # noqa: S108 - in the pod, not on this machine
)


def model_url(namespace: str) -> str:
    """The URL of the bundled model's folder in the store, for pods."""
    return f"https://{_store_host(namespace)}/{BUNDLED}/"


def proxy_url(namespace: str) -> str:
    """The proxy's URL, for pods."""
    return f"http://{PROXY}.{namespace}.svc:{_PROXY_PORT}"


def manifests(namespace: str, image: str, authority: Authority) -> list[Object]:
    """Both servers, each a pod behind a Service, and the Secret with the store's certificate from `authority`."""
    host = _store_host(namespace)
    file = authority.issue(STORE, user=STORE, hosts=[host])
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": STORE, "namespace": namespace},
        "stringData": {"tls.crt": file.read_text(), "tls.key": file.with_suffix(".key").read_text()},
    }
    return [secret, *_STORE_POD.manifests(namespace, image), *_PROXY_POD.manifests(namespace, image)]


def ca_config_map(namespace: str, name: str, authority: Authority) -> Object:
    """A ConfigMap with the CA's own certificate, for clients of the store."""
    metadata = {"name": name, "namespace": namespace}
    data = {"ca.crt": authority.certificate.read_text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def wait_for_servers(kube: Kube, namespace: str) -> None:
    """Wait until store and proxy are ready."""
    wait_until_ready(kube, namespace, STORE, what="the private store")
    wait_until_ready(kube, namespace, PROXY, what="the proxy")


def requested_tunnels(kube: Kube, namespace: str) -> list[str]:
    """The servers that the proxy was asked to open tunnels to, as host:port."""
    lines = kube.kubectl("logs", f"deploy/{PROXY}", f"--namespace={namespace}").splitlines()
    return [line.split()[1] for line in lines if line.startswith("CONNECT ")]


def _store_host(namespace: str) -> str:
    return f"{STORE}.{namespace}.svc"

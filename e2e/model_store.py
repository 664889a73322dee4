"""A model store in the cluster, over HTTP and S3; files are copied into it with `kubectl exec`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from e2e.install import file_sha256
from e2e.runtime_pod import PYTHON, RuntimePod, wait_until_ready

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster.api import Object
    from e2e.kube import Kube

NAME = "model-store"
BUNDLED = "cifar10-mobilenet-v2"
S3_BUCKET = "private"
"""For S3 clients, top-level folders are buckets. This one requires requests with the access key below; the store
does not verify signatures, which unit tests do."""

S3_ACCESS_KEY = "E2EMODELSTORE"
_SERVE = f"""
import http.server, functools, pathlib, shutil, urllib.parse, imageclassifier_runtime
bundled = pathlib.Path(imageclassifier_runtime.__file__).parent / "bundled" / "{BUNDLED}"
if bundled.is_dir():
    shutil.copytree(bundled, "/models/{BUNDLED}", dirs_exist_ok=True)
    shutil.copytree(bundled, "/models/{S3_BUCKET}/pets", dirs_exist_ok=True)
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        bucket, _, query = self.path.partition("?")
        signed = "Credential={S3_ACCESS_KEY}/" in self.headers.get("Authorization", "")
        if bucket.startswith("/{S3_BUCKET}") and not signed:
            return self.send_error(403)
        if "list-type=2" not in query:
            return super().do_GET()
        prefix = urllib.parse.parse_qs(query).get("prefix", [""])[0]
        folder = pathlib.Path("/models" + bucket) / prefix
        names = [path.name for path in folder.iterdir() if path.is_file()]
        keys = "".join(f"<Contents><Key>{{prefix}}{{name}}</Key></Contents>" for name in names)
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{{keys}}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
handler = functools.partial(Handler, directory="/models")
http.server.ThreadingHTTPServer(("", 8000), handler).serve_forever()
"""
_DIGEST = """
import hashlib, pathlib, sys
path = pathlib.Path("/models") / sys.argv[1]
print(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent")
"""
_RECEIVE = """
import os, shutil, sys
os.makedirs(os.path.dirname("/models/" + sys.argv[1]), exist_ok=True)
with open("/models/.new", "wb") as out:
    shutil.copyfileobj(sys.stdin.buffer, out)
os.rename("/models/.new", "/models/" + sys.argv[1])
"""
_FOLDER_DIGEST = """
import hashlib, pathlib, sys
names = ("labels.txt", "model.int8.onnx", "model.onnx", "preprocessor_config.json", "quantization.json")
found = [path for path in (pathlib.Path("/models") / sys.argv[1] / name for name in names) if path.is_file()]
lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\\n" for path in found)
print(hashlib.sha256(lines.encode()).hexdigest())
"""


_POD = RuntimePod(
    name=NAME,
    container="server",
    command=(PYTHON, "-c", _SERVE),
    port_name="http",
    container_port=8000,
    service_port=80,
    probe={"httpGet": {"path": "/", "port": "http"}},
    volume_name="models",
    volume={"emptyDir": {"sizeLimit": "512Mi"}},
    mount_path="/models",
)


def url(namespace: str, file: str) -> str:
    """The URL of a file or folder in the store, for pods. The URL of a folder ends with a slash."""
    return f"http://{NAME}.{namespace}.svc/{file}"


def endpoint(namespace: str) -> str:
    """The store as an S3 endpoint."""
    return f"http://{NAME}.{namespace}.svc"


def manifests(namespace: str, image: str) -> list[Object]:
    """The store: one hardened pod that serves an empty folder, behind a Service."""
    return _POD.manifests(namespace, image)


def wait_for_store(kube: Kube, namespace: str) -> None:
    """Wait until the store is ready."""
    wait_until_ready(kube, namespace, NAME, what="the model store")


def put(kube: Kube, namespace: str, file: Path, *, folder: str = "") -> str:
    """Copy a file into the store, or into a folder of it, unless it is there already; returns its sha256."""
    expected = file_sha256(file)
    name = f"{folder}/{file.name}" if folder else file.name
    if _POD.run_python(kube, namespace, _DIGEST, name).strip() != expected:
        _POD.run_python(kube, namespace, _RECEIVE, name, stdin=file.read_bytes())
        stored = _POD.run_python(kube, namespace, _DIGEST, name).strip()
        if stored != expected:
            raise RuntimeError(f"{name} was stored with sha256 {stored}, not {expected}")
    return expected


def bundled_digest(kube: Kube, namespace: str) -> str:
    """The digest of the bundled model's folder in the store."""
    digest = _POD.run_python(kube, namespace, _FOLDER_DIGEST, BUNDLED).strip()
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise RuntimeError(f"the store reported {digest!r} instead of a digest")
    return digest

"""The programs that scenarios send to pods: each runs here as its pod runs it, with the arguments of its pod."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import hashlib
import http.client
import importlib
import io
import json
import pkgutil
import re
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from imageclassifier_runtime.model.digest import of_folder

from e2e import model_store, pod_programs, private_servers, redis_store, trace_receiver
from e2e.cluster.controlplane import free_ports
from e2e.cluster.pki import Authority
from e2e.otlp import Receiver, Span
from e2e.pod_programs import fill_memory, fill_volume, get_status, memory_use, source
from e2e.runtime_pod import PYTHON
from e2e.waiting import until
from tests.crd import ROOT
from tools import apt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from e2e.cluster.api import Object
    from e2e.kube import Kube

    Start = Callable[..., subprocess.Popen[str]]

_NAMES = [found.name for found in pkgutil.iter_modules(pod_programs.__path__)]
_OTHER_PROGRAM = re.compile(r'(?:"-c"|run_python\(kube, namespace)(?!,\s*source\().*')
_SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential={model_store.S3_ACCESS_KEY}/20260101/us-east-1/s3"}
_MODEL = ROOT / "runtime" / "imageclassifier_runtime" / "bundled" / model_store.BUNDLED


class _Pods:
    """A cluster whose pods run on this machine; in their arguments, each key of `replaced` becomes its value."""

    def __init__(self, replaced: dict[str, str]) -> None:
        self.replaced = replaced

    def local(self, command: list[str]) -> list[str]:
        python, option, program, *arguments = command
        assert (python, option) == (PYTHON, "-c")
        return [sys.executable, "-c", program, *map(self._replace, arguments)]

    def kubectl(self, *arguments: str, stdin: bytes | None = None) -> str:
        command = self.local(list(arguments[arguments.index("--") + 1 :]))
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout.decode()

    def _replace(self, argument: str) -> str:
        return re.sub("|".join(self.replaced), lambda found: self.replaced[found[0]], argument)

    def list(self, *_: Any, **__: Any) -> list[Object]:
        return [{"status": {"phase": "Running"}}]

    def get(self, *_: Any, **__: Any) -> Object:
        return {"status": {"readyReplicas": 1}}


def _kube(replaced: dict[str, str]) -> Kube:
    return cast("Kube", _Pods(replaced))


def _command(manifests: list[Object], name: str, replaced: dict[str, str]) -> list[str]:
    """The command of a Deployment's pod, for this machine."""
    (pod,) = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == name
    ]
    return _Pods(replaced).local(pod["containers"][0]["command"])


def _run(program: ModuleType, *arguments: object) -> str:
    command = [sys.executable, "-c", source(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command that ends with the test; with a port, waits until it listens on that."""
    started: list[subprocess.Popen[str]] = []

    def begin(command: list[str], *, port: int | None = None, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        started.append(process)

        def listens() -> bool:
            assert process.poll() is None, "the program has ended"
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        if port is not None:
            until(listens, seconds=20, what="the program to listen", every=0.02)
        return process

    yield begin
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def store(tmp_path: Path, start: Start) -> httpx.URL:
    """The URL of a model store, whose folder is `models` in `tmp_path`."""
    (port,) = free_ports(1)
    folder = tmp_path / "models"
    folder.mkdir()
    manifests = model_store.manifests("vision", "runtime:test")
    start(_command(manifests, model_store.NAME, {"/models": str(folder), "8000": str(port)}), port=port)
    return httpx.URL(f"http://127.0.0.1:{port}")


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.mark.parametrize("name", _NAMES)
def test_a_program_needs_only_the_standard_library_and_the_runtime(name: str) -> None:
    tree = ast.parse(source(importlib.import_module(f"e2e.pod_programs.{name}")))
    modules = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {module.partition(".")[0] for module in modules}
    assert roots <= sys.stdlib_module_names | {"imageclassifier_runtime"}


def test_no_other_program_runs_in_pods() -> None:
    """Linters and mypy do not read a program in a string."""
    files = [file for file in (ROOT / "e2e").rglob("*.py") if file.name != "runtime_pod.py"]
    found = [(file.name, _OTHER_PROGRAM.findall(file.read_text())) for file in files]
    assert [each for each in found if each[1]] == []


def test_the_model_store_returns_files(store: httpx.URL, client: httpx.Client) -> None:
    response = client.get(store.join(f"/{model_store.BUNDLED}/labels.txt"))
    assert (response.status_code, response.content) == (200, (_MODEL / "labels.txt").read_bytes())
    assert client.get(store.join("/absent")).status_code == 404


def test_the_model_store_requires_the_key_only_for_the_private_bucket(
    store: httpx.URL, client: httpx.Client
) -> None:
    private = store.join(f"/{model_store.S3_BUCKET}/pets/labels.txt")
    assert client.get(private).status_code == 403
    other = {"Authorization": "AWS4-HMAC-SHA256 Credential=OTHER/20260101/us-east-1/s3/aws4_request"}
    assert client.get(private, headers=other).status_code == 403
    assert client.get(private, headers=_SIGNED).content == (_MODEL / "labels.txt").read_bytes()


def test_the_model_store_lists_a_bucket(store: httpx.URL, client: httpx.Client) -> None:
    bucket = store.join(f"/{model_store.S3_BUCKET}?list-type=2&prefix=pets%2F")
    assert client.get(bucket).status_code == 403
    text = client.get(bucket, headers=_SIGNED).text
    keys = re.findall("<Contents><Key>([^<]*)</Key></Contents>", text)
    assert set(keys) == {f"pets/{path.name}" for path in _MODEL.iterdir()}
    assert "<IsTruncated>false</IsTruncated>" in text


def test_the_model_store_receives_a_file_once(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"cat\ndog\n")
    folder = tmp_path / "models"
    folder.mkdir()
    kube = _kube({"/models": str(folder)})
    digest = hashlib.sha256(b"cat\ndog\n").hexdigest()
    assert model_store.put(kube, "vision", file, folder="a/b") == digest
    stored = folder / "a" / "b" / "labels.txt"
    assert stored.read_bytes() == file.read_bytes()
    before = stored.stat()
    assert model_store.put(kube, "vision", file, folder="a/b") == digest
    assert stored.stat() == before
    assert model_store.put(kube, "vision", file) == digest
    assert {path.name for path in folder.iterdir()} == {"a", "labels.txt"}


def test_the_model_store_reports_the_digest_of_the_bundled_model() -> None:
    kube = _kube({"/models": str(_MODEL.parent)})
    assert model_store.bundled_digest(kube, "vision") == of_folder(_MODEL)


def test_the_private_store_has_the_certificate_of_its_secret(tmp_path: Path, start: Start) -> None:
    authority = Authority(tmp_path, "ca")
    authority.issue("tls", user="store", hosts=["127.0.0.1"])
    (port,) = free_ports(1)
    manifests = private_servers.manifests("vision", "runtime:test", authority)
    replaced = {"/tls": str(tmp_path), "8443": str(port)}
    start(_command(manifests, private_servers.STORE, replaced), port=port)
    trusted = ssl.create_default_context(cafile=authority.certificate)
    url = f"https://127.0.0.1:{port}/{model_store.BUNDLED}/labels.txt"
    with httpx.Client(verify=trusted, trust_env=False) as client:
        assert client.get(url).content == (_MODEL / "labels.txt").read_bytes()
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY"):
        client.get(url)


def test_the_proxy_opens_tunnels_and_prints_their_servers(tmp_path: Path, start: Start, store: httpx.URL) -> None:
    (port,) = free_ports(1)
    manifests = private_servers.manifests("vision", "runtime:test", Authority(tmp_path, "ca"))
    process = start(_command(manifests, private_servers.PROXY, {"3128": str(port)}), port=port)
    tunnel = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    assert store.port is not None
    tunnel.set_tunnel("127.0.0.1", store.port)
    with contextlib.closing(tunnel):
        tunnel.request("GET", f"/{model_store.BUNDLED}/labels.txt")
        assert tunnel.getresponse().read() == (_MODEL / "labels.txt").read_bytes()
    assert process.stdout is not None
    printed = next(line for line in process.stdout if line.strip())
    assert printed.split()[:2] == ["CONNECT", f"127.0.0.1:{store.port}"]


@pytest.mark.parametrize("tls", [False, True])
def test_redis_starts_when_its_files_are_complete(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    files = {"redis-check-rdb": b"#!/bin/sh\necho $LD_LIBRARY_PATH $@\n"}
    if tls:
        files |= {"tls.crt": b"certificate", "tls.key": b"key"}
    monkeypatch.setattr(redis_store, "archive", lambda _: _tar(files))
    monkeypatch.setattr(apt, "install", lambda _: None)
    manifests = redis_store.manifests("vision", "runtime:test")
    replaced = {"/redis": str(tmp_path)}
    process = start(_command(manifests, redis_store.NAME, replaced), env={"PASSWORD": "secret"})
    redis_store.start(_kube(replaced), "vision")
    printed, _ = process.communicate(timeout=20)
    library, *options = printed.split()
    assert library == f"{tmp_path}/lib"
    assert options[-2:] == ["--requirepass", "secret"]
    assert ("--tls-port 6379" in printed) == tls
    assert (f"--tls-cert-file {tmp_path}/tls.crt --tls-key-file {tmp_path}/tls.key" in printed) == tls


def test_the_spans_of_the_trace_receiver_are_read() -> None:
    span = Span(
        name="fetch",
        trace_id="1f",
        span_id="2f",
        parent_id="",
        trace_state="",
        kind=1,
        start=1,
        end=2,
        status=0,
        attributes={},
        resource={},
    )
    with Receiver() as receiver:
        receiver.spans.append(span)
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        kube = _kube({f"http://127.0.0.1:{trace_receiver.PORT}": receiver.url.removesuffix("/v1/traces")})
        try:
            found = trace_receiver.wait_for_spans(kube, "vision", bool, "a span")
        finally:
            receiver.shutdown()
            thread.join()
    assert found == [dataclasses.asdict(span)]


def test_a_status_is_printed(store: httpx.URL) -> None:
    assert _run(get_status, store) == "200\n"


def test_a_file_of_that_many_mebibytes_is_written(tmp_path: Path) -> None:
    _run(fill_volume, tmp_path / "file", 2)
    assert (tmp_path / "file").stat().st_size == 2 << 20


def test_the_processes_that_use_memory_end() -> None:
    _run(fill_memory, 2, 1, 0.01)


@pytest.mark.parametrize(
    ("limit", "peak", "events"),
    [
        ("memory.max", "memory.peak", "memory.events"),
        ("memory/memory.limit_in_bytes", "memory/memory.max_usage_in_bytes", "memory/memory.oom_control"),
    ],
)
def test_the_memory_use_is_read_from_either_version_of_cgroups(
    tmp_path: Path, limit: str, peak: str, events: str
) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / limit).write_text("4096\n")
    (tmp_path / peak).write_text("2048\n")
    (tmp_path / events).write_text("low 7\noom_kill 3\n")
    status = tmp_path / "status"
    status.write_text("Name:\tserver\nVmHWM:\t     1 kB\n")
    found = json.loads(_run(memory_use, tmp_path, status))
    assert found == {"limit": 4096, "peak": 2048, "peak_resident": 1024, "kills": 3}


def test_a_container_without_a_limit_has_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    status = tmp_path / "status"
    status.write_text("VmHWM:\t     1 kB\n")
    found = json.loads(_run(memory_use, tmp_path, status))
    assert found == {"limit": None, "peak": None, "peak_resident": 1024, "kills": 0}


def _tar(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()

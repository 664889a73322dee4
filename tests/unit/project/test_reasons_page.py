"""The commands in operator/REASONS.md have options that kubectl knows, and its fields are those of the CRD."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess

import pytest

from e2e.cluster.kubectl import KUBECTL
from tests import crd

_TEXT = (crd.ROOT / "operator" / "REASONS.md").read_text()
_LINES = re.findall(r"^ *(?:SPEC=\$\()?(kubectl [^\n]*?)\)?(?:  +#.*)?$", _TEXT, re.MULTILINE)
_COMMANDS = sorted({*re.findall(r"`(kubectl [^`\n]+)`", _TEXT), *_LINES})
_PATHS = {re.sub(r"\[\]|\{\}", "", path) for path, _ in crd.nodes(crd.schema())}
_SUBCOMMANDS = {"auth", "rollout", "set", "top"}


@functools.cache
def _output(*arguments: str) -> str:
    return subprocess.run([KUBECTL, *arguments], capture_output=True, text=True, check=True).stdout


def _words(command: str) -> list[str]:
    return shlex.split(command.partition(" | ")[0])[1:]


@pytest.mark.parametrize("command", _COMMANDS)
def test_kubectl_knows_the_command_and_its_options(command: str) -> None:
    words = _words(command)
    verb = tuple(words[: 2 if words[0] in _SUBCOMMANDS else 1])
    text = _output(*verb, "--help")
    assert f"kubectl {' '.join(verb)} " in text, (
        "if there is no such subcommand, kubectl prints the help of the verb"
    )
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    known = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text + _output("options"), re.IGNORECASE))
    assert options - known == set()


def test_the_page_has_commands_of_both_forms() -> None:
    assert "kubectl get ic -A" in _COMMANDS
    assert "kubectl describe pod POD" in _COMMANDS
    assert any(command.startswith("kubectl get controllerrevision REVISION -o jsonpath=") for command in _COMMANDS)


def test_the_fields_that_the_page_names_exist() -> None:
    spans = [span for span in re.findall(r"`([^`\n]+)`", _TEXT) if not span.startswith("kubectl get pod ")]
    named = {field for span in spans for field in re.findall(r"\b(?:spec|status)(?:\.[A-Za-z0-9]+)+", span)}
    assert "spec.model.uri" in named
    assert sorted(named - _PATHS) == []

"""The hooks of pre-commit run the commands of `make lint`."""

from __future__ import annotations

import yaml

from tests.crd import ROOT
from tools.run_tests import parts


def test_the_hooks_run_what_make_lint_runs() -> None:
    (lint,) = [part for part in parts([]) if part.name == "lint"]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [hook["entry"] for hook in local["hooks"]]
    assert entries == [" ".join((f".venv/bin/{program}", *options)) for program, *options in lint.commands]
    assert {hook["language"] for hook in local["hooks"]} == {"system"}

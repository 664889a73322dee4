"""The summary of a test run lists what passed, failed and was skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.errors import ToolError
from tools.run_tests import Part, parts, run, summary

if TYPE_CHECKING:
    import pytest


def _refuse() -> None:
    raise ToolError("port 6443 is taken")


def test_a_part_that_cannot_run_here_is_skipped_and_listed() -> None:
    part = Part("e2e", [], obstacle=lambda: "needs root")
    run(part, skip_is_failure=False)
    text = summary([part])
    assert part.result == "skipped"
    assert "needs root" in text
    assert "RESULT: passed; skipped: e2e" in text


def test_a_skipped_part_is_a_failure_in_ci() -> None:
    part = Part("e2e", [], obstacle=lambda: "needs root")
    run(part, skip_is_failure=True)
    assert "RESULT: failed: e2e (" in summary([part])


def test_a_part_with_a_failed_preparation_reports_it_and_runs_nothing() -> None:
    part = Part("e2e", [("no-such-program",)], prepare=_refuse)
    run(part, skip_is_failure=False)
    assert part.result == "FAILED"
    assert part.notes == ["port 6443 is taken"]


def test_all_commands_of_a_part_run_and_each_failure_is_noted() -> None:
    part = Part("lint", [("python", "-c", "raise SystemExit(3)"), ("python", "-c", ""), ("python", "-c", "1/0")])
    run(part, skip_is_failure=False)
    assert part.result == "FAILED"
    assert part.notes == ["python -c raise SystemExit(3) failed", "python -c 1/0 failed"]


def test_a_part_cleans_up_after_a_failed_preparation() -> None:
    cleaned_up: list[str] = []
    part = Part("e2e", [], prepare=_refuse, finish=lambda: cleaned_up.append("cluster"))
    run(part, skip_is_failure=False)
    assert part.result == "FAILED"
    assert cleaned_up == ["cluster"]


def test_a_part_with_a_failed_clean_up_has_failed() -> None:
    part = Part("e2e", [], finish=_refuse)
    run(part, skip_is_failure=False)
    assert part.result == "FAILED"
    assert part.notes == ["port 6443 is taken"]


def test_an_incomplete_cluster_name_fails_the_scenarios(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("E2E_CONTEXT", "mine")
    monkeypatch.delenv("E2E_KUBECONFIG", raising=False)
    (part,) = [part for part in parts([]) if part.name == "e2e"]
    run(part, skip_is_failure=False)
    assert part.result == "FAILED"
    assert "go together" in part.notes[0]

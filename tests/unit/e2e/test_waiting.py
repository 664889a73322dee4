"""Waiting returns the first result, or reports the actual state on timeout."""

from __future__ import annotations

import pytest

from e2e.waiting import WaitTimeoutError, until


def test_the_first_result_is_returned() -> None:
    results = iter([None, False, "found"])
    assert until(lambda: next(results), seconds=5, what="a result", every=0) == "found"


def test_an_empty_result_is_a_result() -> None:
    assert until(lambda: 0, seconds=0, what="a number") == 0


def test_a_timeout_reports_the_actual_state() -> None:
    with pytest.raises(WaitTimeoutError, match="timed out after 0 s waiting for rain; now: sunshine"):
        until(lambda: None, seconds=0, what="rain", describe=lambda: "sunshine")

"""Waiting ends with what came, or says what was so instead."""

from __future__ import annotations

import pytest

from e2e.waiting import WaitTimeoutError, until


def test_the_first_thing_that_comes_is_returned() -> None:
    coming = iter([None, False, "there"])
    assert until(lambda: next(coming), seconds=5, what="it", every=0) == "there"


def test_an_empty_answer_is_an_answer() -> None:
    assert until(lambda: 0, seconds=0, what="a number") == 0


def test_a_timeout_reports_the_actual_state() -> None:
    with pytest.raises(WaitTimeoutError, match="timed out after 0 s waiting for rain; now: sunshine"):
        until(lambda: None, seconds=0, what="rain", otherwise=lambda: "sunshine")

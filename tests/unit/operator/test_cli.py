"""A process of which a part died says so by its exit code; one that was asked to end does not."""

from __future__ import annotations

import asyncio

import pytest
from imageclassifier_operator import cli


async def ends(*, after: float = 0.0, error: Exception | None = None) -> None:
    await asyncio.sleep(after)
    if error is not None:
        raise error


async def test_parts_that_end_of_themselves_are_no_error() -> None:
    await cli._until_first(ends(), ends(after=0.01))


@pytest.mark.parametrize("after", [0.0, 0.01])
async def test_a_part_that_fails_while_the_others_stop_is_heard_out(after: float) -> None:
    with pytest.raises(LookupError):
        await cli._until_first(ends(), ends(after=after, error=LookupError()))


async def test_a_part_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "ENDING_SECONDS", 0.01)
    await cli._until_first(ends(), ends(after=3600))


async def test_a_failure_ends_the_others_at_once() -> None:
    with pytest.raises(LookupError):
        await cli._until_first(ends(error=LookupError()), ends(after=3600))

"""The measurement of the drain: what counts as lost, and a short run on a real server."""

from pathlib import Path

import pytest

from tests.acceptance import drain
from tests.acceptance.drain import Asked, Drain
from tests.unit.bench.support import bundled_and_made


def ended(*asked: tuple[float, str], gone: float = 10.5, status: int = 0) -> Drain:
    requests = [Asked(sent=sent, outcome=outcome) for sent, outcome in asked]
    return Drain(precision="FP32", drain_seconds=10.0, gone=gone, status=status, asked=requests)


@pytest.mark.parametrize("sent", [9.999, 10.001])
def test_what_is_sent_as_the_drain_ends_or_after_it_is_not_lost(sent: float) -> None:
    run = ended((-1.0, "200"), (9.5, "200"), (sent, "EOFError"))
    assert run.lost() == []
    assert run.held()


@pytest.mark.parametrize("outcome", ["503", "EOFError", "ConnectionResetError"])
@pytest.mark.parametrize("sent", [-0.5, 9.98])
def test_anything_but_200_before_the_drain_has_ended_is_lost(sent: float, outcome: str) -> None:
    run = ended((1.0, "200"), (sent, outcome))
    assert run.lost() == [Asked(sent=sent, outcome=outcome)]
    assert not run.held()


def test_a_late_or_unclean_end_and_a_drain_that_nobody_used_do_not_hold() -> None:
    assert not ended((1.0, "200"), gone=31.0).held()
    assert not ended((1.0, "200"), status=-9).held()
    assert not ended((-1.0, "200")).held()


@pytest.mark.timeout(600)
def test_a_short_run_loses_nothing_and_sees_the_process_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*bundled_and_made(tmp_path), "--clients", "4"]
    assert drain.main([*arguments, "--seconds", "0.5", "--drain-seconds", "1", "--assert"]) == 0
    assert "nothing lost, and gone in time: held" in capsys.readouterr().out

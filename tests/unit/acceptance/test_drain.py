"""The measurement of the drain: which requests are lost, and a short run with a real server."""

from pathlib import Path

import pytest

from tests.acceptance import drain
from tests.acceptance.drain import DrainRun, SentRequest
from tests.unit.bench.support import small_workload


def run_with(*sent: tuple[float, str], exited: float = 10.5, status: int = 0) -> DrainRun:
    requests = [SentRequest(sent=seconds, outcome=outcome) for seconds, outcome in sent]
    return DrainRun(precision="FP32", drain_seconds=10.0, exited=exited, status=status, requests=requests)


@pytest.mark.parametrize("sent", [9.999, 10.001])
def test_a_request_sent_at_the_end_of_the_drain_or_later_is_not_lost(sent: float) -> None:
    run = run_with((-1.0, "200"), (9.5, "200"), (sent, "EOFError"))
    assert run.lost() == []
    assert run.held()


@pytest.mark.parametrize("outcome", ["503", "EOFError", "ConnectionResetError"])
@pytest.mark.parametrize("sent", [-0.5, 9.88])
def test_a_request_sent_before_the_drain_ends_is_lost_without_a_200(sent: float, outcome: str) -> None:
    run = run_with((1.0, "200"), (sent, outcome))
    assert run.lost() == [SentRequest(sent=sent, outcome=outcome)]
    assert not run.held()


def test_a_late_exit_an_exit_status_and_a_drain_without_requests_miss_the_bar() -> None:
    assert not run_with((1.0, "200"), exited=31.0).held()
    assert not run_with((1.0, "200"), status=-9).held()
    assert not run_with((-1.0, "200")).held()


@pytest.mark.timeout(600)
def test_a_short_run_loses_no_request_and_the_process_exits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small_workload(tmp_path), "--clients", "4"]
    assert drain.main([*arguments, "--seconds", "0.5", "--drain-seconds", "1", "--assert"]) == 0
    assert "no request lost, and exit in time: held" in capsys.readouterr().out

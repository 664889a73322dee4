"""The command that runs all measurements."""

from pathlib import Path

import pytest

from tests.acceptance import __main__ as acceptance


@pytest.mark.timeout(600)
def test_a_failed_measurement_is_reported_and_does_not_stop_the_others(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert acceptance.main(["--model", str(tmp_path / "absent")]) == 2
    last = capfd.readouterr().out.splitlines()[-3:]
    assert [line.split(maxsplit=1) for line in last] == [
        ["agreement", "not measured"],
        ["drain", "not measured"],
        ["cache", "not measured"],
    ]

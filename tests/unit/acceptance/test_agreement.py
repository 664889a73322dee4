"""The agreement of all protocols, on a few made pictures: all of them name what the plain pipeline names."""

import sys
from pathlib import Path

import pytest

from runtime.bench import pictures
from tests.acceptance import agreement
from tests.unit.bench.support import bundled_and_made


@pytest.mark.timeout(600)
def test_every_protocol_names_made_pictures_as_the_plain_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_MODEL_DIR", "")  # the measurement sets it, for the baseline that it imports
    monkeypatch.delitem(sys.modules, "runtime.bench.baseline", raising=False)
    made = tmp_path / "made"
    made.mkdir()
    pictures.make(made, count=3)
    arguments = [*bundled_and_made(tmp_path), "--photographs", str(made)]
    assert agreement.main([*arguments, "--assert"]) == 0
    rows = capsys.readouterr().out.split("as the plain pipeline")[1].splitlines()
    protocols = [row for row in rows if row.startswith(("native", "v1", "v2"))]
    assert len(protocols) == 8


def test_without_photographs_there_is_nothing_to_judge_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert agreement.main(bundled_and_made(tmp_path)) == 2
    assert "no JPEG files" in capsys.readouterr().err

"""The measurement of agreement, on a few generated pictures."""

import sys
from pathlib import Path

import pytest

from runtime.bench import pictures
from tests.acceptance import agreement
from tests.unit.bench.support import small_workload


@pytest.mark.timeout(600)
def test_every_protocol_returns_the_classes_of_the_simple_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_MODEL_DIR", "")  # the measurement sets it before it imports the baseline
    monkeypatch.delitem(sys.modules, "runtime.bench.baseline", raising=False)
    folder = tmp_path / "generated"
    folder.mkdir()
    pictures.generate(folder, count=3)
    arguments = [*small_workload(tmp_path), "--photographs", str(folder)]
    assert agreement.main([*arguments, "--assert"]) == 0
    rows = capsys.readouterr().out.split("same class as the simple pipeline")[1].splitlines()
    protocols = [row for row in rows if row.startswith(("native", "v1", "v2"))]
    assert len(protocols) == 8


def test_a_folder_without_photographs_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert agreement.main(small_workload(tmp_path)) == 2
    assert "no JPEG files" in capsys.readouterr().err

"""The tables and the check of the demo."""

from __future__ import annotations

import pytest

from e2e.cluster.errors import ClusterError
from e2e.demo.demo import require_cat
from e2e.demo.report import ChangedLines, Steps, columns, predictions


def test_columns_are_aligned_and_the_last_is_not_padded() -> None:
    assert columns([("a", "bb", "c"), ("aaa", "b", "cc")]) == "  a    bb  c\n  aaa  b   cc"


def test_predictions_are_one_a_line_without_trailing_blanks() -> None:
    result = {
        "predictions": [
            {"class_id": 3, "class_name": "cat", "probability": 0.9},
            {"class_id": 5, "class_name": "dog", "probability": 0.001},
        ]
    }
    lines = predictions(result).splitlines()
    assert lines == [f"  1.  cat   90.00%  {'█' * 27}", "  2.  dog    0.10%"]


def test_a_step_is_in_the_table_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps()
    with steps.step("The images"):
        pass
    assert next(line.split() for line in steps.table().splitlines()) == ["The", "images", "0.0", "s"]
    assert "The images" in capsys.readouterr().out


def test_an_unchanged_status_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    live = ChangedLines()
    for text in ("waiting", "waiting", "ready"):
        live.show(text)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["waiting", "ready"]


def test_a_class_that_is_not_a_cat_fails_the_demo() -> None:
    require_cat({"predictions": [{"class_name": "Egyptian cat"}]})
    with pytest.raises(ClusterError, match="plastic bag"):
        require_cat({"predictions": [{"class_name": "plastic bag"}]})

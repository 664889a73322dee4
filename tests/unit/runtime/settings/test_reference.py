"""The settings are described once: README, flags and environment agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.settings import reference
from imageclassifier_runtime.settings.commands import FetchSettings, ServeSettings, fetch_settings, serve_settings

_README = Path(__file__).parents[4] / "runtime" / "README.md"


def test_the_table_in_the_readme_is_current() -> None:
    text = _README.read_text()
    assert reference.updated(text) == text, "run `make generate`"


def test_a_readme_without_markers_for_the_table_is_rejected() -> None:
    with pytest.raises(ValueError, match="has no lines"):
        reference.updated("# The model server")


def test_a_variable_that_both_commands_read_has_one_row_with_both_defaults() -> None:
    rows = [line for line in reference.table().splitlines() if line.startswith("| `MODEL_DIR` |")]
    assert len(rows) == 1
    assert "`/model` for `fetch`; the bundled model for `serve`" in rows[0]


@pytest.mark.parametrize("command", ["serve", "fetch"])
def test_help_has_exactly_the_settings_that_are_flags(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  --")}
    settings = {"serve": serve_settings, "fetch": fetch_settings}[command]()
    flags = {"--" + setting.variable.lower().replace("_", "-") for setting in settings if setting.flag}
    assert flags
    assert listed == flags | ({"--model"} if command == "serve" else set())


def test_an_empty_environment_gives_the_defaults_of_the_classes() -> None:
    assert ServeSettings.from_env({}) == ServeSettings()
    assert FetchSettings.from_env({}) == FetchSettings()

"""The settings are described once: README, flags and environment agree."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.classify_command import arguments as classify_arguments
from imageclassifier_runtime.cli import main
from imageclassifier_runtime.quantize import arguments as quantize_arguments
from imageclassifier_runtime.settings import reference
from imageclassifier_runtime.settings.commands import FetchSettings, ServeSettings, fetch_settings, serve_settings
from imageclassifier_runtime.settings.environment import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.mark.parametrize(("settings", "command"), [(ServeSettings, "serve"), (FetchSettings, "fetch")])
def test_a_setting_s_flag_accepts_the_default_that_help_prints(
    settings: type[ServeSettings | FetchSettings],
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = _printed_defaults(command, monkeypatch, capsys)
    described = {"serve": serve_settings, "fetch": fetch_settings}[command]()
    assert {_variable(flag) for flag in printed} == {s.variable for s in described if s.flag and s.flag_default}
    for flag, (default, *others) in printed.items():
        assert settings.from_env({PREFIX + _variable(flag): default}) == settings.from_env({}), flag
        for value in others:
            settings.from_env({PREFIX + _variable(flag): value})


@pytest.mark.parametrize(
    ("command", "add", "required"),
    [
        ("classify", classify_arguments.add, ["PHOTO"]),
        ("quantize", quantize_arguments.add, ["FOLDER", "--pictures", "DIR", "--out", "DIR"]),
    ],
)
def test_every_other_flag_accepts_the_default_that_help_prints(
    command: str,
    add: Callable[[argparse.ArgumentParser], None],
    required: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = argparse.ArgumentParser()
    add(parser)
    printed = _printed_defaults(command, monkeypatch, capsys)
    assert printed
    for flag, (default,) in printed.items():
        assert parser.parse_args([*required, flag, default]) == parser.parse_args(required), flag


def test_help_prints_sizes_as_integers_and_the_readme_with_units(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = _printed_defaults("serve", monkeypatch, capsys)
    assert printed["--max-image-bytes"] == ["10485760"]
    assert printed["--max-image-pixels"] == ["25000000"]
    assert printed["--cache-max-bytes"] == ["0", "16777216"]
    table = reference.table()
    assert "| `MAX_IMAGE_BYTES` | 10 MiB | 1024 to 1 GiB |" in table
    assert "| `MAX_IMAGE_PIXELS` | 25,000,000 |" in table


def _printed_defaults(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, list[str]]:
    """Return the values after `default:` in a command's `--help`, by flag: one, or several joined by `or`."""
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = re.findall(r"^  (--[a-z0-9-]+)(.*(?:\n   .*)?)", capsys.readouterr().out, re.MULTILINE)
    found = {}
    for flag, text in options:
        default = re.search(r"default: ([^\s,;)]+)(?:, or ([^\s,;)]+))?", text)
        if default is not None:
            found[flag] = [value for value in default.groups() if value is not None]
    return found


def _variable(flag: str) -> str:
    return flag.removeprefix("--").upper().replace("-", "_")


def test_an_empty_environment_gives_the_defaults_of_the_classes() -> None:
    assert ServeSettings.from_env({}) == ServeSettings()
    assert FetchSettings.from_env({}) == FetchSettings()

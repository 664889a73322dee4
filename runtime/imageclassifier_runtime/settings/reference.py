"""The table of settings in the README; `make generate` generates it from their descriptions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.settings.commands import fetch_settings, serve_settings
from imageclassifier_runtime.settings.environment import PREFIX

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.fields import Setting

BEGIN = "<!-- This table is generated from settings/commands.py and settings/cache.py by `make generate`. -->"
END = "<!-- End of the generated table. -->"


def table() -> str:
    """Return the table in Markdown: one row per variable, even if both commands read it."""
    rows: dict[str, dict[str, Setting]] = {}
    for command, settings in (("fetch", fetch_settings()), ("serve", serve_settings())):
        for setting in settings:
            rows.setdefault(setting.variable, {})[command] = setting
    lines = [f"| `{PREFIX}…` | default | values | |", "| --- | --- | --- | --- |"]
    for variable, found in rows.items():
        setting = next(iter(found.values()))
        values = f" {setting.values} " if setting.values else " "
        lines.append(f"| `{variable}` | {_default(found)} |{values}| {setting.about} |")
    return "\n".join(lines)


def updated(readme: str) -> str:
    """Return the README with the current table."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the README has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _default(found: dict[str, Setting]) -> str:
    defaults = {setting.default for setting in found.values()}
    if len(defaults) == 1:
        return defaults.pop()
    return "; ".join(f"{setting.default} for `{command}`" for command, setting in found.items())


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(updated(file.read_text()))

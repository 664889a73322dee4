"""Formats a classification as text: one line per class, with its name, percentage and a bar."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageclassifier_runtime.classify_command.problem import Classification

BLOCKS = " ▏▎▍▌▋▊▉█"
_BAR_WIDTH = 24
_MAX_NAME_LENGTH = 40


def block(name: str, result: Classification, *, first: bool, ascii_only: bool = False) -> str:
    """Return the lines of one photograph, with an empty line before all but the first."""
    rows = [(_cut(plain(str(item["class_name"]))), float(item["probability"])) for item in result["predictions"]]
    width = max((_width(label) for label, _ in rows), default=0)
    lines = [plain(title(name))]
    for label, share in rows:
        pad = " " * (width - _width(label))
        lines.append(f"  {label}{pad}  {100 * share:6.2f} %  {bar(share, ascii_only=ascii_only)}".rstrip())
    return "\n".join(lines if first else ["", *lines])


def title(name: str) -> str:
    """Return the title of a photograph: its file name, or that of standard input."""
    return "standard input" if name == "-" else name


def bar(share: float, *, ascii_only: bool = False) -> str:
    """Return a bar for a share of 0 to 1, with a resolution of an eighth of a character."""
    share = min(1.0, max(0.0, share))
    if ascii_only:
        return "#" * round(_BAR_WIDTH * share)
    whole, rest = divmod(round(8 * _BAR_WIDTH * share), 8)
    return BLOCKS[8] * whole + (BLOCKS[rest] if rest else "")


def plain(text: str) -> str:
    """Return a text with control characters replaced, so that it cannot control the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _width(text: str) -> int:
    """Return the width of a text in terminal columns."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_NAME_LENGTH else text[: _MAX_NAME_LENGTH - 1] + "…"

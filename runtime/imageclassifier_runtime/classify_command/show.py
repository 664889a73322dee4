"""An answer as text: one line a class, its name, its share in percent and a small bar."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageclassifier_runtime.classify_command.problem import Answer

BLOCKS = " ▏▎▍▌▋▊▉█"
_BAR = 24
_LONGEST_NAME = 40


def block(name: str, answer: Answer, *, first: bool, ascii_only: bool = False) -> str:
    """Return the lines of one photograph, after an empty one where it is not the first."""
    rows = [(_cut(plain(str(item["class_name"]))), float(item["probability"])) for item in answer["predictions"]]
    width = max((_width(label) for label, _ in rows), default=0)
    lines = [plain(title(name))]
    for label, share in rows:
        pad = " " * (width - _width(label))
        lines.append(f"  {label}{pad}  {100 * share:6.2f} %  {bar(share, ascii_only=ascii_only)}".rstrip())
    return "\n".join(lines if first else ["", *lines])


def title(name: str) -> str:
    """Return what a photograph is called."""
    return "standard input" if name == "-" else name


def bar(share: float, *, ascii_only: bool = False) -> str:
    """Return a bar for a share of 0 to 1, in eighths of a character."""
    share = min(1.0, max(0.0, share))
    if ascii_only:
        return "#" * round(_BAR * share)
    whole, rest = divmod(round(8 * _BAR * share), 8)
    return BLOCKS[8] * whole + (BLOCKS[rest] if rest else "")


def plain(text: str) -> str:
    """Return a text without what would move a terminal's cursor or colour it."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _width(text: str) -> int:
    """Return how many columns a terminal gives a text."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"

"""Prints the demo's progress: each step with its time, and a table of all steps at the end."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tools.steps import elapsed, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Steps:
    """The finished steps, each with its duration."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, float]] = []

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Print the start of a step, and record its duration."""
        say(f"{text} …")
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.finished.append((text, took))
        say(f"{text}: {took:.1f} s")

    def table(self) -> str:
        """All steps as aligned columns."""
        rows = [*self.finished, ("Total", elapsed())]
        return columns([(text, f"{took:6.1f} s") for text, took in rows])


class ChangedLines:
    """Prints a status line whenever it changes."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, text: str) -> None:
        """Print the current status, if it differs from the last."""
        if text != self._last:
            self._last = text
            say(f"  {text}")


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Aligned columns; the last one is not padded."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    lines = [
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
        for row in rows
    ]
    return "\n".join(lines)


def predictions(result: Mapping[str, Any]) -> str:
    """The most likely classes, one on each line, with a bar."""
    rows = [
        (
            f"{rank}.",
            prediction["class_name"],
            f"{prediction['probability']:7.2%}",
            "█" * round(prediction["probability"] * 30),
        )
        for rank, prediction in enumerate(result["predictions"], 1)
    ]
    return "\n".join(line.rstrip() for line in columns(rows).splitlines())

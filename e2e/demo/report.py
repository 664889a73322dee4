"""What a person sees of the demo: each step with its time, and a table of all of them at the end."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tools.steps import elapsed, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Steps:
    """The steps so far, each with its seconds."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float]] = []

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what begins, and keep how long it took."""
        say(f"{text} …")
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.taken.append((text, took))
        say(f"{text}: {took:.1f} s")

    def table(self) -> str:
        """All steps under each other."""
        rows = [*self.taken, ("In all", elapsed())]
        return columns([(text, f"{took:6.1f} s") for text, took in rows])


class Live:
    """What is waited for, a line for each change."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, text: str) -> None:
        """Show the present state."""
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


def predictions(answer: Mapping[str, Any]) -> str:
    """The likeliest classes, a line each with a bar."""
    rows = [
        (
            f"{place}.",
            found["class_name"],
            f"{found['probability']:7.2%}",
            "█" * round(found["probability"] * 30),
        )
        for place, found in enumerate(answer["predictions"], 1)
    ]
    return "\n".join(line.rstrip() for line in columns(rows).splitlines())

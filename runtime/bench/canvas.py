"""A small canvas for charts, on Pillow, which the server needs anyway: axes, bars, whiskers and text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from pathlib import Path

# Drawn larger and then reduced, which smooths every edge.
_SCALE = 3
_INK, _FAINT, _GRID = "#202124", "#5f6368", "#e3e5e8"
Box = tuple[float, float, float, float]


def nice_step(top: float, ticks: int = 5) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, so that about `ticks` steps reach `top`."""
    if top <= 0:
        return 1.0
    raw = top / ticks
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next((factor * power for factor in (1.0, 2.0, 2.5, 5.0) if factor * power >= raw * 0.999), 10.0 * power)


class Canvas:
    """A picture of `width` x `height` pixels; all places are in its pixels, y downwards."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _SCALE, height * _SCALE), "white")
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self, at: tuple[float, float], text: str, *, size: int = 14, anchor: str = "la", colour: str = _INK
    ) -> float:
        """Write one line, anchored as Pillow names it, and return its width."""
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((at[0] * _SCALE, at[1] * _SCALE), text, fill=colour, font=font, anchor=anchor)
        return float(self._draw.textlength(text, font=font)) / _SCALE

    def rectangle(self, box: Box, colour: str) -> None:
        """Fill a rectangle (x0, y0, x1, y1)."""
        left, top, right, bottom = (round(side * _SCALE) for side in box)
        if right > left and bottom > top:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)

    def line(self, points: list[tuple[float, float]], colour: str = _GRID, width: float = 1) -> None:
        """Draw a line through points."""
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width * _SCALE)), joint="curve")

    def dot(self, at: tuple[float, float], radius: float, colour: str) -> None:
        """Draw a filled circle."""
        x, y, r = at[0] * _SCALE, at[1] * _SCALE, radius * _SCALE
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def whisker(self, x: float, low: float, high: float) -> None:
        """Draw a range upright at `x`, from `low` to `high` on the canvas."""
        self.line([(x, low), (x, high)], _INK, 1.2)
        for y in (low, high):
            self.line([(x - 3, y), (x + 3, y)], _INK, 1.2)

    def save(self, path: Path) -> None:
        """Write the picture as PNG."""
        small = self._image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        small.save(path, "PNG", optimize=True)


class Panel:
    """One chart on a canvas, with an upright scale from 0 (or logarithmic), a title and its unit."""

    def __init__(self, canvas: Canvas, box: Box, *, title: str, top: float, lowest: float | None = None) -> None:
        """Draw title, grid and scale; with `lowest` above 0 the scale is logarithmic from there."""
        self.canvas, self._title = canvas, title
        left, upper, right, bottom = box
        self.left, self.right, self.upper, self.bottom = left + 52, right, upper + 34, bottom - 30
        self._log = lowest is not None
        self._low = lowest or 0.0
        self._top = (
            top if self._log else nice_step(top) * math.ceil(top / nice_step(top) - 1e-9) if top > 0 else 1.0
        )
        canvas.text((left, upper), title, size=16)
        for value in self._ticks():
            y = self.y(value)
            canvas.line([(self.left, y), (self.right, y)])
            canvas.text((self.left - 7, y), f"{value:g}", size=12, anchor="rm", colour=_FAINT)

    def y(self, value: float) -> float:
        """Return where a value is on the canvas."""
        if self._log:
            share = math.log(max(value, self._low) / self._low) / math.log(self._top / self._low)
        else:
            share = value / self._top
        return self.bottom - share * (self.bottom - self.upper)

    def below(self, x: float, text: str) -> None:
        """Write a label under the axis."""
        self.canvas.text((x, self.bottom + 8), text, size=13, anchor="ma", colour=_FAINT)

    def bound(self, value: float, text: str, *, left: float | None = None, right: float | None = None) -> None:
        """Draw a bar that must not be passed, as a dashed line."""
        x, end, y = left or self.left, right or self.right, self.y(value)
        while x < end:
            self.canvas.line([(x, y), (min(x + 6, end), y)], "#c5221f", 1.3)
            x += 10
        self.canvas.text((end, y - 3), text, size=11, anchor="rd", colour="#c5221f")

    def _ticks(self) -> list[float]:
        if not self._log:
            step = nice_step(self._top)
            return [step * number for number in range(round(self._top / step) + 1)]
        powers = range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._top)) + 1)
        marks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        return [mark for mark in marks if self._low <= mark <= self._top * 1.0001]

"""The results as one picture: throughput and latency by clients, CPU, memory and start, and the memory curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.bench import bars
from runtime.bench.canvas import Canvas, Panel
from runtime.bench.plan import MAIN_CLIENTS
from runtime.bench.results import BASELINE, LIMIT, SERVER
from runtime.bench.statistics import Spread, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.bench.results import Results, Slice

_WIDTH, _MARGIN, _ROW = 1280, 36, 340
_FAINT = "#5f6368"
_COLOURS = {
    (LIMIT, "FP32"): "#c4c7cc",
    (SERVER, "FP32"): "#6fa8dc",
    (LIMIT, "INT8"): "#8a8f98",
    (SERVER, "INT8"): "#1a56a5",
    (BASELINE, "FP32"): "#e8935a",
}
_NAMES = {
    (LIMIT, "FP32"): "limit fp32",
    (SERVER, "FP32"): "our server fp32",
    (LIMIT, "INT8"): "limit int8",
    (SERVER, "INT8"): "our server int8",
    (BASELINE, "FP32"): "tutorial app fp32",
}
_Key = tuple[str, str]


def draw(results: Results, path: Path) -> None:
    """Write the picture as PNG."""
    rows = 2 + bool(results.curves)
    canvas = Canvas(_WIDTH, 110 + rows * (_ROW + 20))
    canvas.text(
        (_MARGIN, 18), "From a photograph to its classes: our server, its limit, and a tutorial's app", size=21
    )
    canvas.text((_MARGIN, 48), _subtitle(results), size=13, colour=_FAINT)
    _legend(canvas, results, 74)
    top, half, third = 110, (_WIDTH - 3 * _MARGIN) / 2, (_WIDTH - 4 * _MARGIN) / 3
    _throughput(canvas, results, (_MARGIN, top, _MARGIN + half, top + _ROW))
    _latency(canvas, results, (2 * _MARGIN + half, top, _WIDTH - _MARGIN, top + _ROW))
    top += _ROW + 20
    boxes = [(_MARGIN + n * (third + _MARGIN), top, (n + 1) * (third + _MARGIN), top + _ROW) for n in range(3)]
    _cpu(canvas, results, boxes[0])
    _memory(canvas, results, boxes[1])
    _start(canvas, results, boxes[2])
    if results.curves:
        top += _ROW + 20
        _curves(canvas, results, (_MARGIN, top, _WIDTH - _MARGIN, top + _ROW))
    canvas.save(path)


def _subtitle(results: Results) -> str:
    facts = results.facts
    return f"{facts['workload']}. {facts['machine']}. Medians and ranges; slices of each: {facts['rounds']}."


def _keys(results: Results, *, limit: bool = True) -> list[_Key]:
    names = (LIMIT, SERVER) if limit else (SERVER,)
    return [*((name, precision) for precision in results.precisions() for name in names), (BASELINE, "FP32")]


def _legend(canvas: Canvas, results: Results, y: float) -> None:
    x = float(_MARGIN)
    for key in _keys(results):
        canvas.rectangle((x, y, x + 14, y + 14), _COLOURS[key])
        x += 22 + canvas.text((x + 20, y + 7), _NAMES[key], size=13, anchor="lm") + 22


def _over_slices(results: Results, key: _Key, clients: int, value: Callable[[Slice], float]) -> Spread | None:
    return spread([value(entry) for entry in results.select(*key, clients)])


def _grouped(
    panel: Panel, groups: list[tuple[str, list[tuple[_Key, Spread | None]]]], form: str, *, inside: bool = False
) -> None:
    """Draw bars in groups, each with its median above or inside it and its range as a whisker."""
    room = (panel.right - panel.left) / max(1, len(groups))
    for number, (label, entries) in enumerate(groups):
        width = min(46.0, room * 0.86 / max(1, len(entries)))
        x = panel.left + room * (number + 0.5) - width * len(entries) / 2
        panel.below(panel.left + room * (number + 0.5), label)
        for key, found in entries:
            if found is not None:
                panel.canvas.rectangle((x + 1, panel.y(found.median), x + width - 1, panel.bottom), _COLOURS[key])
                if found.high > found.low:
                    panel.canvas.whisker(x + width / 2, panel.y(found.low), panel.y(found.high))
                if inside:
                    middle = (panel.y(found.median) + panel.bottom) / 2
                    panel.canvas.text(
                        (x + width / 2, middle), format(found.median, form), anchor="mm", colour="white"
                    )
                else:
                    above = panel.y(found.high) - 3
                    panel.canvas.text((x + width / 2, above), format(found.median, form), size=11, anchor="md")
            x += width


def _throughput(canvas: Canvas, results: Results, box: tuple[float, float, float, float]) -> None:
    groups = [
        (
            f"{clients} client{'s' if clients > 1 else ''}",
            [(key, _over_slices(results, key, clients, lambda entry: entry.throughput)) for key in _keys(results)],
        )
        for clients in results.clients()
    ]
    highest = max((found.high for _, entries in groups for _, found in entries if found), default=1.0)
    _grouped(Panel(canvas, box, title="Images a second (more is better)", top=highest * 1.05), groups, ".0f")


def _latency(canvas: Canvas, results: Results, box: tuple[float, float, float, float]) -> None:
    entries = [
        (clients, key, values)
        for clients in results.clients()
        for key in _keys(results, limit=False)
        if (values := _percentiles(results, key, clients)) is not None
    ]
    if not entries:
        return
    lowest = min(values[0] for _, _, values in entries) / 1.4
    highest = max(values[-1] for _, _, values in entries) * 1.4
    title = "Latency in ms: p50, p95 and p99, on a logarithmic scale (less is better)"
    panel = Panel(canvas, box, title=title, top=highest, lowest=lowest)
    keys = _keys(results, limit=False)
    room = (panel.right - panel.left) / len(results.clients())
    for number, clients in enumerate(results.clients()):
        panel.below(panel.left + room * (number + 0.5), f"{clients} client{'s' if clients > 1 else ''}")
        for clients_of, key, values in entries:
            if clients_of == clients:
                x = panel.left + room * (number + (keys.index(key) + 1) / (len(keys) + 1))
                _dumbbell(panel, x, values, _COLOURS[key])


def _percentiles(results: Results, key: _Key, clients: int) -> list[float] | None:
    reads: tuple[Callable[[Slice], float], ...] = (lambda e: e.p50, lambda e: e.p95, lambda e: e.p99)
    found = [_over_slices(results, key, clients, read) for read in reads]
    medians = [entry.median for entry in found if entry is not None]
    return medians if len(medians) == 3 and medians[0] > 0 else None


def _dumbbell(panel: Panel, x: float, values: list[float], colour: str) -> None:
    places = [panel.y(value) for value in values]
    panel.canvas.line([(x, places[0]), (x, places[-1])], colour, 4)
    for y, radius in zip(places, (5.5, 3.0, 4.0), strict=True):
        panel.canvas.dot((x, y), radius, colour)
    panel.canvas.text((x, places[0] + 8), _short(values[0]), size=11, anchor="ma")
    panel.canvas.text((x, places[-1] - 7), _short(values[-1]), size=11, anchor="md")


def _short(value: float) -> str:
    """Return three digits, but never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cpu(canvas: Canvas, results: Results, box: tuple[float, float, float, float]) -> None:
    clients = MAIN_CLIENTS if MAIN_CLIENTS in results.clients() else results.clients()[-1]
    entries = [
        (key, _over_slices(results, key, clients, lambda entry: entry.cpu_per_thousand)) for key in _keys(results)
    ]
    highest = max((found.high for _, found in entries if found), default=1.0)
    title = f"CPU seconds per 1,000 answers, {clients} clients"
    _grouped(Panel(canvas, box, title=title, top=highest * 1.05), [("", entries)], ".1f")


def _memory(canvas: Canvas, results: Results, box: tuple[float, float, float, float]) -> None:
    _single(
        canvas, results, box, "Memory after the load, PSS in MB", lambda found: (found.pss / 1e6,), bars.MEMORY_MB
    )


def _start(canvas: Canvas, results: Results, box: tuple[float, float, float, float]) -> None:
    imports = {
        precision: found.median + bars.START_SECONDS
        for precision in results.precisions()
        if (entry := results.footprint(SERVER, precision)) and (found := spread(entry.imports))
    }
    _single(canvas, results, box, "Start to first answer in s", lambda found: tuple(found.starts), imports)


def _single(
    canvas: Canvas,
    results: Results,
    box: tuple[float, float, float, float],
    title: str,
    values: Callable[..., tuple[float, ...]],
    bounds: dict[str, float],
) -> None:
    """Draw one bar for each server, with the line that ours has to stay under."""
    keys = _keys(results, limit=False)
    entries = [
        (key, spread(values(found)) if (found := results.footprint(*key)) is not None else None) for key in keys
    ]
    held = [bound for precision, bound in bounds.items() if precision in results.precisions()]
    highest = max([*(found.high for _, found in entries if found), *held, 0.1])
    panel = Panel(canvas, box, title=title, top=highest * 1.05)
    _grouped(panel, [("", [entry]) for entry in entries], ".3g", inside=True)
    room = (panel.right - panel.left) / len(keys)
    for number, (name, precision) in enumerate(keys):
        if name == SERVER and precision in bounds:
            left = panel.left + room * number + 6
            panel.bound(bounds[precision], f"bar {bounds[precision]:.3g}", left=left, right=left + room - 12)


def _curves(canvas: Canvas, results: Results, box: tuple[float, float, float, float]) -> None:
    highest = max(size for curve in results.curves for _, size in curve.points) / 1e6
    most = max(curve.points[-1][0] for curve in results.curves)
    title = f"Memory of our server over {most:,} answers, PSS in MB"
    panel = Panel(canvas, box, title=title, top=highest * 1.15)
    for curve in results.curves:
        points = [
            (panel.left + (panel.right - panel.left) * answers / most, panel.y(size / 1e6))
            for answers, size in curve.points
        ]
        canvas.line(points, _COLOURS[SERVER, curve.precision], 3)
        canvas.text((points[-1][0], points[-1][1] - 8), f"{curve.points[-1][1] / 1e6:.0f}", size=12, anchor="rd")
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        panel.below(panel.left + (panel.right - panel.left) * share, f"{round(most * share):,}")

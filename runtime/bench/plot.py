"""Draws the results as a picture: throughput and latency by clients, CPU, memory and start, memory curve.

Only the step that draws imports this module: matplotlib must not be loaded while servers are measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from runtime.bench import bars
from runtime.bench.plan import MAIN_CLIENTS
from runtime.bench.results import BASELINE, LIMIT, SERVER
from runtime.bench.statistics import Spread, spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    from runtime.bench.results import Footprint, Results, Slice

_INK, _FAINT, _GRID, _BOUND = "#202124", "#5f6368", "#e3e5e8", "#c5221f"
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
_GROUP_WIDTH = 0.86
_Key = tuple[str, str]
_Bars = list[tuple[_Key, Spread | None]]


def draw(results: Results, path: Path) -> None:
    """Write the picture as PNG."""
    rows = 2 + bool(results.curves)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, hspace=0.02, wspace=0.02)
    figure = Figure(figsize=(12.8, 1.1 + 3.6 * rows), dpi=100, layout=layout)
    figure.suptitle(
        "From a photograph to its classes: our server, its limit, and a tutorial's app", fontsize=15, color=_INK
    )
    places = figure.add_gridspec(rows + 1, 6, height_ratios=[0.06, *[1] * rows])
    head = figure.add_subplot(places[0, :])
    head.axis("off")
    head.set_title(_subtitle(results), fontsize=9, color=_FAINT)
    handles = [Patch(color=_COLOURS[key], label=_NAMES[key]) for key in _keys(results)]
    head.legend(handles=handles, loc="center", ncols=len(handles), frameon=False)
    _throughput(_axes(figure.add_subplot(places[1, :3]), "Images a second (more is better)"), results)
    latency = "Latency in ms: p50, p95 and p99, on a logarithmic scale (less is better)"
    _latency(_axes(figure.add_subplot(places[1, 3:]), latency), results)
    _cpu(_axes(figure.add_subplot(places[2, :2])), results)
    _memory(_axes(figure.add_subplot(places[2, 2:4]), "Memory after the load, PSS in MB"), results)
    _start(_axes(figure.add_subplot(places[2, 4:]), "Start to first response in s"), results)
    if results.curves:
        _curves(_axes(figure.add_subplot(places[3, :])), results)
    figure.savefig(path, format="png")


def _subtitle(results: Results) -> str:
    facts = results.facts
    return f"{facts['workload']}. {facts['machine']}. Medians and ranges; slices of each: {facts['rounds']}."


def _axes(axes: Axes, title: str = "") -> Axes:
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=_FAINT, labelsize=9)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    return axes


def _note(
    axes: Axes,
    at: tuple[float, float],
    text: str,
    *,
    offset: float = 3,
    side: Literal["center", "right"] = "center",
    color: str = _INK,
) -> None:
    """Write small text `offset` points above a point."""
    axes.annotate(text, at, (0, offset), textcoords="offset points", ha=side, fontsize=8, color=color)


def _keys(results: Results, *, limit: bool = True) -> list[_Key]:
    names = (LIMIT, SERVER) if limit else (SERVER,)
    return [*((name, precision) for precision in results.precisions() for name in names), (BASELINE, "FP32")]


def _over_slices(results: Results, key: _Key, clients: int, value: Callable[[Slice], float]) -> Spread | None:
    return spread([value(entry) for entry in results.select(*key, clients)])


def _label_clients(axes: Axes, results: Results) -> None:
    labels = [f"{clients} client{'s' if clients > 1 else ''}" for clients in results.clients()]
    axes.set_xticks(range(len(labels)), labels)


def _grouped(axes: Axes, groups: list[_Bars], form: str, *, inside: bool = False) -> None:
    """Draw bars in groups, each with its median above or inside it and its range as a whisker."""
    for number, entries in enumerate(groups):
        width = min(0.46, _GROUP_WIDTH / max(1, len(entries)))
        for index, (key, found) in enumerate(entries):
            if found is None:
                continue
            x = number + (index - (len(entries) - 1) / 2) * width
            median, low, high = found
            drawn = axes.bar(x, median, width * 0.95, color=_COLOURS[key])
            if high > low:
                whisker = [[median - low], [high - median]]
                axes.errorbar(x, median, whisker, ecolor=_INK, elinewidth=1.2, capsize=3)
            if inside:
                axes.bar_label(drawn, [format(median, form)], label_type="center", color="white", fontsize=11)
            else:
                _note(axes, (x, high), format(median, form))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.margins(y=0.08)


def _throughput(axes: Axes, results: Results) -> None:
    groups = [
        [(key, _over_slices(results, key, clients, lambda entry: entry.throughput)) for key in _keys(results)]
        for clients in results.clients()
    ]
    _grouped(axes, groups, ".0f")
    _label_clients(axes, results)


def _latency(axes: Axes, results: Results) -> None:
    keys = _keys(results, limit=False)
    axes.set_yscale("log")
    for number, clients in enumerate(results.clients()):
        for index, key in enumerate(keys):
            values = _percentiles(results, key, clients)
            if values is not None:
                _dumbbell(axes, number - 0.5 + (index + 1) / (len(keys) + 1), values, _COLOURS[key])
    axes.set_xlim(-0.5, len(results.clients()) - 0.5)
    axes.margins(y=0.12)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    _label_clients(axes, results)


def _percentiles(results: Results, key: _Key, clients: int) -> list[float] | None:
    reads: tuple[Callable[[Slice], float], ...] = (lambda e: e.p50, lambda e: e.p95, lambda e: e.p99)
    found = [_over_slices(results, key, clients, read) for read in reads]
    medians = [entry.median for entry in found if entry is not None]
    return medians if len(medians) == 3 and medians[0] > 0 else None


def _dumbbell(axes: Axes, x: float, values: list[float], colour: str) -> None:
    axes.plot([x, x], [values[0], values[-1]], color=colour, linewidth=4)
    axes.scatter([x] * len(values), values, [90, 28, 45], color=colour, zorder=3)
    _note(axes, (x, values[0]), _short(values[0]), offset=-16)
    _note(axes, (x, values[-1]), _short(values[-1]), offset=7)


def _short(value: float) -> str:
    """Return three significant digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _cpu(axes: Axes, results: Results) -> None:
    clients = MAIN_CLIENTS if MAIN_CLIENTS in results.clients() else results.clients()[-1]
    axes.set_title(f"CPU seconds per 1,000 responses, {clients} clients", loc="left", fontsize=11, color=_INK)
    entries = [
        (key, _over_slices(results, key, clients, lambda entry: entry.cpu_per_thousand)) for key in _keys(results)
    ]
    _grouped(axes, [entries], ".1f")
    axes.set_xticks([])


def _memory(axes: Axes, results: Results) -> None:
    _single(axes, results, lambda found: (found.pss / 1e6,), bars.MEMORY_MB)


def _start(axes: Axes, results: Results) -> None:
    imports = {
        precision: found.median + bars.START_SECONDS
        for precision in results.precisions()
        if (entry := results.footprint(SERVER, precision)) and (found := spread(entry.imports))
    }
    _single(axes, results, lambda found: tuple(found.starts), imports)


def _single(
    axes: Axes, results: Results, values: Callable[[Footprint], tuple[float, ...]], bounds: dict[str, float]
) -> None:
    """Draw one bar for each server, with the line of the bar that ours must pass."""
    keys = _keys(results, limit=False)
    measured = [(key, results.footprint(*key)) for key in keys]
    entries: _Bars = [(key, spread(values(found)) if found is not None else None) for key, found in measured]
    _grouped(axes, [[entry] for entry in entries], ".3g", inside=True)
    for number, (name, precision) in enumerate(keys):
        if name == SERVER and precision in bounds:
            bound = bounds[precision]
            axes.hlines(bound, number - 0.44, number + 0.44, color=_BOUND, linestyle="--", linewidth=1.3)
            _note(axes, (number + 0.44, bound), f"bar {bound:.3g}", side="right", color=_BOUND)
    axes.set_xticks([])


def _curves(axes: Axes, results: Results) -> None:
    most = max(curve.points[-1][0] for curve in results.curves)
    title = f"Memory of our server over {most:,} responses, PSS in MB"
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    for curve in results.curves:
        answers, sizes = zip(*((answers, size / 1e6) for answers, size in curve.points), strict=True)
        axes.plot(answers, sizes, color=_COLOURS[SERVER, curve.precision], linewidth=3)
        _note(axes, (answers[-1], sizes[-1]), f"{sizes[-1]:.0f}", offset=6, side="right")
    highest = max(size for curve in results.curves for _, size in curve.points) / 1e6
    axes.set_ylim(0, highest * 1.15)
    axes.margins(x=0.01)
    axes.set_xticks([round(most * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)])
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))

"""The command: `python -m runtime.bench` measures, prints a table, and writes `results.json` and `results.png`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.system import cgroup

from runtime.bench import against, bars, batching, measure, results, table, workload
from runtime.bench.command import run
from runtime.bench.plan import Options
from tools.paths import REPOSITORY
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Sequence

_OUT = REPOSITORY / "build" / "bench"
_QUICK = Options(clients=(1, 8), rounds=2, seconds=2.0, warmup=0.5, starts=1, memory_seconds=2.0)
_PACKAGES = ("onnxruntime", "pillow", "numpy", "uvicorn", "fastapi")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; returns 1 if a bar was missed with --assert, 2 if the measurement failed."""
    command = _parser().parse_args(arguments)
    compare = _compare_batches if command.batching else _compare_checkouts if command.against else _compare
    return run(lambda work: compare(command, work))


def _compare(command: argparse.Namespace, work: Path) -> int:
    out: Path = command.out
    if command.report:
        found = results.read(command.report)
    else:
        out.mkdir(parents=True, exist_ok=True)
        found = _measure(command, work)
        found.write(out / "results.json")
    return _report(found, out, judged=command.judge)


def _compare_batches(command: argparse.Namespace, work: Path) -> int:
    out: Path = command.out
    out.mkdir(parents=True, exist_ok=True)
    sizes = batching.sizes_of(command.batching)
    bench = _bench(command, work)
    batching.run(bench, sizes)
    bench.results.write(out / "batching.json")
    print(f"\n{batching.render(bench.results, sizes)}\n\n{out / 'batching.json'}")
    return 0


def _compare_checkouts(command: argparse.Namespace, work: Path) -> int:
    out: Path = command.out
    other = against.checkout(command.against)
    out.mkdir(parents=True, exist_ok=True)
    bench = _bench(command, work)
    against.run(bench, other)
    bench.results.write(out / "against.json")
    print(f"\n{against.render(bench.results)}\n\n{out / 'against.json'}")
    return 1 if command.judge and against.worse(bench.results) else 0


def _measure(command: argparse.Namespace, work: Path) -> results.Results:
    bench = _bench(command, work)
    say(f"about {bench.options.estimate(len(bench.workload.precisions)) / 60:.0f} minutes")
    bench.run()
    return bench.results


def _bench(command: argparse.Namespace, work: Path) -> measure.Bench:
    options = _options(command)
    if options.cpus:
        os.sched_setaffinity(0, options.cpus)
    prepared = workload.prepare(
        work, model=command.model, photographs=command.photographs, precisions=options.precisions
    )
    for precision in options.precisions:
        if precision not in prepared.precisions:
            say(
                f"skipping {precision}: {prepared.model} has no {workload.GRAPHS[precision]}. "
                "Create a folder that has one with `imageclassifier quantize`, and pass it with --model"
            )
    found = results.Results(facts=_facts(options, prepared, quick=command.quick))
    say(found.facts["workload"])
    say(f"{found.facts['machine']}; {found.facts['how']}")
    return measure.Bench(prepared, options, found, work)


def _options(command: argparse.Namespace) -> Options:
    options = _QUICK if command.quick else Options()
    named = {field.name for field in dataclasses.fields(Options)}
    given = {name: value for name, value in vars(command).items() if name in named and value is not None}
    if command.body is not None:
        given["form"] = command.body == "form"
    return dataclasses.replace(options, **given)


def _facts(options: Options, prepared: workload.Workload, *, quick: bool) -> dict[str, Any]:
    threads = cgroup.thread_count()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    body = "pictures in a form" if options.form else "ours gets the raw body, the baseline a form"
    shared = "load generator on its own CPUs" if options.generator_cpus else "load generator on the same CPUs"
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "workload": prepared.describe(),
        "pictures": prepared.picture_facts,
        "precisions_asked": list(options.precisions),
        "precisions": list(prepared.precisions),
        "machine": f"{_processor()}, CPUs: {threads}, Python {platform.python_version()}",
        "versions": versions,
        "how": f"{options.rounds} slices of {options.seconds:g} s each, {body}, {shared}",
        "threads": threads,
        "rounds": options.rounds,
        "quick": quick,
        "options": dataclasses.asdict(options),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _report(found: results.Results, out: Path, *, judged: bool) -> int:
    # matplotlib is imported only now: earlier, the servers would have shared pages with it.
    from runtime.bench import plot  # noqa: PLC0415

    print(f"\n{table.render(found)}\n")
    out.mkdir(parents=True, exist_ok=True)
    picture = out / "results.png"
    plot.draw(found, picture)
    print(f"{out / 'results.json'}\n{picture}")
    if not judged:
        return 0
    all_bars = bars.judge(found)
    print("\n" + "\n".join(bar.line() for bar in all_bars))
    missed = sum(bar.verdict == "MISSED" for bar in all_bars)
    unknown = sum(bar.verdict == "not judged" for bar in all_bars)
    quick = " (a quick run: too short to be meaningful)" if found.facts.get("quick") else ""
    print(f"\n{len(all_bars) - missed - unknown} held, {missed} missed, {unknown} not judged{quick}")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m runtime.bench", description=__doc__)
    add = parser.add_argument
    workload.add_options(parser)
    add("--precision", dest="precisions", type=_precisions, metavar="LIST", help="FP32, INT8 or both: FP32,INT8")
    add("--clients", type=_numbers, metavar="LIST", help="for example 1,8,50,200")
    add("--rounds", type=_positive, metavar="N", help="slices of each target under each load (default: 7)")
    add("--seconds", type=_seconds, metavar="S", help="length of a slice (default: 6)")
    add("--warmup", type=_seconds, metavar="S", help="warm-up before each slice (default: 1)")
    add(
        "--quick", action="store_true", help="a short run to see that everything works; figures are not meaningful"
    )
    add("--starts", type=_positive, metavar="N", help="starts of each server (default: 5)")
    add("--memory-seconds", type=_seconds, metavar="S", help="load before memory is read (default: 10)")
    add("--memory-curve", type=_positive, metavar="REQUESTS", help="also measure memory over that many requests")
    add(
        "--body",
        choices=("form", "raw"),
        help="request body for our server; the baseline always gets a form (default: form)",
    )
    add(
        "--baseline",
        dest="baseline_style",
        choices=("best", "async", "sync"),
        help="the baseline's endpoint (default: best)",
    )
    add(
        "--batching",
        type=_batch_sizes,
        metavar="LIST",
        help="only compare our server with these batch sizes, for example 1,4,8,16",
    )
    add(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="only compare our server with the one of another checkout, in which `make setup` has run",
    )
    add("--impatient", action="store_true", default=None, help="clients do not wait for Retry-After")
    add("--cpus", type=_numbers, metavar="LIST", help="run everything on these CPUs, for example 0,1")
    add("--generator-cpus", type=_numbers, metavar="LIST", help="run the load generator on these CPUs instead")
    add(
        "--out",
        type=Path,
        default=_OUT,
        metavar="FOLDER",
        help="folder for results.json and results.png (default: build/bench)",
    )
    add("--report", type=Path, metavar="FILE", help="measure nothing, show this results.json")
    add("--assert", dest="judge", action="store_true", help="check the bars; exit status 1 if one is missed")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(part) for part in text.split(",")}))
    if not numbers or numbers[0] < 0 or numbers[-1] > 10_000:
        raise argparse.ArgumentTypeError(f"not a list of integers up to 10000: {text!r}")
    return numbers


def _batch_sizes(text: str) -> tuple[int, ...]:
    numbers = _numbers(text)
    if not 1 <= numbers[0] <= numbers[-1] <= 64:
        raise argparse.ArgumentTypeError(f"not a list of integers from 1 to 64: {text!r}")
    return numbers


def _precisions(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip().upper() for part in text.split(",")))
    if not set(found) <= set(workload.GRAPHS):
        raise argparse.ArgumentTypeError(f"FP32, INT8 or FP32,INT8, not {text!r}")
    return found


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 3600:
        raise argparse.ArgumentTypeError("from 0 to 3600 seconds")
    return number


if __name__ == "__main__":
    sys.exit(main())

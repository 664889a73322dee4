"""Made-up results for the tests of bars, tables and plots, and a small workload."""

from pathlib import Path
from typing import Any

from imageclassifier_runtime.model import folder as model_folder

from runtime.bench.results import BASELINE, LIMIT, SERVER, Agreement, Curve, Footprint, Results, Slice


def small_workload(folder: Path) -> list[str]:
    """Return the arguments for the bundled model, and an empty folder of photographs: pictures are generated."""
    (folder / "none").mkdir()
    bundled = model_folder.bundled(model_folder.BUNDLED_NAME)
    return ["--model", str(bundled), "--photographs", str(folder / "none")]


def make_slice(target: str, precision: str, clients: int, number: int = 0, **changes: Any) -> Slice:
    """Return one second with 100 responses of the target, with a p50 of 10 ms and 10 CPU seconds per 1,000."""
    values: dict[str, Any] = {
        "seconds": 1.0,
        "answers": 100,
        "statuses": {"200": 100},
        "p50": 10.0,
        "p95": 11.0,
        "p99": 12.0,
        "cpu_seconds": 1.0,
        "generator_cpu_seconds": 0.01,
    }
    return Slice(target=target, precision=precision, clients=clients, round=number, **(values | changes))


def good_results(precisions: tuple[str, ...] = ("FP32",), rounds: int = 3) -> Results:
    """Return the results of a run that clearly holds every bar."""
    results = Results(
        facts={
            "workload": "a model (FP32); 3 generated pictures, 500x375 JPEG, 100 KB each",
            "machine": "a processor, 2 CPUs, Python 3",
            "how": "3 slices of 1 s, form, load generator on the same CPUs",
            "rounds": rounds,
            "precisions_asked": list(precisions),
            "quick": False,
        },
        ceiling=make_slice("null", "-", 50, answers=20_000),
    )
    for clients in (1, 8, 50, 200):
        for number in range(rounds):
            for precision in precisions:
                limit = 100 if precision == "FP32" else 200
                results.slices += [
                    make_slice(LIMIT, precision, clients, number, answers=limit),
                    make_slice(SERVER, precision, clients, number, answers=limit - 10 + number),
                ]
            results.slices.append(make_slice(BASELINE, "FP32", clients, number, answers=60, p50=15.0, p99=40.0))
    for precision in precisions:
        results.footprints.append(
            Footprint(
                target=SERVER,
                precision=precision,
                starts=[0.8, 0.9],
                imports=[0.7, 0.7],
                pss=120_000_000,
                rss=140_000_000,
                answers=900,
            )
        )
        points = [(step * 10_000, 120_000_000 + step % 2 * 100_000) for step in range(11)]
        results.curves.append(Curve(precision=precision, points=points))
        results.agreements.append(Agreement(target=SERVER, precision=precision, same=63, pictures=63))
    results.footprints.append(
        Footprint(target=BASELINE, precision="FP32", starts=[0.9], imports=[0.7], pss=1, rss=1, answers=1)
    )
    return results

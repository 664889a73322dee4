"""Runs the measurement: each server alone first, then all in alternating slices, then the memory curve."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.bench import procfs, servers
from runtime.bench.child import run_module
from runtime.bench.errors import BenchError
from runtime.bench.jobs import Limit, LimitJob, Load, LoadJob
from runtime.bench.plan import MAIN_CLIENTS, Options, Target, order, targets
from runtime.bench.results import BASELINE, LIMIT, SERVER, Agreement, Curve, Footprint, Results, Slice
from tools.steps import Progress, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.bench.workload import Workload

_CURVE_POINTS = 50
_SMALLEST_PORTION = 60
_NO_BOUND = 1_000_000_000
_CEILING_SECONDS = 3.0
# Between the load and the memory reading, so that memory released after a load is not counted.
_REST_SECONDS = 1.0
# Timeout of a portion of the curve, which ends after a number of responses.
_PORTION_SECONDS = 600.0
_GRACE_SECONDS = 180.0
# The third-party imports of our server and of the baseline, for the time of a bare import.
SERVER_IMPORTS = (
    *("onnxruntime", "numpy", "PIL.Image", "PIL.BmpImagePlugin", "PIL.GifImagePlugin", "PIL.JpegImagePlugin"),
    *("PIL.PngImagePlugin", "PIL.WebPImagePlugin", "prometheus_client", "fastapi", "starlette.responses"),
    *("uvicorn", "uvicorn.protocols.http.httptools_impl", "httptools", "uvloop"),
)
BASELINE_IMPORTS = (
    *("onnxruntime", "numpy", "PIL.Image", "PIL.JpegImagePlugin", "fastapi", "python_multipart"),
    *("uvicorn", "uvicorn.protocols.http.httptools_impl", "httptools", "uvloop"),
)


class Bench:
    """One run over one workload, which fills `results`."""

    def __init__(self, workload: Workload, options: Options, results: Results, work: Path) -> None:
        self.workload = workload
        self.options = options
        self.results = results
        self.logs = work / "logs"
        self.logs.mkdir()
        self._picture = min(workload.pictures.glob("*.jpg")).read_bytes()

    def run(self) -> None:
        """Measure everything; raises BenchError."""
        style = self._style_and_ceiling()
        self._footprints(style)
        self._slices(style)
        if self.options.memory_curve:
            for precision in self.workload.precisions:
                self._curve(precision)

    def _style_and_ceiling(self) -> str:
        """Measure the generator's ceiling, and find the faster of the baseline's endpoints."""
        with servers.Server(servers.null(), self.logs) as server:
            load = self.load(server, MAIN_CLIENTS, seconds=min(_CEILING_SECONDS, self.options.seconds))
        self.results.ceiling = slice_of(Target("null", "-"), MAIN_CLIENTS, 0, load)
        ceiling = self.results.ceiling.throughput
        say(f"load generator's ceiling: {ceiling:.0f} requests/s to a null server")
        if self.options.baseline_style != "best":
            self.results.facts["baseline_style"] = self.options.baseline_style
            return self.options.baseline_style
        rates = {}
        for style in ("async", "sync"):
            with servers.Server(servers.baseline(self.workload, style=style), self.logs) as server:
                server.classify(self._picture)
                load = self.load(server, MAIN_CLIENTS)
                rates[style] = load.answers / load.seconds
        best = max(rates, key=lambda style: rates[style])
        measured = ", ".join(f"{style} def {rate:.0f}/s" for style, rate in rates.items())
        say(f"baseline's endpoint: {measured}; comparing with {best} def")
        self.results.facts["baseline_style"] = best
        return best

    def _kind(self, target: Target, style: str) -> servers.Kind:
        if target.name == SERVER:
            return servers.ours(self.workload, target.precision)
        return servers.baseline(self.workload, style=style)

    def _footprints(self, style: str) -> None:
        """Measure each server while no other runs: PSS would divide the pages that two of them share."""
        for target in targets(self.workload.precisions):
            if target.name == LIMIT:
                continue
            starts, imports = [], []
            self._import_seconds(target.name)  # fills the page cache for both
            for attempt in range(self.options.starts):
                imports.append(self._import_seconds(target.name))
                with servers.Server(self._kind(target, style), self.logs) as server:
                    server.classify(self._picture)
                    starts.append(time.perf_counter() - server.started_at)
                    if attempt < self.options.starts - 1:
                        continue
                    load, memory = self.memory_after_load(server)
            entry = Footprint(
                target=target.name,
                precision=target.precision,
                starts=starts,
                imports=imports,
                pss=memory.pss,
                rss=memory.rss,
                answers=load.answers,
            )
            self.results.footprints.append(entry)
            say(
                f"{target.name} {target.precision} alone: {min(starts):.2f} s to the first response, "
                f"{memory.pss / 1e6:.0f} MB PSS after {load.answers} responses"
            )

    def _import_seconds(self, target: str) -> float:
        return import_seconds(SERVER_IMPORTS if target == SERVER else BASELINE_IMPORTS, Path(sys.executable))

    def _slices(self, style: str) -> None:
        """Run every target in turn, round after round; servers keep running idle between their turns."""
        all_targets = targets(self.workload.precisions)
        with ExitStack() as stack:
            running = {
                target: stack.enter_context(servers.Server(self._kind(target, style), self.logs))
                for target in all_targets
                if target.name != LIMIT
            }
            self._compare_classes(running)
            self.alternate(all_targets, running)

    def alternate(self, all_targets: list[Target], running: Mapping[Target, servers.Server]) -> None:
        """Add a slice of each target under each load to the results, round after round; raises BenchError.

        running: the server of each target but the limit.
        """
        options = self.options
        total = options.rounds * len(options.clients) * len(all_targets)
        progress = Progress()
        for clients in options.clients:
            for number in range(options.rounds):
                for target in order(all_targets, number):
                    entry = self._slice(target, running.get(target), clients, number)
                    self.results.slices.append(entry)
                    done = len(self.results.slices)
                    progress.show(
                        f"slice {done} of {total}: {target.name} {target.precision}, {clients} clients: "
                        f"{entry.throughput:.1f}/s, p50 {entry.p50:.0f} ms, p99 {entry.p99:.0f} ms"
                    )
        progress.close()

    def _slice(self, target: Target, server: servers.Server | None, clients: int, number: int) -> Slice:
        if server is not None:
            return slice_of(target, clients, number, self.load(server, clients))
        done = self._limit(target.precision, alone=clients == 1)
        return Slice(
            target=target.name,
            precision=target.precision,
            clients=clients,
            round=number,
            seconds=done.seconds,
            answers=done.answers,
            statuses={"200": done.answers},
            p50=done.p50,
            p95=done.p95,
            p99=done.p99,
            cpu_seconds=done.cpu_seconds,
            generator_cpu_seconds=0.0,
        )

    def _compare_classes(self, running: dict[Target, servers.Server]) -> None:
        """Check that the servers return the baseline's classes, so that none is fast but wrong."""
        pictures = [file.read_bytes() for file in sorted(self.workload.pictures.glob("*.jpg"))]
        top1 = {
            target: [server.classify(picture)[0]["class_id"] for picture in pictures]
            for target, server in running.items()
        }
        expected = next(answers for target, answers in top1.items() if target.name == BASELINE)
        for target, answers in top1.items():
            if target.name == BASELINE:
                continue
            served = running[target].get("/api/v1/model/info").get("precision")
            if served != target.precision:
                raise BenchError(f"the server was configured for {target.precision} but serves {served}")
            same = sum(one == other for one, other in zip(answers, expected, strict=True))
            self.results.agreements.append(
                Agreement(target=target.name, precision=target.precision, same=same, pictures=len(expected))
            )
            say(f"{target.name} {target.precision}: {same} of {len(expected)} pictures have the baseline's class")

    def _curve(self, precision: str) -> None:
        """Measure one server's memory over many requests, while no other runs."""
        total = self.options.memory_curve
        portion = max(_SMALLEST_PORTION, total // _CURVE_POINTS)
        points, answers = [], 0
        progress = Progress()
        with servers.Server(servers.ours(self.workload, precision), self.logs) as server:
            self.load(server, MAIN_CLIENTS)
            points.append((0, procfs.memory(server.pid).pss))
            while answers < total:
                load = self.load(server, MAIN_CLIENTS, seconds=_PORTION_SECONDS, warmup=0.0, max_answers=portion)
                if not load.answers:
                    raise BenchError(f"no more responses after {answers}\n{server.log_tail()}")
                answers += load.answers
                points.append((answers, procfs.memory(server.pid).pss))
                progress.show(f"memory curve {precision}: {answers} of {total}, {points[-1][1] / 1e6:.1f} MB")
        progress.close()
        self.results.curves.append(Curve(precision=precision, points=points))

    def load(
        self,
        server: servers.Server,
        clients: int,
        *,
        seconds: float | None = None,
        warmup: float | None = None,
        max_answers: int = _NO_BOUND,
    ) -> Load:
        """Run a load with that many clients on a server and return its result; raises BenchError."""
        options = self.options
        job = LoadJob(
            port=server.port,
            path=server.kind.path,
            pictures=str(self.workload.pictures),
            clients=clients,
            seconds=options.seconds if seconds is None else seconds,
            warmup=options.warmup if warmup is None else warmup,
            max_answers=max_answers,
            form=options.form or not server.kind.name.startswith(SERVER),
            impatient=options.impatient,
            server_pid=server.pid,
            cpus=options.generator_cpus,
        )
        server.check_alive()
        load = Load(**_job("runtime.bench.loadgen", job))
        server.check_alive()
        return load

    def memory_after_load(self, server: servers.Server) -> tuple[Load, procfs.Memory]:
        """Run the load before memory is read, and return it with the memory a moment later; raises BenchError."""
        load = self.load(server, MAIN_CLIENTS, seconds=self.options.memory_seconds)
        time.sleep(_REST_SECONDS)
        return load, procfs.memory(server.pid)

    def _limit(self, precision: str, *, alone: bool) -> Limit:
        threads = self.results.facts["threads"]
        job = LimitJob(
            folder=str(self.workload.folder),
            graph=str(self.workload.graph(precision)),
            pictures=str(self.workload.pictures),
            loops=1 if alone else threads,
            session_threads=threads if alone else 1,
            seconds=self.options.seconds,
            warmup=self.options.warmup,
        )
        return Limit(**_job("runtime.bench.limit", job))


def import_seconds(names: Sequence[str], python: Path) -> float:
    """Return the time in which a new process of `python` imports these modules and exits; raises BenchError."""
    command = [str(python), "-c", f"import {', '.join(names)}"]
    began = time.perf_counter()
    done = subprocess.run(command, env=servers.environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"the bare import failed:\n{done.stderr.strip()}")
    return time.perf_counter() - began


def slice_of(target: Target, clients: int, number: int, load: Load) -> Slice:
    """Return the record of a load on one target in round `number`."""
    return Slice(
        target=target.name,
        precision=target.precision,
        clients=clients,
        round=number,
        seconds=load.seconds,
        answers=load.answers,
        statuses=load.statuses,
        p50=load.p50,
        p95=load.p95,
        p99=load.p99,
        cpu_seconds=load.server_cpu_seconds,
        generator_cpu_seconds=load.generator_cpu_seconds,
        unfinished=load.unfinished,
    )


def _job(module: str, job: LoadJob | LimitJob) -> dict[str, Any]:
    """Run one job in a separate process and return its result."""
    stdin = json.dumps(dataclasses.asdict(job))
    return run_module(module, [], seconds=job.seconds + _GRACE_SECONDS, stdin=stdin)

"""Searches for the best quantization settings: each candidate is converted, run and timed.

The choice is by the divergence on the calibration pictures. The evaluation pictures have no part in the choice, so
that the agreement measured with them is unbiased.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import ModelError
from imageclassifier_runtime.inference.session import open_session
from imageclassifier_runtime.quantize import judge, settings
from imageclassifier_runtime.quantize.convert import convert, quantizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import onnx

    from imageclassifier_runtime.inference.session import Session
    from imageclassifier_runtime.quantize.judge import Agreement, FloatArray, Speed
    from imageclassifier_runtime.quantize.pictures import Prepared
    from imageclassifier_runtime.quantize.ranges import Histogram
    from imageclassifier_runtime.quantize.settings import QuantSettings

# A layer that stays in float32 costs time: it must reduce the divergence by this share to be worth it.
_FLOAT_LAYER_PRICE = 0.1
# Number types run in different kernels, whose speeds differ by half or more. Up to this factor it is timing noise.
_TYPES_SLACK = 1.15


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """Settings that were tried, and their measurements."""

    settings: QuantSettings
    graph: Path
    divergence: float
    agreement: Agreement
    speed: Speed

    @property
    def cost(self) -> float:
        """The cost that the choice minimises."""
        return self.divergence * (1 + _FLOAT_LAYER_PRICE * len(self.settings.kept_float))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """The shared inputs of all candidates."""

    prepared: onnx.ModelProto
    histograms: Mapping[str, Histogram]
    fp32: Session
    calibration: Prepared
    judging: Prepared
    workspace: Path


def choose(candidates: Sequence[Candidate], min_speedup: float, *, slack: float = math.inf) -> Candidate | None:
    """Return the candidate closest to fp32 among those that are fast enough, or None.

    Fast enough is `min_speedup` times as fast as fp32, and at most `slack` times as slow as the fastest. With a
    `min_speedup` of 0 speed is ignored, and the choice is reproducible; other processors may round differently.
    """
    fast = [candidate for candidate in candidates if candidate.speed.gain >= min_speedup]
    if min_speedup and fast:
        best_gain = max(candidate.speed.gain for candidate in fast)
        fast = [candidate for candidate in fast if candidate.speed.gain * slack >= best_gain]
    return min(fast, key=lambda candidate: candidate.cost, default=None)


def search(
    material: Material, *, min_speedup: float, report: Callable[[str], None]
) -> tuple[Candidate | None, list[Candidate]]:
    """Return the chosen candidate, None if none is fast enough, and all that work, in order.

    A greedy search in three steps: number types, ranges, layers in float32. Each step keeps the best settings of
    the one before.
    """
    trials = _Trials(material, report)
    best: Candidate | None = None
    start = settings.QuantSettings()
    steps = (
        (settings.types, _TYPES_SLACK),
        (settings.activation_ranges, math.inf),
        (settings.float_layers, math.inf),
    )
    for alternatives, slack in steps:
        options = alternatives(best.settings if best else start)
        tried = [trials.run(option) for option in options if quantizes(material.prepared, option)]
        best = choose([candidate for candidate in tried if candidate is not None], min_speedup, slack=slack)
        if best is None:
            break
    return best, [candidate for candidate in trials.done.values() if candidate is not None]


class _Trials:
    """Tries settings, each once."""

    def __init__(self, material: Material, report: Callable[[str], None]) -> None:
        self._material = material
        self._report = report
        self._calibration = judge.probabilities(material.fp32, material.calibration.batch)
        self._judging = judge.probabilities(material.fp32, material.judging.batch)
        self.done: dict[QuantSettings, Candidate | None] = {}

    def run(self, option: QuantSettings) -> Candidate | None:
        """Return the candidate for these settings, None if they do not work for this graph."""
        if option not in self.done:
            try:
                self.done[option] = candidate = self._try(option)
            except ModelError as error:
                self.done[option] = None
                self._report(f"{option}: does not work for this graph: {error.message}")
            else:
                self._report(
                    f"{option}: divergence {candidate.divergence:.5f}, {candidate.speed.gain:.2f} times as fast"
                )
        return self.done[option]

    def _try(self, option: QuantSettings) -> Candidate:
        material = self._material
        graph = material.workspace / f"candidate{len(self.done)}.onnx"
        model = convert(material.prepared, material.histograms, option)
        graph.write_bytes(model.SerializeToString(deterministic=True))
        session = open_session(graph, input_size=material.fp32.input_size, threads=1)
        return Candidate(
            settings=option,
            graph=graph,
            divergence=self._divergence(session, material.calibration.batch),
            agreement=judge.agreement(
                self._judging,
                judge.probabilities(session, material.judging.batch),
                [picture.label for picture in material.judging.pictures],
            ),
            speed=judge.speed(material.fp32, session, material.judging.batch[:1]),
        )

    def _divergence(self, session: Session, batch: FloatArray) -> float:
        return judge.divergence(self._calibration, judge.probabilities(session, batch))

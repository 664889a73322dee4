"""Quantization settings, and the alternatives that the search tries."""

from __future__ import annotations

import dataclasses

from imageclassifier_runtime.quantize import ranges

FIRST, LAST = "first layer", "last layer"


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantSettings:
    """Settings of one quantization: types, how the ranges of activations are found, and layers in float32.

    `reduce_range` gives weights 7 bits: processors without VNNI add pairs of products in 16 bits, which can
    overflow with 8.
    """

    ranges: str = "percentile 99.99"
    activations: str = "uint8"
    weights: str = "int8"
    per_channel: bool = True
    reduce_range: bool = False
    kept_float: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the settings in one line of a table."""
        parts = [
            f"{self.activations} x {self.weights}",
            "per channel" if self.per_channel else "per tensor",
            *(["7-bit weights"] if self.reduce_range else []),
            self.ranges,
            *([f"{' and '.join(self.kept_float)} in float32"] if self.kept_float else []),
        ]
        return ", ".join(parts)

    def to_dict(self) -> dict[str, object]:
        """Return the settings as JSON has them."""
        return {**dataclasses.asdict(self), "kept_float": list(self.kept_float)}


def types(start: QuantSettings) -> list[QuantSettings]:
    """Return the ways to represent numbers: these decide the speed."""
    return [
        start,
        dataclasses.replace(start, activations="int8"),
        dataclasses.replace(start, reduce_range=True),
        dataclasses.replace(start, weights="uint8"),
        dataclasses.replace(start, per_channel=False),
    ]


def activation_ranges(best: QuantSettings) -> list[QuantSettings]:
    """Return the ways to find the ranges of activations, which cost nothing at run time."""
    return [dataclasses.replace(best, ranges=method) for method in ranges.METHODS]


def float_layers(best: QuantSettings) -> list[QuantSettings]:
    """Return the ways to leave the two layers that are most often sensitive in float32."""
    return [dataclasses.replace(best, kept_float=kept) for kept in ((), (FIRST,), (LAST,), (FIRST, LAST))]

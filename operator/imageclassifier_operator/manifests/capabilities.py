"""What the API server offers, as far as it changes what is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The best version of each API that the server offers, and which optional ones are there."""

    autoscaling_version: str = "autoscaling/v2"
    service_monitors: bool = True

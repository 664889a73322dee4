"""What the API server offers, as far as it changes what is built."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """Which optional APIs the server offers."""

    service_monitors: bool = True

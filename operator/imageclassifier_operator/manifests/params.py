"""The one value that every builder takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier, OperatorConfig, Spec


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What the API server offers, as far as it changes what is built: which optional APIs it serves."""

    service_monitors: bool = True


@dataclass(frozen=True, kw_only=True)
class Params:
    """All that a manifest depends on: object, operator configuration, capabilities of the API server."""

    ic: ImageClassifier
    config: OperatorConfig
    capabilities: Capabilities

    @property
    def spec(self) -> Spec:
        """The desired state of the object."""
        return self.ic.spec

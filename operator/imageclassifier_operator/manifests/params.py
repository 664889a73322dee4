"""The parameter of the functions that build manifests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageclassifier_operator.api import ImageClassifier, OperatorConfig, Spec


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The optional APIs that the API server serves. A manifest can depend on them."""

    service_monitors: bool = True


@dataclass(frozen=True, kw_only=True)
class Params:
    """The input of every manifest: the ImageClassifier (`ic`), the operator's configuration, the capabilities."""

    ic: ImageClassifier
    config: OperatorConfig
    capabilities: Capabilities

    @property
    def spec(self) -> Spec:
        """The desired state of the ImageClassifier."""
        return self.ic.spec

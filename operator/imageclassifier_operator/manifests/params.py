"""The parameter of the functions that build manifests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imageclassifier_operator.api import ImageClassifier, OperatorConfig, Spec


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The API server's properties that a manifest can depend on.

    kubernetes: its version, major and minor; an older one drops fields that it does not know.
    The others are the optional APIs that it serves.
    """

    kubernetes: tuple[int, int] = (1, 37)
    service_monitors: bool = True
    http_routes: bool = True


@dataclass(frozen=True, kw_only=True)
class Params:
    """The input of every manifest: the ImageClassifier (`ic`), the operator's configuration, the capabilities.

    template: the pod template of the accepted revision, which the pods have; None if there is none yet.
    """

    ic: ImageClassifier
    config: OperatorConfig
    capabilities: Capabilities
    template: Mapping[str, Any] | None = None

    @property
    def spec(self) -> Spec:
        """The desired state of the ImageClassifier."""
        return self.ic.spec

    def too_old(self, field: str, *, since: tuple[int, int]) -> str | None:
        """Return a sentence about a field that the API server would drop, None if its version knows it."""
        version = self.capabilities.kubernetes
        if version >= since:
            return None
        needed, present = (f"{major}.{minor}" for major, minor in (since, version))
        return f"{field} is not applied: it needs Kubernetes {needed}, this is {present}"

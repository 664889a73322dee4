"""State shared by the parts of a running server."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from imageclassifier_runtime.auth.key_files import KeyFiles
    from imageclassifier_runtime.cache.results import ResultCache
    from imageclassifier_runtime.inference.pipeline import Classifier
    from imageclassifier_runtime.scheduling.admission import Admission
    from imageclassifier_runtime.scheduling.batching import Batcher
    from imageclassifier_runtime.settings.commands import ServeSettings
    from imageclassifier_runtime.telemetry.metrics import Metrics
    from imageclassifier_runtime.telemetry.tracing import Tracing

Phase = Literal["ok", "starting", "draining"]


@dataclasses.dataclass
class Lifecycle:
    """The lifecycle phase of the process."""

    ready: bool = False
    draining: bool = False
    stopping: bool = False

    @property
    def up(self) -> bool:
        """Return whether the server accepts requests."""
        return self.ready and not self.draining

    @property
    def state(self) -> Phase:
        """Return the state as one word."""
        if self.stopping or self.draining:
            return "draining"
        return "ok" if self.ready else "starting"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerState:
    """Everything a handler needs; created once. `batcher` is None if batching is off."""

    settings: ServeSettings
    classifier: Classifier
    admission: Admission
    metrics: Metrics
    lifecycle: Lifecycle
    tracing: Tracing | None = None
    keys: KeyFiles | None = None
    cache: ResultCache | None = None
    batcher: Batcher | None = None

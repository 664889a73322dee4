"""Classifies in this process, with the same stages and limits as the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.classify_command.problem import Classification, FailedError
from imageclassifier_runtime.errors import RequestError
from imageclassifier_runtime.inference import decode, image_headers
from imageclassifier_runtime.inference.pipeline import Classifier
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.request.body import too_many_bytes
from imageclassifier_runtime.system import cgroup

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.commands import ServeSettings


class LocalModel:
    """A loaded model folder; raises ModelError if it cannot be served."""

    def __init__(self, settings: ServeSettings) -> None:
        model = model_folder.load(
            model_folder.or_bundled(settings.model_dir), name=settings.model_name, precision=settings.precision
        )
        decode.configure(settings.max_image_pixels)
        self._classifier = Classifier.load(model, threads=settings.threads or cgroup.thread_count())
        self._settings = settings
        self.max_bytes = settings.max_image_bytes

    def classify(self, data: bytes, top_k: int) -> Classification:
        """Return the `top_k` most likely classes; raises FailedError."""
        settings, info = self._settings, self._classifier.model.info
        started = time.perf_counter()
        try:
            if len(data) > self.max_bytes:
                raise too_many_bytes(self.max_bytes)
            header = image_headers.read(data)
            image_headers.check_limits(
                header, max_pixels=settings.max_image_pixels, max_side=settings.max_image_side
            )
            outcome = self._classifier.classify(header, top_k, is_only_request=lambda: True)
        except RequestError as error:
            raise FailedError(error.detail) from error
        seconds = {**outcome.seconds, "total": time.perf_counter() - started}
        return {
            "predictions": [prediction._asdict() for prediction in outcome.predictions],
            "model": {"name": info.name, "sha256": info.sha256},
            "timings_ms": {stage: round(1000 * value, 3) for stage, value in seconds.items()},
        }

"""Computes cache keys: a digest of the image's bytes and of everything else that affects its scores.

SHA-256, because with two images of the same digest a client could get one classified as the other. Among equally
strong digests it takes the least CPU time on processors with instructions for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import PIL

from imageclassifier_runtime import __version__

if TYPE_CHECKING:
    from imageclassifier_runtime.inference.image_headers.base import Data
    from imageclassifier_runtime.model.folder import ModelFolder
    from imageclassifier_runtime.settings.commands import ServeSettings

# Increase this when a change of the code can change the scores of an image.
_FORMAT = 1
# The number of bytes hashed on the event loop without a break: less than a millisecond.
_PIECE = 512 * 1024


class Keys:
    """Computes the keys of one server."""

    def __init__(self, model: ModelFolder, settings: ServeSettings) -> None:
        # The limits are part of the key, so that results of servers with higher limits are not used here. The
        # number of requested classes is not: the cached scores serve any number.
        facts = {
            "format": _FORMAT,
            "graph_sha256": model.info.graph_sha256,
            "precision": model.info.precision,
            "preprocessing": json.loads(model.preprocessing.to_json()),
            "max_image_pixels": settings.max_image_pixels,
            "max_image_side": settings.max_image_side,
            "software": [__version__, PIL.__version__, np.__version__, onnxruntime.__version__],
        }
        document = json.dumps(facts, sort_keys=True).encode()
        self._prefix = hashlib.sha256(document + b"\0")

    async def of(self, image: Data) -> bytes:
        """Return the 32-byte key of an image file; other tasks run between the pieces of a large one."""
        digest = self._prefix.copy()
        if len(image) <= _PIECE:
            digest.update(image)
            return digest.digest()
        with memoryview(image) as view:
            for start in range(0, len(image), _PIECE):
                digest.update(view[start : start + _PIECE])
                await asyncio.sleep(0)
        return digest.digest()

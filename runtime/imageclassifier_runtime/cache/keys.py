"""What a result is kept under: a digest of the image's bytes and of all that makes its scores.

SHA-256, because whoever could make two images of one digest could have one answered with the other's classes; and
of the digests of that strength it takes the least CPU time where the processor has instructions for it.
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

# To be raised when the same image can get other scores by a change of the code.
_FORMAT = 1
# Hashed at a stretch on the event loop: under a millisecond.
_PIECE = 512 * 1024


class Keys:
    """Makes the keys of one server."""

    def __init__(self, model: ModelFolder, settings: ServeSettings) -> None:
        # The bounds are in it so that no other server's answer gets an image past those of this one. The number of
        # classes asked for is not: scores are kept, from which any number of classes is named.
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
        self._before = hashlib.sha256(document + b"\0")

    async def of(self, image: Data) -> bytes:
        """Return the key of an image file, 32 bytes; large ones in pieces, with others' work in between."""
        digest = self._before.copy()
        if len(image) <= _PIECE:
            digest.update(image)
            return digest.digest()
        with memoryview(image) as view:
            for start in range(0, len(image), _PIECE):
                digest.update(view[start : start + _PIECE])
                await asyncio.sleep(0)
        return digest.digest()

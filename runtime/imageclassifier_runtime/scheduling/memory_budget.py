"""Divides the container's memory limit into two pools: for request bodies and for pixels in flight.

The operator accepts a spec if the memory limit is at least `needed`. The memory left after the process with its
model and the margin is divided so that one image of the largest size always fits. The cache's memory is never
part of a pool, even if the cache is empty.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.scheduling.admission import Sizes
from imageclassifier_runtime.settings.fields import MIB

if TYPE_CHECKING:
    from imageclassifier_runtime.settings.commands import ServeSettings

# For the process with its model, and for the margin below.
SERVER_BYTES = 160 * MIB
# Bytes per pixel that every spec must allow for: see the operator's rule.
PIXEL_COST = 8
# For the form around an image, and for data that is read before it is counted.
BODY_OVERHEAD = 128 * 1024
# For freed memory that is not returned to the system yet, connections, logs, page tables.
_MARGIN = 24 * MIB
_MIN_PIXELS_POOL = 16 * MIB
# Without a limit, do not fill a laptop's memory.
_MAX_WITHOUT_LIMIT = 2048 * MIB


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory at start, in bytes; `limit` is None if the container has none."""

    limit: int | None
    used: int
    available: int


def needed(settings: ServeSettings) -> int:
    """Return the memory limit that these settings need, in bytes; the operator applies the same rule."""
    image = settings.max_image_bytes + PIXEL_COST * settings.max_image_pixels
    return SERVER_BYTES + settings.cache.max_bytes + image


def divide(memory: Memory, settings: ServeSettings) -> Sizes:
    """Return the pools; raises SettingsError if not even a small image would fit.

    Bodies get an eighth, or less if the pixels of the largest image need it, but always enough for one body;
    pixels get the rest.
    """
    if memory.limit is None:
        total = min(memory.available // 2, _MAX_WITHOUT_LIMIT)
    else:
        total = memory.limit - memory.used - _MARGIN
    cache = settings.cache.max_bytes
    total -= cache
    one_body = settings.max_image_bytes + BODY_OVERHEAD
    bodies = max(one_body, min(total // 8, total - PIXEL_COST * settings.max_image_pixels))
    pixels = total - bodies
    if pixels < _MIN_PIXELS_POOL:
        need = max(needed(settings), memory.used + _MARGIN + cache + one_body + _MIN_PIXELS_POOL)
        cache_note = f"its cache may take {cache / MIB:.0f} MiB, " if cache else ""
        raise SettingsError(
            f"the memory limit of {(memory.limit or memory.available) // MIB} MiB is too small: the server with "
            f"its model takes {memory.used // MIB} MiB, {cache_note}and images up to the configured size need a "
            f"limit of {-(-need // MIB)} MiB"
        )
    return Sizes(bodies=bodies, pixels=pixels)

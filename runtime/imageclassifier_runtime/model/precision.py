"""Which graph of a folder is served: the fp32 one, or the int8 one that was accepted.

A pure function of the setting and the folder's bytes: every pod that has the same folder decides alike.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import PRECISION_MISSING, ModelError
from imageclassifier_runtime.logs import warn
from imageclassifier_runtime.model import quantization

if TYPE_CHECKING:
    from imageclassifier_runtime.model.digest import FileDigests
    from imageclassifier_runtime.model.preprocessing import Preprocessing

FP32, INT8, AUTO = PRECISIONS = ("FP32", "INT8", "Auto")
_logger = logging.getLogger(__name__)


def choose(files: FileDigests, wanted: str, how: Preprocessing) -> str:
    """Return FP32 or INT8 for a folder's files and a wanted FP32, INT8 or Auto.

    Raises ModelError for INT8 that is not there.
    """
    if wanted == FP32:
        return FP32
    cause = quantization.why_not(files, how)
    if cause is None:
        return INT8
    if wanted == INT8:
        raise ModelError(
            PRECISION_MISSING,
            f"precision INT8 needs an accepted int8 graph, which this model lacks: {cause}. Make a folder with "
            "one by `imageclassifier quantize FOLDER --pictures PHOTOGRAPHS --out NEW_FOLDER` and serve that, "
            "or set the precision to FP32 or Auto",
        )
    if (files.folder / quantization.INT8_GRAPH).is_file():
        warn(_logger, "The int8 graph is left aside", cause=cause)
    return FP32

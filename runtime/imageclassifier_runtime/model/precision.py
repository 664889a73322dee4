"""Chooses the graph of a folder to serve: fp32, or the accepted int8 graph.

A pure function of the setting and the folder's bytes: all pods with the same folder make the same choice.
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


def choose(files: FileDigests, setting: str, preprocessing: Preprocessing) -> str:
    """Return FP32 or INT8 for a folder's files and the `setting` FP32, INT8 or Auto.

    Raises ModelError if INT8 is set but the folder has no accepted int8 graph.
    """
    if setting == FP32:
        return FP32
    cause = quantization.reason_not_to_serve_int8(files, preprocessing)
    if cause is None:
        return INT8
    if setting == INT8:
        raise ModelError(
            PRECISION_MISSING,
            f"precision INT8 needs an accepted int8 graph, which this model lacks: {cause}. Create a folder "
            "with `imageclassifier quantize FOLDER --pictures PHOTOGRAPHS --out NEW_FOLDER` and serve that, "
            "or set the precision to FP32 or Auto",
        )
    if (files.folder / quantization.INT8_GRAPH).is_file():
        warn(_logger, "Ignoring the int8 graph", cause=cause)
    return FP32

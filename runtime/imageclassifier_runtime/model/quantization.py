"""`quantization.json`: the record that a folder's int8 graph was accepted, with the digests of the files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.errors import INVALID, ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_runtime.model.digest import FileDigests
    from imageclassifier_runtime.model.preprocessing import Preprocessing

INT8_GRAPH, RECORD = "model.int8.onnx", "quantization.json"
_FORMAT = 1
_MAX_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The files that an int8 graph was accepted for, and its measured agreement.

    The digests are sha256; that of the preprocessing is of `Preprocessing.to_json()`, since ranges measured with
    one preprocessing do not apply to another. `same` of `pictures` got the fp32 graph's top-1 class.
    """

    model_sha256: str
    int8_sha256: str
    preprocessing_sha256: str
    same: int
    pictures: int
    required: float
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the agreement reaches the required one."""
        return 0 <= self.same <= self.pictures != 0 and self.same / self.pictures >= self.required

    def to_json(self) -> str:
        """Return the file's content; equal records give equal bytes."""
        document = {
            "format": _FORMAT,
            "model_sha256": self.model_sha256,
            "int8_sha256": self.int8_sha256,
            "preprocessing_sha256": self.preprocessing_sha256,
            "agreement": {"same": self.same, "pictures": self.pictures, "required": self.required},
            **self.details,
        }
        return json.dumps(document, indent=2) + "\n"


def preprocessing_digest(preprocessing: Preprocessing) -> str:
    """Return the sha256 of a preprocessing, whether it comes from a file or is the default."""
    return hashlib.sha256(preprocessing.to_json().encode()).hexdigest()


def read(path: Path) -> Record:
    """Read a `quantization.json`; raises ModelError if it is invalid."""
    if path.stat().st_size > _MAX_BYTES:
        raise ModelError(INVALID, f"{RECORD} is larger than {_MAX_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ModelError(INVALID, f"{RECORD} has format {document['format']!r}; this version reads {_FORMAT}")
        agreement = document["agreement"]
        return Record(
            model_sha256=str(document["model_sha256"]),
            int8_sha256=str(document["int8_sha256"]),
            preprocessing_sha256=str(document["preprocessing_sha256"]),
            same=int(agreement["same"]),
            pictures=int(agreement["pictures"]),
            required=float(agreement["required"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(INVALID, f"{RECORD} cannot be read: {error!r}") from error


def why_not(files: FileDigests, preprocessing: Preprocessing) -> str | None:
    """Return why the folder's int8 graph must not be served, or None if its record matches the files."""
    missing = [name for name in (INT8_GRAPH, RECORD) if not (files.folder / name).is_file()]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    try:
        record = read(files.folder / RECORD)
    except ModelError as error:
        return error.message
    if not record.accepted:
        agreement = f"{record.same} of {record.pictures}"
        return f"the agreement in {RECORD} is {agreement} pictures, less than the required {record.required:.1%}"
    if files.of_file("model.onnx") != record.model_sha256:
        return f"{RECORD} is for another model.onnx"
    if files.of_file(INT8_GRAPH) != record.int8_sha256:
        return f"{RECORD} is for another {INT8_GRAPH}"
    if preprocessing_digest(preprocessing) != record.preprocessing_sha256:
        return f"{RECORD} is for another preprocessing"
    return None

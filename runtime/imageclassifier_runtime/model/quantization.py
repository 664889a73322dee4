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

INT8_GRAPH, RECORD_FILE = "model.int8.onnx", "quantization.json"
_FORMAT = 1
_MAX_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """How well an int8 graph agreed with the fp32 graph, `model.onnx`, and the files that were compared.

    The digests are sha256. `preprocessing_sha256` is that of `Preprocessing.to_json()`: the value ranges in the
    int8 graph were measured with this preprocessing, and do not apply to another. For `same` of `pictures`, both
    graphs had the same top-1 class.

    details: further entries for people; `read` ignores them.
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
        """Whether the share of pictures with the same class is at least `required`; false for invalid counts."""
        return 0 <= self.same <= self.pictures and self.pictures > 0 and self.same / self.pictures >= self.required

    def to_json(self) -> str:
        """Return the content of the file."""
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
        raise ModelError(INVALID, f"{RECORD_FILE} is larger than {_MAX_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ModelError(
                INVALID, f"{RECORD_FILE} has format {document['format']!r}; this version reads {_FORMAT}"
            )
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
        raise ModelError(INVALID, f"{RECORD_FILE} cannot be read: {error!r}") from error


def reason_not_to_serve_int8(files: FileDigests, preprocessing: Preprocessing) -> str | None:
    """Return why the folder's int8 graph must not be served, or None if it may be."""
    missing = [name for name in (INT8_GRAPH, RECORD_FILE) if not (files.folder / name).is_file()]
    if missing:
        return f"it has no {' and no '.join(missing)}"
    try:
        record = read(files.folder / RECORD_FILE)
    except ModelError as error:
        return error.message
    if not record.accepted:
        agreement = f"{record.same} of {record.pictures} pictures have the same class"
        return f"in {RECORD_FILE}, {agreement}; at least {record.required:.1%} are required"
    if files.of_file("model.onnx") != record.model_sha256:
        return f"{RECORD_FILE} is for another model.onnx"
    if files.of_file(INT8_GRAPH) != record.int8_sha256:
        return f"{RECORD_FILE} is for another {INT8_GRAPH}"
    if preprocessing_digest(preprocessing) != record.preprocessing_sha256:
        return f"{RECORD_FILE} is for another preprocessing"
    return None

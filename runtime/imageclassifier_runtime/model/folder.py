"""Reads a model folder for serving, with defaults for missing files."""

from __future__ import annotations

import dataclasses
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imageclassifier_runtime.errors import INVALID, NOT_FOUND, ModelError
from imageclassifier_runtime.model import digest, preprocessing, quantization
from imageclassifier_runtime.model.precision import FP32, INT8, choose

if TYPE_CHECKING:
    from imageclassifier_runtime.model.graph import GraphFacts
    from imageclassifier_runtime.model.preprocessing import Preprocessing

GRAPH, LABELS, CONFIG, INFO = "model.onnx", "labels.txt", "preprocessor_config.json", "model_info.json"
BUNDLED_NAME = "cifar10-mobilenet-v2"
_MAX_TEXT = 16 * 1024 * 1024


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The model's facts that the status of an ImageClassifier shows.

    `sha256` identifies the model (a file or the folder), `graph_sha256` the ONNX file that is served.
    """

    name: str
    sha256: str
    precision: str
    graph_sha256: str
    classes: int
    input_size: int

    def to_dict(self) -> dict[str, object]:
        """Return the content of `model_info.json`."""
        return dataclasses.asdict(self)


class _Stored(NamedTuple):
    """The facts that `fetch` has stored, so that `serve` does not parse the graph."""

    name: str
    sha256: str
    classes: int
    input_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder that is ready to be served."""

    path: Path
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    info: ModelInfo

    @property
    def graph(self) -> Path:
        """Return the path of the ONNX file that is served."""
        return self.path / graph_name(self.info.precision)


def graph_name(chosen: str) -> str:
    """Return the name of the ONNX file with this precision, FP32 or INT8."""
    return quantization.INT8_GRAPH if chosen == INT8 else GRAPH


def bundled(name: str) -> Path | None:
    """Return the folder of a model that ships with this package, or None."""
    folder = _bundled_models() / name
    exists = "/" not in name and name not in {"", ".", ".."} and (folder / GRAPH).is_file()
    return folder if exists else None


def _bundled_models() -> Path:
    return Path(str(resources.files("imageclassifier_runtime"))) / "bundled"


def or_bundled(path: Path | None, name: str = BUNDLED_NAME) -> Path:
    """Return the given folder, else that of the bundled model of this name; raises ModelError if there is none."""
    found = path or bundled(name)
    if found is None:
        raise ModelError(NOT_FOUND, f"there is no bundled model {name!r}")
    return found


def load(path: Path, *, name: str | None = None, precision: str = FP32, sha256: str | None = None) -> ModelFolder:
    """Read a folder for serving, with or without what `fetch` adds; raises ModelError.

    `precision` is FP32, INT8 (an error without an accepted int8 graph) or Auto. `sha256` is the expected digest.
    The graphs of a bundled model are not parsed if its other files say all that is needed: parsing takes longer
    than the rest, and the model was checked before it became part of the image.
    """
    if path.is_file():
        raise ModelError(INVALID, f"{path} is a file: give the folder that it is in, with the graph as {GRAPH}")
    if not path.exists():
        raise ModelError(INVALID, f"{path} does not exist: give a model folder, or run `imageclassifier fetch`")
    if not (path / GRAPH).is_file():
        raise ModelError(INVALID, f"{path} has no {GRAPH}: give a model folder, or run `imageclassifier fetch`")
    stored = _read_stored(path)
    trusted = path.parent == _bundled_models() and _has_labels_and_input_size(path)
    facts = stored or (None if trusted else check_graphs(path))
    config = read_preprocessing(path, None if facts is None else facts.input_size)
    labels = read_labels(path, None if facts is None else facts.classes)
    digests = digest.FileDigests(path)
    chosen = choose(digests, precision, config)
    info = ModelInfo(
        name=name or (stored.name if stored else path.resolve().name),
        sha256=stored.sha256 if stored else digests.of_folder(),
        precision=chosen,
        graph_sha256=digests.of_file(graph_name(chosen)),
        classes=len(labels),
        input_size=config.crop[0],
    )
    if sha256 is not None:
        digest.verify(info.sha256, sha256)
    return ModelFolder(path=path, labels=labels, preprocessing=config, info=info)


def _has_labels_and_input_size(path: Path) -> bool:
    """Return whether nothing has to be taken from the graph."""
    if not (path / LABELS).is_file() or not (path / CONFIG).is_file():
        return False
    try:
        document = json.loads(_text(path / CONFIG))
    except ValueError:
        return False
    return isinstance(document, dict) and {"size", "crop_size"} <= document.keys()


def check_graphs(path: Path) -> GraphFacts:
    """Check the graphs of a folder, including the int8 graph if any, and return the facts of the fp32 graph."""
    from imageclassifier_runtime.model.graph import check  # noqa: PLC0415 - imports onnx

    facts = check(path / GRAPH)
    if (path / quantization.INT8_GRAPH).is_file():
        try:
            other = check(path / quantization.INT8_GRAPH)
        except ModelError as error:
            raise ModelError(error.reason, f"{quantization.INT8_GRAPH}: {error.message}") from error
        if any(None not in pair and len(set(pair)) > 1 for pair in zip(other, facts, strict=True)):
            raise ModelError(
                INVALID, f"{quantization.INT8_GRAPH} has {other.text()}, but {GRAPH} has {facts.text()}"
            )
    return facts


def read_preprocessing(path: Path, input_size: int | None) -> Preprocessing:
    """Return the folder's preprocessing, or ImageNet's if it has none."""
    config = path / CONFIG
    if config.is_file():
        return preprocessing.parse(_text(config), input_size=input_size)
    if input_size is None:
        raise ModelError(INVALID, f"the graph leaves its input size open: add a {CONFIG} with crop_size")
    return preprocessing.imagenet(input_size)


def read_labels(path: Path, classes: int | None) -> tuple[str, ...]:
    """Return one name per class; a graph with 1000 classes and no labels gets ImageNet's."""
    file = path / LABELS
    if not file.is_file():
        if classes != 1000:
            raise ModelError(
                INVALID,
                f"the model has {classes or 'an unknown number of'} classes and no {LABELS}: put a {LABELS} with "
                "one class per line alongside it and give the folder (only 1000 classes default to ImageNet's)",
            )
        return imagenet_labels()
    names = tuple(line.strip() for line in _text(file).rstrip("\r\n").split("\n"))
    if not all(names):
        raise ModelError(INVALID, f"{LABELS}: line {names.index('') + 1} is empty")
    if classes is not None and len(names) != classes:
        raise ModelError(INVALID, f"{LABELS} has {len(names)} lines, but the model has {classes} classes")
    return names


def imagenet_labels() -> tuple[str, ...]:
    """Return the 1000 names of ImageNet-1k, in the order of its synsets."""
    text = resources.files("imageclassifier_runtime.model").joinpath("imagenet_labels.txt").read_text("utf-8")
    return tuple(text.splitlines())


def _read_stored(path: Path) -> _Stored | None:
    file = path / INFO
    if not file.is_file():
        return None
    try:
        document = json.loads(_text(file))
        return _Stored(
            name=str(document["name"]),
            sha256=str(document["sha256"]),
            classes=int(document["classes"]),
            input_size=int(document["input_size"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(INVALID, f"{INFO} cannot be read: {error!r}") from error


def _text(path: Path) -> str:
    if path.stat().st_size > _MAX_TEXT:
        raise ModelError(INVALID, f"{path.name} is larger than {_MAX_TEXT} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(INVALID, f"{path.name} is not UTF-8 text") from error

"""The init step: get the model, prove that it is the one asked for, check it, and place it whole or not at all."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imageclassifier_runtime import termination
from imageclassifier_runtime.errors import (
    ADDRESS_REFUSED,
    DIGEST_MISMATCH,
    INVALID,
    NOT_FOUND,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch.download import download
from imageclassifier_runtime.logs import log, warn
from imageclassifier_runtime.model import digest, precision
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings import BUNDLED, MIB, FetchSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

_SMALL_FILE = 16 * MIB
# With several mirrors the cause that says most is reported, not the last one met.
_TELLING = (DIGEST_MISMATCH, INVALID, TOO_LARGE, ADDRESS_REFUSED, NOT_FOUND, UNREACHABLE)
_logger = logging.getLogger(__name__)


def main(settings: FetchSettings) -> int:
    """Fetch, and report the facts or the cause of failure; returns the exit status."""
    started = time.monotonic()
    try:
        info = fetch(settings)
    except ModelError as error:
        _logger.error("Model not usable: %s: %s", error.reason, error.message)  # noqa: TRY400 - the cause is the message
        termination.write(settings.termination_log, {"reason": error.reason, "message": error.message})
        return 1
    facts = {"name": info.name, "sha256": info.sha256, "precision": info.precision, "classes": info.classes}
    log(_logger, "Model ready", **facts, seconds=round(time.monotonic() - started, 3))
    termination.write(settings.termination_log, dict(facts))
    return 0


def fetch(settings: FetchSettings) -> model_folder.ModelInfo:
    """Try each URI in turn and place the first model that passes every check; raises ModelError."""
    deadline = time.monotonic() + settings.timeout_seconds
    failures: list[ModelError] = []
    for uri in settings.uris:
        try:
            with _staging(settings.model_dir) as staging:
                sha256 = _obtain(uri, staging, settings, deadline)
                _verify(sha256, settings.sha256)
                info = _complete(staging, settings, name=settings.model_name or _name(uri), sha256=sha256)
                _place(staging, settings.model_dir)
                return info
        except ModelError as error:
            failures.append(error)
            if len(settings.uris) > 1:
                warn(_logger, "Source failed", reason=error.reason, cause=error.message)
        except OSError as error:
            raise ModelError(INVALID, f"cannot write to {settings.model_dir}: {error}") from error
    if len(failures) == 1:
        raise failures[0]
    reason = min((error.reason for error in failures), key=_TELLING.index)
    raise ModelError(reason, "; ".join(error.message for error in failures))


def _obtain(uri: str, staging: Path, settings: FetchSettings, deadline: float) -> str:
    """Bring the files of a model into `staging` and return the digest that identifies it."""
    if uri.startswith(BUNDLED):
        return _copy_bundled(uri.removeprefix(BUNDLED), staging)
    if not urlsplit(uri).path.endswith("/"):
        return download(
            uri, staging / model_folder.GRAPH, settings, limit=settings.max_model_bytes, deadline=deadline
        )
    base = uri.split("?", 1)[0]
    download(
        base + model_folder.GRAPH,
        staging / model_folder.GRAPH,
        settings,
        limit=settings.max_model_bytes,
        deadline=deadline,
    )
    for name in digest.MODEL_FILES:
        if name == model_folder.GRAPH:
            continue
        limit = settings.max_model_bytes if name.endswith(".onnx") else _SMALL_FILE
        try:
            download(base + name, staging / name, settings, limit=limit, deadline=deadline)
        except ModelError as error:
            if error.reason != NOT_FOUND:
                raise
            log(_logger, "Not in the folder", file=name)
            (staging / name).unlink(missing_ok=True)
    return digest.of_folder(staging)


def _copy_bundled(name: str, staging: Path) -> str:
    source = model_folder.bundled(name)
    if source is None:
        raise ModelError(NOT_FOUND, f"there is no bundled model {name!r}")
    for file in digest.MODEL_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, staging / file)
    return digest.of_folder(staging)


def _verify(got: str, want: str | None) -> None:
    if want is None:
        warn(_logger, "No digest was given, so any bytes are taken", sha256=got)
    elif got != want:
        raise ModelError(DIGEST_MISMATCH, f"want {want} got {got}")


def _complete(staging: Path, settings: FetchSettings, *, name: str, sha256: str) -> model_folder.ModelInfo:
    """Check the files in `staging` and add those that a bare model lacks."""
    facts = model_folder.check_graphs(staging)
    classes = facts.classes
    preprocessing = model_folder.read_preprocessing(staging, facts.input_size)
    if classes is None:
        classes = _classes_by_running(staging / model_folder.GRAPH, preprocessing.crop[0])
    labels = model_folder.read_labels(staging, classes)
    chosen = precision.choose(staging, settings.precision, preprocessing)
    info = model_folder.ModelInfo(
        name=name,
        sha256=sha256,
        precision=chosen,
        graph_sha256=digest.of_file(staging / model_folder.graph_name(chosen)),
        classes=classes,
        input_size=preprocessing.crop[0],
    )
    if not (staging / model_folder.LABELS).exists():
        (staging / model_folder.LABELS).write_text("\n".join(labels) + "\n", encoding="utf-8")
    if not (staging / model_folder.CONFIG).exists():
        (staging / model_folder.CONFIG).write_text(preprocessing.to_json(), encoding="utf-8")
    (staging / model_folder.INFO).write_text(json.dumps(info.to_dict(), indent=2) + "\n", encoding="utf-8")
    return info


def _classes_by_running(graph: Path, input_size: int) -> int:
    """Return the width of the output where the graph does not declare it."""
    from imageclassifier_runtime.stages.infer import open_session  # noqa: PLC0415 - seldom needed, slow to import

    return open_session(graph, input_size=input_size, threads=1).classes


@contextlib.contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Yield a folder beside the final files, on the same filesystem; gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=parent) as folder:
        yield Path(folder)


def _place(staging: Path, final: Path) -> None:
    """Move the files to their names, `model_info.json` last: it is what says that the rest is complete."""
    (final / model_folder.INFO).unlink(missing_ok=True)
    for name in (*digest.MODEL_FILES, model_folder.INFO):
        if not (staging / name).exists():
            (final / name).unlink(missing_ok=True)
            continue
        (staging / name).chmod(0o444)
        os.replace(staging / name, final / name)  # noqa: PTH105 - Path.replace says the same with a return value


def _name(uri: str) -> str:
    """Return the model's name where none was given: the last part of the path, without suffix."""
    path = uri.removeprefix(BUNDLED) if uri.startswith(BUNDLED) else urlsplit(uri).path
    return PurePosixPath(path.rstrip("/")).stem or "model"

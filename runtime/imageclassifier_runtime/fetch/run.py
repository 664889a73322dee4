"""The init step: get the model, prove that it is the one asked for, check it, and place it whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import (
    ACCESS_DENIED,
    ADDRESS_REFUSED,
    CREDENTIALS_MISSING,
    DIGEST_MISMATCH,
    INVALID,
    NOT_FOUND,
    PRECISION_MISSING,
    TOO_LARGE,
    UNREACHABLE,
    ModelError,
)
from imageclassifier_runtime.fetch.download import download
from imageclassifier_runtime.fetch.local import copy
from imageclassifier_runtime.fetch.sources import LocalFile, Model, locate
from imageclassifier_runtime.fetch.staging import alone, clear, empty, staging
from imageclassifier_runtime.logs import log, warn
from imageclassifier_runtime.model import digest, precision
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings.fields import MIB
from imageclassifier_runtime.system import termination

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_runtime.fetch.transport import Target
    from imageclassifier_runtime.settings.commands import FetchSettings

_SMALL_FILE = 16 * MIB
# With several mirrors the cause that says most is reported, not the last one met.
_TELLING = (
    DIGEST_MISMATCH,
    INVALID,
    PRECISION_MISSING,
    TOO_LARGE,
    ADDRESS_REFUSED,
    CREDENTIALS_MISSING,
    ACCESS_DENIED,
    NOT_FOUND,
    UNREACHABLE,
)
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
    try:
        with alone(settings.model_dir):
            # without a digest nothing would tell a model that was put together wrongly
            clear(settings.model_dir, keep=[_key(uri, settings) for uri in settings.uris if settings.sha256])
            info = _first_usable(settings, deadline)
            clear(settings.model_dir)
            return info
    except OSError as error:
        raise ModelError(INVALID, f"cannot write to {settings.model_dir}: {error}") from error


def _first_usable(settings: FetchSettings, deadline: float) -> model_folder.ModelInfo:
    failures: list[ModelError] = []
    for uri in settings.uris:
        try:
            model = locate(uri, settings, deadline)
            with staging(settings.model_dir, _key(uri, settings)) as folder:
                sha256 = _obtain(model, folder, settings, deadline)
                _verify(sha256, settings.sha256)
                info = _complete(folder, settings, name=settings.model_name or model.name, sha256=sha256)
                _place(folder, settings.model_dir)
                return info
        except ModelError as error:
            failures.append(error)
            if len(settings.uris) > 1:
                warn(_logger, "Source failed", reason=error.reason, cause=error.message)
    if len(failures) == 1:
        raise failures[0]
    reason = min((error.reason for error in failures), key=_TELLING.index)
    raise ModelError(reason, "; ".join(error.message for error in failures))


def _key(uri: str, settings: FetchSettings) -> str:
    return f"{uri} {settings.sha256}"


def _obtain(model: Model, folder: Path, settings: FetchSettings, deadline: float) -> str:
    """Bring the files of a model into `folder` and return the digest that identifies it."""
    sha256, spliced = _bring_all(model, folder, settings, deadline)
    if spliced and settings.sha256 not in {None, sha256}:
        warn(_logger, "Put together from several answers, the digest is wrong: fetching anew", sha256=sha256)
        empty(folder)
        sha256, _ = _bring_all(model, folder, settings, deadline)
    return sha256


def _bring_all(model: Model, folder: Path, settings: FetchSettings, deadline: float) -> tuple[str, bool]:
    """Return the digest of what came, and whether any file was put together from several answers."""
    spliced = False
    for wanted in model.files:
        limit = settings.max_model_bytes if wanted.name.endswith(".onnx") else _SMALL_FILE
        try:
            spliced |= _bring(wanted.origin, folder / wanted.name, settings, limit=limit, deadline=deadline)
        except ModelError as error:
            if wanted.required or error.reason != NOT_FOUND:
                raise
            log(_logger, "Not in the folder", file=wanted.name)
    return digest.of_folder(folder) if model.folder else digest.of_file(folder / model_folder.GRAPH), spliced


def _bring(origin: Target | LocalFile, to: Path, settings: FetchSettings, *, limit: int, deadline: float) -> bool:
    if isinstance(origin, LocalFile):
        copy(origin.root, origin.path, to, limit=limit, deadline=deadline)
        return False
    return download(origin, to, settings, limit=limit, deadline=deadline)


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
    digests = digest.FileDigests(staging)
    chosen = precision.choose(digests, settings.precision, preprocessing)
    info = model_folder.ModelInfo(
        name=name,
        sha256=sha256,
        precision=chosen,
        graph_sha256=digests.of_file(model_folder.graph_name(chosen)),
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
    from imageclassifier_runtime.inference.session import open_session  # noqa: PLC0415 - seldom needed, slow to import

    return open_session(graph, input_size=input_size, threads=1).classes


def _place(staging: Path, final: Path) -> None:
    """Move the files to their names, `model_info.json` last: it is what says that the rest is complete."""
    (final / model_folder.INFO).unlink(missing_ok=True)
    for name in (*digest.MODEL_FILES, model_folder.INFO):
        if not (staging / name).exists():
            (final / name).unlink(missing_ok=True)
            continue
        (staging / name).chmod(0o444)
        os.replace(staging / name, final / name)  # noqa: PTH105 - Path.replace says the same with a return value

"""Runs `imageclassifier fetch`: downloads the model, verifies its digest, validates it, and installs it."""

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
    error_text,
)
from imageclassifier_runtime.fetch.download import download
from imageclassifier_runtime.fetch.local import copy
from imageclassifier_runtime.fetch.sources import LocalFile, ModelSource, locate
from imageclassifier_runtime.fetch.staging import empty, exclusive, remove_leftovers, staging_folder
from imageclassifier_runtime.logs import log, warn
from imageclassifier_runtime.model import digest, precision
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.outbound.certificates import authorities
from imageclassifier_runtime.settings.fields import MIB
from imageclassifier_runtime.system import termination

if TYPE_CHECKING:
    from pathlib import Path

    from imageclassifier_runtime.fetch.transport import Target
    from imageclassifier_runtime.settings.commands import FetchSettings

_MAX_OTHER_BYTES = 16 * MIB
# If several mirrors fail, the first of these reasons is reported, because it is the most informative.
_MOST_INFORMATIVE = (
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
    """Fetch the model, report its facts or the cause of failure to the pod, and return the exit status.

    Raises CaCertificatesError.
    """
    started = time.monotonic()
    if settings.ca_dir is not None:
        authorities(settings.ca_dir)  # even if the source needs none
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
    """Try the URIs in order and install the first model that passes all checks; raises ModelError."""
    deadline = time.monotonic() + settings.timeout_seconds
    try:
        with exclusive(settings.model_dir):
            # without a digest, a download that was resumed with other content would not be detected
            resumable = [_source_key(uri, settings) for uri in settings.uris if settings.sha256]
            remove_leftovers(settings.model_dir, keep=resumable)
            info = _first_usable(settings, deadline)
            remove_leftovers(settings.model_dir)
            return info
    except OSError as error:
        path = error.filename or settings.model_dir
        raise ModelError(INVALID, f"cannot write to {path}: {error_text(error)}") from error


def _first_usable(settings: FetchSettings, deadline: float) -> model_folder.ModelInfo:
    failures: list[ModelError] = []
    for uri in settings.uris:
        try:
            source = locate(uri, settings, deadline)
            with staging_folder(settings.model_dir, _source_key(uri, settings)) as folder:
                sha256 = _download(source, folder, settings, deadline)
                _verify(sha256, settings.sha256)
                info = _complete(folder, settings, name=settings.model_name or source.name, sha256=sha256)
                _install(folder, settings.model_dir)
                return info
        except ModelError as error:
            failures.append(error)
            if len(settings.uris) > 1:
                warn(_logger, "Source failed", reason=error.reason, cause=error.message)
    if len(failures) == 1:
        raise failures[0]
    reason = min((error.reason for error in failures), key=_MOST_INFORMATIVE.index)
    raise ModelError(reason, "; ".join(error.message for error in failures))


def _source_key(uri: str, settings: FetchSettings) -> str:
    return f"{uri} {settings.sha256}"


def _download(source: ModelSource, folder: Path, settings: FetchSettings, deadline: float) -> str:
    """Download the files of a model into `folder` and return the model's digest.

    If the digest is wrong and a download was resumed, everything is downloaded once more from the start.
    """
    sha256, resumed = _download_files(source, folder, settings, deadline)
    if resumed and settings.sha256 not in {None, sha256}:
        warn(_logger, "Digest mismatch after a resumed download, downloading again", sha256=sha256)
        empty(folder)
        sha256, _ = _download_files(source, folder, settings, deadline)
    if not source.folder and settings.sha256 != sha256:
        _check_is_no_page(folder / model_folder.GRAPH)
    return sha256


def _download_files(
    source: ModelSource, folder: Path, settings: FetchSettings, deadline: float
) -> tuple[str, bool]:
    """Download the files and return the model's digest, and whether any download was resumed."""
    resumed = False
    for file in source.files:
        limit = settings.max_model_bytes if file.name.endswith(".onnx") else _MAX_OTHER_BYTES
        try:
            resumed |= _download_file(file.origin, folder / file.name, settings, limit=limit, deadline=deadline)
        except ModelError as error:
            if file.required or error.reason != NOT_FOUND:
                raise
            log(_logger, "Optional file not found", file=file.name)
    return digest.of_folder(folder) if source.folder else digest.of_file(folder / model_folder.GRAPH), resumed


def _check_is_no_page(graph: Path) -> None:
    """Raise ModelError for a page that a web server sends instead of a file, such as a listing of a folder."""
    with graph.open("rb") as file:
        is_page = file.read(100).lstrip().startswith(b"<")
    if is_page:
        message = "the source sent a page of HTML or XML; if the URI is that of a folder, it must end with /"
        raise ModelError(NOT_FOUND, message)


def _download_file(
    origin: Target | LocalFile, to: Path, settings: FetchSettings, *, limit: int, deadline: float
) -> bool:
    """Download or copy one file and return whether the download was resumed."""
    if isinstance(origin, LocalFile):
        copy(origin.root, origin.path, to, limit=limit, deadline=deadline)
        return False
    return download(origin, to, settings, limit=limit, deadline=deadline)


def _verify(actual: str, expected: str | None) -> None:
    if expected is None:
        warn(_logger, "No digest is set, so the model is not verified", sha256=actual)
    else:
        digest.verify(actual, expected)


def _complete(staging: Path, settings: FetchSettings, *, name: str, sha256: str) -> model_folder.ModelInfo:
    """Validate the files in `staging`, and write `model_info.json` and defaults for missing files."""
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
    """Return the number of classes of a graph that does not declare it."""
    from imageclassifier_runtime.inference.session import open_session  # noqa: PLC0415 - rarely needed, slow to import

    return open_session(graph, input_size=input_size, threads=1).classes


def _install(staging: Path, final: Path) -> None:
    """Move the files to the model folder; `model_info.json` is last, because it marks the folder as complete."""
    (final / model_folder.INFO).unlink(missing_ok=True)
    for name in (*digest.MODEL_FILES, model_folder.INFO):
        if not (staging / name).exists():
            (final / name).unlink(missing_ok=True)
            continue
        (staging / name).chmod(0o444)
        os.replace(staging / name, final / name)  # noqa: PTH105 - the return value of Path.replace is not needed

"""Resolves the URI of a model to its files and their locations."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from imageclassifier_runtime.errors import CREDENTIALS_MISSING, NOT_FOUND, ModelError
from imageclassifier_runtime.fetch import huggingface, local, s3, transport
from imageclassifier_runtime.model import digest
from imageclassifier_runtime.model import folder as model_folder
from imageclassifier_runtime.settings import credentials
from imageclassifier_runtime.settings.commands import BUNDLED

if TYPE_CHECKING:
    from imageclassifier_runtime.fetch.transport import Target
    from imageclassifier_runtime.settings.commands import FetchSettings

# The graph first: if it is missing, nothing else is downloaded.
_FILES = sorted(digest.MODEL_FILES, key=lambda name: (name != model_folder.GRAPH, name))


@dataclasses.dataclass(frozen=True)
class LocalFile:
    """A file that must be inside the folder `root`, symbolic links resolved."""

    root: Path
    path: Path


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """One file of a model: its name in the model folder, its location, and whether it must exist."""

    name: str
    origin: Target | LocalFile
    required: bool = True


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """The files that a URI refers to, and the model's default name.

    `folder` is whether the URI is a folder, whose digest covers all its files, or a single file.
    """

    name: str
    files: tuple[ModelFile, ...]
    folder: bool


def locate(uri: str, settings: FetchSettings, deadline: float) -> ModelSource:
    """Return the files that a URI refers to; raises ModelError. Only a prefix of S3 is listed to find them."""
    scheme = uri.partition(":")[0]
    _check_credentials(scheme, settings)
    if scheme == "s3":
        return _s3(uri, settings, deadline)
    if scheme == "hf":
        return _hf(uri, settings)
    if scheme in {"file", "pvc"}:
        return _local(uri, settings)
    return _bundled(uri) if uri.startswith(BUNDLED) else _http(uri, settings)


def _check_credentials(scheme: str, settings: FetchSettings) -> None:
    """Raise ModelError if a Secret is set but has no credentials: anonymous requests would fail with a 403."""
    keys = credentials.KEYS.get(scheme)
    if settings.credentials_secret is not None and keys and not settings.credentials.has(scheme):
        text = f"the Secret {settings.credentials_secret} does not exist or has none of {', '.join(keys)}"
        raise ModelError(CREDENTIALS_MISSING, text)


def _bundled(uri: str) -> ModelSource:
    name = uri.removeprefix(BUNDLED)
    source = model_folder.bundled(name)
    if source is None:
        raise ModelError(NOT_FOUND, f"there is no bundled model {name!r}")
    files = [ModelFile(file, LocalFile(source, source / file)) for file in _FILES if (source / file).is_file()]
    return ModelSource(name, tuple(files), folder=True)


def _http(uri: str, settings: FetchSettings) -> ModelSource:
    target = transport.parse(uri)
    if target.authorize is None and settings.credentials.http_authorization and _is_first_host(target, settings):
        authorize = transport.authorization(settings.credentials.http_authorization)
        target = dataclasses.replace(target, authorize=authorize)
    path = urlsplit(uri).path
    if not path.endswith("/"):
        return _single(path, target)
    base = target.path.partition("?")[0]
    return ModelSource(
        _default_name(path),
        tuple(
            ModelFile(name, dataclasses.replace(target, path=base + name), required=name == model_folder.GRAPH)
            for name in _FILES
        ),
        folder=True,
    )


def _is_first_host(target: Target, settings: FetchSettings) -> bool:
    """Return whether a mirror has the same origin as the first one: credentials are only sent to that."""
    first = next((uri for uri in settings.uris if uri.lower().startswith(("http://", "https://"))), "")
    try:
        return transport.parse(first).origin == target.origin
    except ModelError:
        return False


def _s3(uri: str, settings: FetchSettings, deadline: float) -> ModelSource:
    bucket, key = s3.bucket_and_key(uri)
    if key and not key.endswith("/"):
        return _single(key, s3.target(bucket, key, settings))
    existing = s3.list_names(bucket, key, settings, deadline, names=_FILES)
    if model_folder.GRAPH not in existing:
        text = f"{uri} contains {', '.join(sorted(existing))}, but no {model_folder.GRAPH}"
        raise ModelError(NOT_FOUND, text)
    files = [ModelFile(name, s3.target(bucket, key + name, settings)) for name in _FILES if name in existing]
    return ModelSource(_default_name(key) if key else bucket, tuple(files), folder=True)


def _hf(uri: str, settings: FetchSettings) -> ModelSource:
    location = huggingface.parse(uri)
    if location.path and not location.path.endswith("/"):
        return _single(location.path, huggingface.target(location, location.path, settings))
    files = [
        ModelFile(
            name,
            huggingface.target(location, location.path + name, settings),
            required=name == model_folder.GRAPH,
        )
        for name in _FILES
    ]
    return ModelSource(location.repo, tuple(files), folder=True)


def _local(uri: str, settings: FetchSettings) -> ModelSource:
    root, path = local.root_and_path(uri, settings)
    claim = uri.startswith("pvc://") and path == root
    if not claim and not uri.endswith("/"):
        return _single(path.name, LocalFile(root, path))
    files = [ModelFile(name, LocalFile(root, path / name), required=name == model_folder.GRAPH) for name in _FILES]
    return ModelSource(_default_name(str(path)), tuple(files), folder=True)


def _single(path: str, origin: Target | LocalFile) -> ModelSource:
    return ModelSource(_default_name(path), (ModelFile(model_folder.GRAPH, origin),), folder=False)


def _default_name(path: str) -> str:
    """Return the default name of a model: the last part of its path, without suffix."""
    return PurePosixPath(path.rstrip("/")).stem or "model"

"""From the URI of a model to the files that make it up, and where each of them is."""

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

# The graph first: without it the rest is not worth its bytes.
_FILES = sorted(digest.MODEL_FILES, key=lambda name: (name != model_folder.GRAPH, name))


@dataclasses.dataclass(frozen=True)
class LocalFile:
    """A file below a folder that it must not lead out of."""

    root: Path
    path: Path


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One file of a model: its name in the model folder, and where it is. Without `required` it may be missing."""

    name: str
    origin: Target | LocalFile
    required: bool = True


@dataclasses.dataclass(frozen=True)
class Model:
    """What a URI stands for. The digest of a `folder` is the one over its files."""

    name: str
    files: tuple[Wanted, ...]
    folder: bool


def locate(uri: str, settings: FetchSettings, deadline: float) -> Model:
    """Return the files behind a URI; raises ModelError. Only a prefix of S3 is asked for what it has."""
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
    """Refuse to go on anonymously where a Secret was named: the answer would only be a puzzling 403."""
    keys = credentials.KEYS.get(scheme)
    if settings.credentials_secret is not None and keys and not settings.credentials.has(scheme):
        text = f"the Secret {settings.credentials_secret} is not there or has none of {', '.join(keys)}"
        raise ModelError(CREDENTIALS_MISSING, text)


def _bundled(uri: str) -> Model:
    name = uri.removeprefix(BUNDLED)
    source = model_folder.bundled(name)
    if source is None:
        raise ModelError(NOT_FOUND, f"there is no bundled model {name!r}")
    files = [Wanted(file, LocalFile(source, source / file)) for file in _FILES if (source / file).is_file()]
    return Model(name, tuple(files), folder=True)


def _http(uri: str, settings: FetchSettings) -> Model:
    place = transport.parse(uri)
    if place.authorize is None and settings.credentials.http_authorization and _is_first(place, settings):
        authorize = transport.authorization(settings.credentials.http_authorization)
        place = dataclasses.replace(place, authorize=authorize)
    path = urlsplit(uri).path
    if not path.endswith("/"):
        return _single(path, place)
    base = place.path.partition("?")[0]
    return Model(
        _named(path),
        tuple(
            Wanted(name, dataclasses.replace(place, path=base + name), required=name == model_folder.GRAPH)
            for name in _FILES
        ),
        folder=True,
    )


def _is_first(place: Target, settings: FetchSettings) -> bool:
    """Tell whether a mirror is on the host of the first one: credentials are for that, and for no other."""
    first = next((uri for uri in settings.uris if uri.lower().startswith(("http://", "https://"))), "")
    try:
        return transport.parse(first).origin == place.origin
    except ModelError:
        return False


def _s3(uri: str, settings: FetchSettings, deadline: float) -> Model:
    bucket, key = s3.bucket_and_key(uri)
    if key and not key.endswith("/"):
        return _single(key, s3.target(bucket, key, settings))
    there = s3.names(bucket, key, settings, deadline, wanted=_FILES)
    if model_folder.GRAPH not in there:
        text = f"{uri} holds {', '.join(sorted(there))}, but no {model_folder.GRAPH}"
        raise ModelError(NOT_FOUND, text)
    files = [Wanted(name, s3.target(bucket, key + name, settings)) for name in _FILES if name in there]
    return Model(_named(key) if key else bucket, tuple(files), folder=True)


def _hf(uri: str, settings: FetchSettings) -> Model:
    place = huggingface.parse(uri)
    if place.path and not place.path.endswith("/"):
        return _single(place.path, huggingface.target(place, place.path, settings))
    files = [
        Wanted(name, huggingface.target(place, place.path + name, settings), required=name == model_folder.GRAPH)
        for name in _FILES
    ]
    return Model(place.repo, tuple(files), folder=True)


def _local(uri: str, settings: FetchSettings) -> Model:
    root, path = local.root_and_path(uri, settings)
    claim = uri.startswith("pvc://") and path == root
    if not claim and not uri.endswith("/"):
        return _single(path.name, LocalFile(root, path))
    files = [Wanted(name, LocalFile(root, path / name), required=name == model_folder.GRAPH) for name in _FILES]
    return Model(_named(str(path)), tuple(files), folder=True)


def _single(path: str, origin: Target | LocalFile) -> Model:
    return Model(_named(path), (Wanted(model_folder.GRAPH, origin),), folder=False)


def _named(path: str) -> str:
    """Return the name that a model has where none was given: the last part of its path, without suffix."""
    return PurePosixPath(path.rstrip("/")).stem or "model"

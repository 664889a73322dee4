"""Resolves `spec.model` to URIs and a digest: those of a catalogue entry, or those in the spec."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imageclassifier_operator.api.v1alpha1 import DEFAULT_PRECISION, ImageClassifierSpec, Model

if TYPE_CHECKING:
    from imageclassifier_operator.api.config import OperatorConfig

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_LENGTH = 63


class UnknownModelError(ValueError):
    """The catalogue has no model of this name."""


class ModelSource(Model):
    """A resolved model: `uris` are mirrors of the same bytes, tried in order, and `sha256` is their digest."""

    name: str
    uris: tuple[str, ...]
    sha256: str

    @property
    def scheme(self) -> str:
        """Return the scheme of the URIs: http, https, s3, hf, pvc or bundled."""
        return self.uris[0].partition(":")[0]

    @property
    def comes_with_server(self) -> bool:
        """Whether the server serves the model from its own image, so that no init container is needed.

        For another precision, one is needed: it reports which one is served.
        """
        is_bundled = len(self.uris) == 1 and self.scheme == "bundled"
        return is_bundled and self.precision == DEFAULT_PRECISION

    @property
    def claim(self) -> str | None:
        """Return the name of the PersistentVolumeClaim with the model, or None if the model is not in a claim."""
        return self.uris[0].partition("://")[2].partition("/")[0] if self.scheme == "pvc" else None


class Spec(ImageClassifierSpec):
    """A valid spec whose model is resolved."""

    model: ModelSource


def resolve(model: Model, *, config: OperatorConfig) -> ModelSource:
    """Return the source of a model: that of the spec's uri or, without a uri, that of a catalogue entry.

    Raises:
        UnknownModelError: the catalogue has no such model.
    """
    if model.uri is not None:
        resolved = {"name": model_name(model.uri), "uris": (model.uri,), "sha256": (model.sha256 or "").lower()}
        return ModelSource(**{**dict(model), **resolved})
    name = model.name or config.default_model
    entry = config.catalogue.get(name)
    if entry is None:
        known = ", ".join(sorted(config.catalogue)) or "nothing"
        raise UnknownModelError(f"{name} is not in the operator's catalogue, which has {known}")
    return ModelSource(name=name, uris=entry.uris, sha256=entry.sha256, precision=model.precision)


def model_name(uri: str) -> str:
    """Return the name of a model without a catalogue entry: the last part of its path, without the suffix .onnx.

    Responses and `kubectl get` show this name.
    """
    scheme, _, rest = uri.partition("://")
    if scheme in {"http", "https"}:
        path, fallback = re.split("[?#]", rest.partition("/")[2], maxsplit=1)[0], "model"
    elif scheme == "hf":
        repository, _, path = rest.partition("/")[2].partition("/")
        fallback = repository.partition("@")[0]
    else:
        fallback, _, path = rest.partition("/")
    last = path.rstrip("/").rpartition("/")[2].removesuffix(".onnx") or fallback
    return _NOT_IN_NAMES.sub("-", last)[:_MAX_NAME_LENGTH].strip("-.") or "model"

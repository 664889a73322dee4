"""Where a model of the spec's own comes from: what goes with which kind of address, and what it is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from imageclassifier_operator.api.types import ModelSource, S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 63


def source_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with `spec.model` as a whole; each has its twin among the CRD's CEL rules."""
    uri, sha256 = raw.get("uri"), raw.get("sha256")
    if uri and raw.get("name"):
        yield "spec.model: give name or uri, never both"
    if uri and not sha256:
        yield "spec.model: sha256 is required with uri; get it with sha256sum"
    if sha256 and not uri:
        yield "spec.model: sha256 goes only with uri; a catalogue entry brings its own digest"
    if raw.get("credentialsSecretRef") is not None:
        if not uri:
            yield "spec.model: credentialsSecretRef goes only with uri; a catalogue entry is read without"
        elif uri.startswith("pvc://"):
            yield "spec.model: credentialsSecretRef does not go with a pvc:// uri; a claim is mounted without"
        if not raw["credentialsSecretRef"].get("name"):
            yield "spec.model.credentialsSecretRef: name is required"
    if raw.get("s3") is not None and not (uri and uri.startswith("s3://")):
        yield "spec.model: s3 goes only with an s3:// uri"


def own_source(raw: Mapping[str, Any]) -> ModelSource:
    """Return the source of a spec that gives a uri."""
    uri = raw["uri"]
    secret = raw.get("credentialsSecretRef")
    store = raw.get("s3")
    default = S3Store()
    return ModelSource(
        name=model_name(uri),
        uris=(uri,),
        sha256=(raw.get("sha256") or "").lower(),
        credentials_secret=secret.get("name") if secret is not None else None,
        s3=None
        if store is None
        else S3Store(
            endpoint=store.get("endpoint"),
            region=store.get("region") or default.region,
            addressing=store.get("addressing") or default.addressing,
        ),
        precision=raw.get("precision") or ModelSource.precision,
    )


def model_name(uri: str) -> str:
    """Return the last part of the path, without its suffix: what answers and `kubectl get` call the model."""
    scheme, _, rest = uri.partition("://")
    if scheme in {"http", "https"}:
        path, otherwise = urlsplit(uri).path, "model"
    elif scheme == "hf":
        repository, _, path = rest.partition("/")[2].partition("/")
        otherwise = repository.partition("@")[0]
    else:
        otherwise, _, path = rest.partition("/")
    last = path.rstrip("/").rpartition("/")[2].removesuffix(".onnx") or otherwise
    return _NOT_IN_NAMES.sub("-", last)[:_LONGEST_NAME].strip("-.") or "model"

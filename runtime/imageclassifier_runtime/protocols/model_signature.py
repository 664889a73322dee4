"""The model as protocols v1 and v2 expose it: named tensors, and the model and version in the path."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import NotFoundError, UnsupportedTypeError
from imageclassifier_runtime.request import responses

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from imageclassifier_runtime.inference.pipeline import Classifier

# A pod serves one model in one version, which never changes during its lifetime.
VERSION = "1"
DEFAULT_CLASSES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """Two inputs, of which a request sends one, and two outputs.

    `tensor` and `scores` are the graph's: float32 [N, *shape] and [N, classes]. `image` takes image files,
    `top` returns classes as `value:index:label`; their names never clash with the graph's.
    """

    model: str
    labels: tuple[str, ...]
    tensor: str
    image: str
    scores: str
    top: str
    shape: tuple[int, int, int]

    @property
    def classes(self) -> int:
        """Return the model's number of classes."""
        return len(self.labels)

    @property
    def values(self) -> int:
        """Return the number of elements of one input tensor."""
        return self.shape[0] * self.shape[1] * self.shape[2]


def signature_of(classifier: Classifier) -> Signature:
    """Return the signature of a loaded model."""
    tensor, scores = classifier.tensor_names
    return Signature(
        model=classifier.model.info.name,
        labels=classifier.model.labels,
        tensor=tensor,
        image="image" if tensor != "image" else "image_bytes",
        scores=scores,
        top="classes" if scores != "classes" else "top_classes",
        shape=classifier.input_shape,
    )


def check_model(request: Request, signature: Signature) -> None:
    """Raise NotFoundError if the path names a model or version that is not served."""
    name, version = request.path_params["name"], request.path_params.get("version", VERSION)
    if name != signature.model:
        raise NotFoundError(f"Model {name[:100]!r} was not found; this server has {signature.model!r}.")
    if version != VERSION:
        raise NotFoundError(f"Model {name!r} has no version {version[:40]!r}; it has version {VERSION!r}.")


def for_model(request: Request, signature: Signature, respond: Callable[[], Response]) -> Response:
    """Return `respond()` if the path names the served model, else a 404 response."""
    try:
        check_model(request, signature)
    except NotFoundError as error:
        return responses.error_response(error)
    return respond()


def check_encoding(request: Request) -> None:
    """Raise UnsupportedTypeError for a compressed body: a small one could unpack to any size."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedTypeError(f"Content-Encoding {encoding[:40]!r} is not supported: send it uncompressed.")

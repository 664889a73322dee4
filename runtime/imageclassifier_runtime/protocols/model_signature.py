"""The model as the protocols v1 and v2 see it: tensors with names, and the paths that lead to it."""

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

# A pod serves one model in one version, which never changes while it lives.
VERSION = "1"
DEFAULT_CLASSES = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signature:
    """Two inputs, of which a request gives one, and two outputs.

    `tensor` and `scores` are the graph's own: float32 [N, *shape] and [N, classes]. `image` takes image files and
    `top` gives classes as `value:index:label`; they are named so that they never clash with the graph's.
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
        """Return how many classes the model tells apart."""
        return len(self.labels)

    @property
    def values(self) -> int:
        """Return how many numbers one input tensor has."""
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
    """Raise NotFoundError where a path names a model, or a version of it, that is not here."""
    name, version = request.path_params["name"], request.path_params.get("version", VERSION)
    if name != signature.model:
        raise NotFoundError(f"There is no model {name[:100]!r} here: this server has {signature.model!r}.")
    if version != VERSION:
        raise NotFoundError(f"Model {name!r} has no version {version[:40]!r} here: it has version {VERSION!r}.")


def for_model(request: Request, signature: Signature, answer: Callable[[], Response]) -> Response:
    """Return the answer about the model that the path names, or that it is not here."""
    try:
        check_model(request, signature)
    except NotFoundError as error:
        return responses.of_error(error)
    return answer()


def check_encoding(request: Request) -> None:
    """Raise UnsupportedTypeError for a compressed body: a small one could unpack to any size."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedTypeError(f"Content-Encoding {encoding[:40]!r} is not taken: send the body as it is.")

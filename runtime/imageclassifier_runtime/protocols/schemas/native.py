"""What the OpenAPI document says about the native API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from imageclassifier_runtime.inference.image_headers.formats import MEDIA_TYPES, NAMES
from imageclassifier_runtime.protocols.request_context import MAX_ITEMS, batch_bytes
from imageclassifier_runtime.protocols.schemas import parts
from imageclassifier_runtime.protocols.state import Phase  # noqa: TC001 - pydantic reads the annotations

if TYPE_CHECKING:
    from imageclassifier_runtime.protocols.state import ServerState
    from imageclassifier_runtime.settings.commands import ServeSettings

DESCRIPTION = "Classifies images: an image in, the most likely classes out."
_FORM = "multipart/form-data"
_TIMINGS: Any = Field(description="Milliseconds by stage")


class Prediction(parts.Schema):
    class_id: int
    class_name: str
    probability: float = Field(ge=0, le=1)


class ServedModel(parts.Schema):
    name: str
    sha256: str


class ImageResult(parts.Schema):
    predictions: list[Prediction] = Field(description="Most likely class first")
    timings_ms: dict[str, float] = _TIMINGS


class ImageProblem(parts.Schema):
    problem: parts.Problem


class Classification(ImageResult):
    model: ServedModel


class Batch(parts.Schema):
    results: list[ImageResult | ImageProblem] = Field(description="In the order of the images")
    model: ServedModel
    timings_ms: dict[str, float] = _TIMINGS


class Health(parts.Schema):
    status: Phase
    model: str
    waiting: int
    running: int


class Preprocessing(parts.Schema):
    """The fields of Hugging Face's `preprocessor_config.json`."""

    do_resize: bool
    size: dict[Literal["shortest_edge", "height", "width"], int]
    do_center_crop: bool
    crop_size: dict[Literal["height", "width"], int]
    resample: int
    do_rescale: bool
    rescale_factor: float
    do_normalize: bool
    image_mean: list[float]
    image_std: list[float]


class ModelInfo(ServedModel):
    precision: Literal["FP32", "INT8"]
    graph_sha256: str
    classes: int
    input_size: int
    labels: list[str]
    preprocessing: Preprocessing
    limits: dict[str, int]


_READY = "The model is loaded and warmed up, and the server is not draining"
_LIMITS = "The model's metadata and this server's limits"
HEALTH = parts.get("Summary of the server's health", Health, _READY, parts.not_ready(Health))
READY = parts.get("Whether this server accepts requests", Health, _READY, parts.not_ready(Health))
LIVE = parts.get("Whether the event loop runs", parts.Alive, "The process is alive")
MODEL_INFO = parts.get("The served model, and this server's limits", ModelInfo, _LIMITS)


def classify(settings: ServeSettings) -> dict[str, Any]:
    """Return the documentation of the endpoint for one image."""
    form = parts.object_of({"file": {**parts.BINARY, "description": "The image"}}, top_k=parts.TOP_K)
    images = dict.fromkeys((*MEDIA_TYPES, "application/octet-stream"), parts.BINARY)
    most = f"{settings.max_image_bytes} bytes or {settings.max_image_pixels} pixels"
    return {
        "operation_id": "classify",
        "summary": "Classify one image",
        "description": (
            f"Send the image, a {NAMES} (first frame), as the request body, or as the field `file` of a form. "
            "The format is detected from the bytes, not from the content type. EXIF orientation is applied, and "
            "transparency is blended onto white."
        ),
        "responses": {
            200: parts.classes(parts.ref(Classification), "The most likely classes"),
            400: parts.problem("The image cannot be decoded, or the form is malformed"),
            408: parts.problem(parts.BODY_TIMEOUT),
            413: parts.problem(f"The image has more than {most}, or decoding it takes too much memory"),
            415: parts.problem("The image format or the content type is not supported"),
            422: parts.problem("A parameter is invalid, or the form does not have exactly one `file`"),
            503: parts.problem(parts.NO_CAPACITY, **parts.RETRY),
        },
        "openapi_extra": parts.request({_FORM: form, **images}, parts.TOP_K_QUERY, parts.REQUEST_ID),
    }


def classify_batch(state: ServerState) -> dict[str, Any]:
    """Return the documentation of the endpoint for several images."""
    files = {
        "type": "array",
        "maxItems": MAX_ITEMS,
        "items": parts.BINARY,
        "description": f"The images, each in its own field `file`, at most {MAX_ITEMS}",
    }
    form = parts.object_of({"file": files}, top_k=parts.TOP_K)
    most = batch_bytes(state)
    return {
        "operation_id": "classify_batch",
        "summary": f"Classify up to {MAX_ITEMS} images",
        "description": (
            "Each image has its own result, in the order of the form: `predictions`, or a `problem` that says why "
            f"there are none. The whole body may have at most {most} bytes on this server, and each image as many "
            "as a single one."
        ),
        "responses": {
            200: parts.classes(parts.ref(Batch), "A result for each image; all of them may be problems"),
            400: parts.problem("The form is malformed"),
            408: parts.problem(parts.BODY_TIMEOUT),
            413: parts.problem(f"The body has more than {most} bytes"),
            415: parts.problem("The body is not a form"),
            422: parts.problem(f"A parameter is invalid, or the form has no images or more than {MAX_ITEMS}"),
            503: parts.problem("No capacity for any of the images, or the server is shutting down", **parts.RETRY),
        },
        "openapi_extra": parts.request({_FORM: form}, parts.TOP_K_QUERY, parts.REQUEST_ID),
    }

"""The operator's configuration: the image that it deploys, and the model catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A model that a spec can refer to by name: the URIs of mirrors of the same bytes, and their digest.

    classes: the number of its classes, if it is known.
    """

    uris: tuple[str, ...]
    sha256: str
    classes: int | None = None


@dataclass(frozen=True, kw_only=True)
class OperatorConfig:
    """The settings of one installation of the operator. They apply to every ImageClassifier.

    upgrade_wave_size: how many ImageClassifiers adopt a new pod template of the operator at the same time.
    """

    runtime_image: str
    image_pull_policy: str = "IfNotPresent"
    upgrade_wave_size: int = 5
    default_model: str = "cifar10-mobilenet-v2"
    catalogue: Mapping[str, CatalogueEntry] = field(default_factory=dict)

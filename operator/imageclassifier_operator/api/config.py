"""The operator's configuration: the image that it deploys, and the model catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A model that specs may name: mirrors of the same bytes, and their digest."""

    uris: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class OperatorConfig:
    """Settings of an installation that apply to every ImageClassifier."""

    runtime_image: str
    image_pull_policy: str = "IfNotPresent"
    default_model: str = "cifar10-mobilenet-v2"
    catalogue: Mapping[str, CatalogueEntry] = field(default_factory=dict)

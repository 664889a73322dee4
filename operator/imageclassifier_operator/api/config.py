"""The operator's configuration: the image that it deploys, and the model catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """A model that a spec can refer to by name: the URIs of mirrors of the same bytes, and their digest."""

    uris: tuple[str, ...]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class OperatorConfig:
    """The settings of one installation of the operator. They apply to every ImageClassifier.

    upgrade_wave_size: how many ImageClassifiers adopt a new pod template of the operator at the same time.
    runtime_…_proxy: the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY of every pod whose spec does not set them.
    runtime_ca_config_map: the ConfigMap with CA certificates, in the namespace of each pod whose spec names none.
    """

    runtime_image: str
    image_pull_policy: str = "IfNotPresent"
    upgrade_wave_size: int = 5
    default_model: str = "cifar10-mobilenet-v2"
    runtime_https_proxy: str = ""
    runtime_http_proxy: str = ""
    runtime_no_proxy: str = ""
    runtime_ca_config_map: str = ""
    catalogue: Mapping[str, CatalogueEntry] = field(default_factory=dict)

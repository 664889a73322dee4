"""The ImageClassifier API as typed values: what a spec says, and what is wrong with one."""

from imageclassifier_operator.api.catalogue import CatalogueError, parse_catalogue
from imageclassifier_operator.api.config import CatalogueEntry, OperatorConfig
from imageclassifier_operator.api.parse import InvalidSpecError, parse
from imageclassifier_operator.api.types import (
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    Autoscaling,
    Batching,
    ImageClassifier,
    Limits,
    ModelSource,
    Monitoring,
    Resources,
    Rollout,
    S3Store,
    Service,
    Spec,
)

__all__ = [
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Autoscaling",
    "Batching",
    "CatalogueEntry",
    "CatalogueError",
    "ImageClassifier",
    "InvalidSpecError",
    "Limits",
    "ModelSource",
    "Monitoring",
    "OperatorConfig",
    "Resources",
    "Rollout",
    "S3Store",
    "Service",
    "Spec",
    "parse",
    "parse_catalogue",
]

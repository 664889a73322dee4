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
    Cache,
    ImageClassifier,
    Limits,
    ModelSource,
    Monitoring,
    RateLimit,
    RedisStore,
    Resources,
    Rollout,
    S3Store,
    Security,
    Service,
    Spec,
    Tracing,
)

__all__ = [
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Autoscaling",
    "Cache",
    "CatalogueEntry",
    "CatalogueError",
    "ImageClassifier",
    "InvalidSpecError",
    "Limits",
    "ModelSource",
    "Monitoring",
    "OperatorConfig",
    "RateLimit",
    "RedisStore",
    "Resources",
    "Rollout",
    "S3Store",
    "Security",
    "Service",
    "Spec",
    "Tracing",
    "parse",
    "parse_catalogue",
]

"""The ImageClassifier API as typed values, and its validation."""

from imageclassifier_operator.api.catalogue import CatalogueError, parse_catalogue
from imageclassifier_operator.api.config import CatalogueEntry, OperatorConfig
from imageclassifier_operator.api.model_source import ModelSource, Spec
from imageclassifier_operator.api.v1alpha1 import (
    DEFAULT_PRECISION,
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    Autoscaling,
    Batching,
    Cache,
    Limits,
    Monitoring,
    RateLimit,
    RedisStore,
    Resources,
    Rollout,
    S3Store,
    Security,
    Service,
    Tracing,
)
from imageclassifier_operator.api.validation import ImageClassifier, InvalidSpecError, parse, unknown_fields

__all__ = [
    "DEFAULT_PRECISION",
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "Autoscaling",
    "Batching",
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
    "unknown_fields",
]

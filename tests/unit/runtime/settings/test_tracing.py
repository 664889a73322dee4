"""The standard variables of OpenTelemetry: their effects, and the errors for invalid values."""

from __future__ import annotations

import pytest
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.commands import ServeSettings
from imageclassifier_runtime.settings.tracing import TracingSettings

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def read(**env: str) -> TracingSettings:
    settings = TracingSettings.from_env({**ENDPOINT, **env})
    assert settings is not None
    return settings


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "pets", "OTEL_TRACES_SAMPLER": "always_on"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_tracing_is_off_without_an_endpoint_or_if_disabled(env: dict[str, str]) -> None:
    assert ServeSettings.from_env(env).tracing is None


@pytest.mark.parametrize(
    ("env", "endpoint"),
    [
        (ENDPOINT, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://host/otlp/"}, "https://host/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other:1/as/it/is"}, "http://other:1/as/it/is"),
    ],
)
def test_only_the_general_endpoint_gets_the_path_of_traces(env: dict[str, str], endpoint: str) -> None:
    settings = ServeSettings.from_env({**ENDPOINT, **env}).tracing
    assert settings is not None
    assert settings.endpoint == endpoint


@pytest.mark.parametrize(
    ("sampler", "argument", "parent_based", "ratio"),
    [
        ("", "", True, 1.0),
        ("always_on", "", False, 1.0),
        ("always_off", "0.5", False, 0.0),
        ("traceidratio", "0.25", False, 0.25),
        ("parentbased_traceidratio", "0.01", True, 0.01),
        ("parentbased_always_off", "", True, 0.0),
    ],
)
def test_the_sampler_has_the_standard_names(sampler: str, argument: str, parent_based: bool, ratio: float) -> None:
    settings = read(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)
    assert (settings.parent_based, settings.ratio) == (parent_based, ratio)


def test_the_resource_is_percent_decoded_and_the_service_name_has_precedence() -> None:
    settings = read(
        OTEL_RESOURCE_ATTRIBUTES="service.name=other,team=cats%2C%20dogs, k8s.pod.name=pets-1",
        OTEL_SERVICE_NAME="pets",
    )
    assert settings.resource == {"service.name": "pets", "team": "cats, dogs", "k8s.pod.name": "pets-1"}


def test_variables_for_traces_have_precedence_over_general_ones() -> None:
    settings = read(
        OTEL_EXPORTER_OTLP_HEADERS="api-key=all",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="api-key=tra%20ces",
        OTEL_EXPORTER_OTLP_TIMEOUT="10000",
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="2500",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )
    assert settings.headers == {"api-key": "tra ces"}
    assert settings.timeout_seconds == 2.5
    assert settings.gzip


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT must be http"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:port"}, "OTEL_EXPORTER_OTLP_ENDPOINT must be http"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf"),
        ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER must be one of always_on"),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"},
            "OTEL_TRACES_SAMPLER_ARG must be a number between 0 and 1",
        ),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "OTEL_EXPORTER_OTLP_TIMEOUT must be a whole number"),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"}, "OTEL_EXPORTER_OTLP_COMPRESSION must be none or gzip"),
        ({"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere"}, "OTEL_EXPORTER_OTLP_CERTIFICATE must be a file"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "nothing"}, "OTEL_RESOURCE_ATTRIBUTES must be pairs"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, "OTEL_BSP_MAX_QUEUE_SIZE must be a whole number between 1"),
    ],
)
def test_the_error_for_an_invalid_value_names_the_valid_ones(env: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        ServeSettings.from_env({**ENDPOINT, **env})


@pytest.mark.parametrize(
    "env",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:s3cret@host:4318"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4318/?key=s3cret"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://host:4318/?key=@s3cret"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret%0d%0aX: y"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "s3cret"},
    ],
)
def test_no_error_shows_a_key(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        TracingSettings.from_env({**ENDPOINT, **env})
    assert "s3cret" not in str(caught.value)

"""Settings come from the environment; the error for an invalid one names it and what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.commands import FetchSettings, ServeSettings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = ServeSettings.from_env({})
    assert (settings.port, settings.max_image_bytes, settings.max_image_pixels) == (8080, 10 << 20, 25_000_000)
    assert (settings.max_queue_size, settings.drain_seconds, settings.model_dir) == (64, 10.0, None)


def test_every_fixed_name_is_read() -> None:
    env = {
        "IMAGECLASSIFIER_MODEL_DIR": "/model",
        "IMAGECLASSIFIER_MODEL_NAME": "pets",
        "IMAGECLASSIFIER_PORT": "9000",
        "IMAGECLASSIFIER_MAX_IMAGE_BYTES": "2048",
        "IMAGECLASSIFIER_MAX_IMAGE_PIXELS": "4096",
        "IMAGECLASSIFIER_MAX_QUEUE_SIZE": "3",
        "IMAGECLASSIFIER_DRAIN_SECONDS": "0",
    }
    settings = ServeSettings.from_env(env)
    assert settings.model_dir == Path("/model")
    assert (settings.model_name, settings.port, settings.max_image_bytes) == ("pets", 9000, 2048)
    assert (settings.max_image_pixels, settings.max_queue_size, settings.drain_seconds) == (4096, 3, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("MAX_IMAGE_BYTES", "10Mi"),
        ("MAX_QUEUE_SIZE", "0"),
        ("DRAIN_SECONDS", "-1"),
        ("DRAIN_SECONDS", "nan"),
        ("PRECISION", "FP16"),
        ("RATE_LIMIT", "0"),
        ("RATE_LIMIT", "fast"),
        ("RATE_LIMIT_BURST", "5"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
    ],
)
def test_the_error_for_an_invalid_value_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"IMAGECLASSIFIER_{name} must be"):
        ServeSettings.from_env({f"IMAGECLASSIFIER_{name}": value})


@pytest.mark.parametrize(
    ("value", "precision"), [("", "FP32"), ("auto", "Auto"), ("Int8", "INT8"), ("FP32", "FP32")]
)
def test_precision_is_case_insensitive(value: str, precision: str) -> None:
    env = {"IMAGECLASSIFIER_PRECISION": value}
    assert ServeSettings.from_env(env).precision == FetchSettings.from_env(env).precision == precision


def test_several_uris_are_mirrors_in_order() -> None:
    settings = FetchSettings.from_env({"IMAGECLASSIFIER_MODEL_URI": " https://a/m.onnx  bundled:x "})
    assert settings.uris == ("https://a/m.onnx", "bundled:x")


@pytest.mark.parametrize("digest", ["abc", "g" * 64, "0" * 63])
def test_an_invalid_digest_is_rejected(digest: str) -> None:
    with pytest.raises(SettingsError, match="64 hexadecimal digits"):
        FetchSettings.from_env({"IMAGECLASSIFIER_MODEL_SHA256": digest})


@pytest.mark.parametrize("name", ["S3_ENDPOINT", "HF_ENDPOINT"])
@pytest.mark.parametrize(
    "value", ["http://[x", "http://h:port", "http://h:99999", "http://u:s3cret@h", "http://u:s3/cret@h"]
)
def test_the_error_for_an_invalid_endpoint_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"IMAGECLASSIFIER_{name} must be http") as caught:
        FetchSettings.from_env({f"IMAGECLASSIFIER_{name}": value})
    assert [piece for piece in ("s3", "cret") if piece in str(caught.value).partition(" must ")[2]] == []


def test_serve_does_not_serve_another_model_than_the_uri_of_fetch() -> None:
    env = {"IMAGECLASSIFIER_MODEL_URI": "https://user:secret@models.example.org/m.onnx"}
    with pytest.raises(SettingsError, match="run `imageclassifier fetch`") as raised:
        ServeSettings.from_env(env)
    assert "secret" not in str(raised.value)
    folder = Path("/model")
    assert ServeSettings.from_env({**env, "IMAGECLASSIFIER_MODEL_DIR": "/model"}).model_dir == folder
    assert ServeSettings.from_env(env, folder=folder).model_dir == folder


def test_an_upper_case_digest_is_accepted() -> None:
    assert FetchSettings.from_env({"IMAGECLASSIFIER_MODEL_SHA256": "AB" * 32}).sha256 == "ab" * 32


def test_authentication_is_off_by_default() -> None:
    settings = ServeSettings.from_env({})
    assert (settings.api_keys_path, settings.rate_limit, settings.trusted_proxies) == (None, None, ())


def test_authentication_is_configured_from_the_environment() -> None:
    env = {
        "IMAGECLASSIFIER_API_KEYS_PATH": "/keys",
        "IMAGECLASSIFIER_RATE_LIMIT": "0.5",
        "IMAGECLASSIFIER_RATE_LIMIT_BURST": "3",
        "IMAGECLASSIFIER_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8",
    }
    settings = ServeSettings.from_env(env)
    assert (settings.api_keys_path, settings.rate_limit, settings.rate_limit_burst) == (Path("/keys"), 0.5, 3)
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]

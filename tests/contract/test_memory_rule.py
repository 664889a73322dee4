"""The operator and the server calculate the same memory limit for the same spec."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from imageclassifier_operator.api import InvalidSpecError
from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.scheduling.memory_budget import Memory, divide, needed
from imageclassifier_runtime.settings.commands import ServeSettings

from tests.contract import pods

_MIB = 1024 * 1024
_BYTES = (1024, 10 * _MIB, 100_000_001, 1024 * _MIB)
_PIXELS = (1024, 1_000_000, 25_000_000, 200_000_000)
_CACHES = (None, _MIB, 16 * _MIB, 16 * 1024 * _MIB)
# The memory of the process itself that the runtime's unit tests assume.
_PROCESS = 125 * _MIB


def _spec(memory: int, image_bytes: int, pixels: int, cache: int | None) -> dict[str, Any]:
    return {
        "resources": {"requests": {"memory": "1Mi"}, "limits": {"memory": memory}},
        "limits": {"maxImageBytes": image_bytes, "maxImagePixels": pixels},
        **({} if cache is None else {"cache": {"maxBytes": cache}}),
    }


def _settings(spec: dict[str, Any]) -> ServeSettings:
    return ServeSettings.from_env(pods.environment(pods.containers(pods.parsed(spec))["serve"]))


_CASES = [
    pytest.param(image_bytes, pixels, cache, id=f"{image_bytes} bytes, {pixels} pixels, cache {cache}")
    for image_bytes, pixels, cache in itertools.product(_BYTES, _PIXELS, _CACHES)
]


@pytest.mark.parametrize(("image_bytes", "pixels", "cache"), _CASES)
def test_the_smallest_limit_that_the_operator_accepts_is_what_the_server_needs(
    image_bytes: int, pixels: int, cache: int | None
) -> None:
    settings = _settings(_spec(2**44, image_bytes, pixels, cache))
    limit = needed(settings)
    assert _settings(_spec(limit, image_bytes, pixels, cache)) == settings
    with pytest.raises(InvalidSpecError, match=rf"needs {-(-limit // _MIB)} MiB of memory"):
        pods.parsed(_spec(limit - 1, image_bytes, pixels, cache))


@pytest.mark.parametrize(("image_bytes", "pixels", "cache"), _CASES)
def test_the_largest_image_fits_into_the_smallest_limit(image_bytes: int, pixels: int, cache: int | None) -> None:
    # for very small images, the rule does not count the fixed memory of a decoder
    settings = _settings(_spec(2**44, image_bytes, max(pixels, 1_000_000), cache))
    sizes = divide(Memory(limit=needed(settings), used=_PROCESS, available=0), settings)
    assert sizes.bodies >= settings.max_image_bytes
    assert sizes.pixels >= 7.5 * settings.max_image_pixels
    assert sizes.bodies + sizes.pixels + settings.cache.max_bytes + _PROCESS < needed(settings)


def test_the_error_for_a_limit_that_is_too_small_names_the_needed_limit() -> None:
    settings = _settings(_spec(2**44, 10 * _MIB, 25_000_000, None))
    with pytest.raises(SettingsError, match=rf"need a limit of {-(-needed(settings) // _MIB)} MiB$"):
        divide(Memory(limit=128 * _MIB, used=120 * _MIB, available=0), settings)


def test_the_description_of_the_field_states_the_rule() -> None:
    text = " ".join(pods.SPEC_SCHEMA["properties"]["limits"]["description"].split())
    found = re.search(r"(\d+) MiB \+ maxImageBytes \+ (\d+) x maxImagePixels, and cache.maxBytes", text)
    assert found is not None
    base, cost = int(found[1]) * _MIB, int(found[2])
    settings = _settings(_spec(2**44, 2048, 4096, 2 * _MIB))
    assert needed(settings) == base + 2048 + cost * 4096 + 2 * _MIB

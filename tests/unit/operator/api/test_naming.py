"""Every name that an object may have gives a name that every child may have."""

from __future__ import annotations

import re

import pytest
from imageclassifier_operator.labels import child_labels, selector_labels, selector_text
from imageclassifier_operator.naming import child_name, service_url

_NAMES = [
    "pets",
    "a",
    "a" * 63,
    "a" * 64,
    "a" * 253,
    "3.pets.of-the-house",
    "1",
    "3",
    "pets.v2",
    "pets-v2",
    "a." * 126 + "a",
    "0" * 253,
    f"{'a' * 54}.b",
]


@pytest.mark.parametrize("name", _NAMES)
def test_a_child_may_be_called_so_as_a_service_and_as_a_label(name: str) -> None:
    child = child_name(name)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", child)


@pytest.mark.parametrize("name", ["pets", "a", "pets-v2", "a" * 63])
def test_a_name_that_fits_is_kept(name: str) -> None:
    assert child_name(name) == name


def test_two_names_never_meet() -> None:
    assert len({child_name(name) for name in _NAMES}) == len(set(_NAMES))


def test_a_long_name_stays_recognisable() -> None:
    assert child_name("pets.of-the-house").startswith("pets-of-the-house-")


def test_the_address_leaves_out_the_port_that_goes_without_saying() -> None:
    assert service_url(name="pets", namespace="vision", port=80) == "http://pets.vision.svc"
    assert service_url(name="pets", namespace="vision", port=8080) == "http://pets.vision.svc:8080"


def test_what_selects_is_a_part_of_what_every_child_wears() -> None:
    assert selector_labels("pets").items() <= child_labels("pets").items()
    assert selector_text("pets") == "app.kubernetes.io/name=imageclassifier,app.kubernetes.io/instance=pets"


def test_no_label_tells_a_version() -> None:
    assert not [key for key in child_labels("pets") if "version" in key]

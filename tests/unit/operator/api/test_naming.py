"""Every valid name of an ImageClassifier results in a name that is valid for every child."""

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
def test_a_childs_name_is_valid_for_a_service_and_as_a_label(name: str) -> None:
    child = child_name(name)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", child)


@pytest.mark.parametrize("name", ["pets", "a", "pets-v2", "a" * 63])
def test_a_valid_name_is_kept(name: str) -> None:
    assert child_name(name) == name


def test_different_objects_have_different_children() -> None:
    assert len({child_name(name) for name in _NAMES}) == len(set(_NAMES))


def test_a_changed_name_stays_recognisable() -> None:
    assert child_name("pets.of-the-house").startswith("pets-of-the-house-")


def test_the_url_omits_the_default_port() -> None:
    assert service_url(name="pets", namespace="vision", port=80) == "http://pets.vision.svc"
    assert service_url(name="pets", namespace="vision", port=8080) == "http://pets.vision.svc:8080"


def test_the_selector_labels_are_a_subset_of_the_labels_of_a_child() -> None:
    assert selector_labels("pets").items() <= child_labels("pets").items()
    assert selector_text("pets") == "app.kubernetes.io/name=imageclassifier,app.kubernetes.io/instance=pets"


def test_no_label_contains_a_version() -> None:
    assert not [key for key in child_labels("pets") if "version" in key]

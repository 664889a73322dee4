"""Quantities are parsed exactly, in every notation of Kubernetes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from imageclassifier_operator.api.quantity import QuantityError, parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("7", "7"),
        (7, "7"),
        ("500m", "0.5"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1k", "1000"),
        ("1Ki", "1024"),
        ("512Mi", "536870912"),
        ("1.5Gi", "1610612736"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        ("+3", "3"),
        ("-3", "-3"),
        ("100u", "0.0001"),
        ("100n", "0.0000001"),
    ],
)
def test_a_quantity_is_parsed_as_its_number(text: str | int, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


def test_quantities_in_different_notations_are_equal() -> None:
    assert parse_quantity("1000m") == parse_quantity("1") == parse_quantity(1)
    assert parse_quantity("1Gi") == parse_quantity("1024Mi")


@pytest.mark.parametrize(
    "text", ["", " ", "Mi", "512mi", "512MB", "1 Gi", "0x10", "1,5", "1e", "--1", "٣", "1e999", "NaN", "Infinity"]
)
def test_an_invalid_quantity_is_rejected_with_examples(text: str) -> None:
    with pytest.raises(QuantityError, match=r"is not a quantity such as 500m"):
        parse_quantity(text)

"""Parses Kubernetes quantities to exact numbers.

Source: apimachinery `pkg/api/resource/quantity.go` (decimal and binary suffixes, decimal exponents).
"""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i))?$")
_SUFFIX = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


class QuantityError(ValueError):
    """A text that is not a Kubernetes quantity."""


def parse_quantity(value: str | int) -> Decimal:
    """Return the value of a quantity such as `100m`, `1.5Gi`, `2e3` or `7`.

    Raises:
        QuantityError: the text is not a quantity.
    """
    match = _QUANTITY.match(str(value).strip())
    if match is None:
        raise QuantityError(f"{value!r} is not a quantity such as 500m, 0.5, 256Mi or 1Gi")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIX.get(suffix or "", Decimal(1))

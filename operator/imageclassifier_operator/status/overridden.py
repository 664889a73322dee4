"""Reports the fields of children that the API server sets to another value than the applied one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageclassifier_operator.status.types import OverriddenField

_MOST_FIELDS = 3
_LONGEST_VALUE = 80
_LONGEST_PATH = 200


def sentence_of(field: OverriddenField) -> str:
    """Return the sentence about one field."""
    return (
        f"{field.kind} {field.path[:_LONGEST_PATH]} is overridden by the API server (an admission policy or "
        f"webhook): desired {_text(field.desired)}, observed {_text(field.observed)}"
    )


def appended(message: str, overridden: Sequence[OverriddenField], *, longest: int) -> str:
    """Return a message followed by the overridden fields, at most `longest` characters."""
    sentences = [sentence_of(field) for field in overridden[:_MOST_FIELDS]]
    if len(overridden) > _MOST_FIELDS:
        sentences.append(f"{len(overridden) - _MOST_FIELDS} more fields are overridden")
    if not sentences:
        return message[:longest]
    suffix = "; ".join(["", *sentences])
    return message[: max(0, longest - len(suffix))] + suffix


def _text(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) and value else json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"

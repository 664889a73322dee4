"""Messages about overridden fields: the operator applied one value, and the API server stored another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageclassifier_operator.status.types import OverriddenField

_MAX_FIELDS = 3
_MAX_VALUE_LENGTH = 80
_MAX_PATH_LENGTH = 200


def override_message(field: OverriddenField) -> str:
    """Return the message about one field, with its desired and its observed value."""
    return (
        f"{field.kind} {field.path[:_MAX_PATH_LENGTH]} is overridden by the API server (an admission policy or "
        f"webhook): desired {format_value(field.desired)}, observed {format_value(field.observed)}"
    )


def with_overridden_fields(message: str, overridden: Sequence[OverriddenField], *, max_length: int) -> str:
    """Return the message of a condition, followed by messages about the overridden fields.

    The message of the condition is cut, so that the result has at most `max_length` characters.
    """
    additions = [override_message(field) for field in overridden[:_MAX_FIELDS]]
    more = len(overridden) - _MAX_FIELDS
    if more > 0:
        additions.append(f"{more} more {'field is' if more == 1 else 'fields are'} overridden")
    suffix = "".join(f"; {addition}" for addition in additions)
    return message[: max(0, max_length - len(suffix))] + suffix


def format_value(value: Any) -> str:
    """Return a value as text: a string as it is, `none` if absent, other values and the empty string as JSON."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) and value else json.dumps(value, sort_keys=True)
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…"

"""Messages about overridden fields: the operator applied one value, and the API server stored another."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageclassifier_operator.status.types import OverriddenField

_MAX_FIELDS = 3
_MAX_VALUE_LENGTH = 80
_MAX_PATH_LENGTH = 200
_MAX_MASKED_LENGTH = 4096
"""A longer value is not shown, since masking it would take long."""

_CREDENTIALS = re.compile(r"(?<=//)[^/\s]*@|^[^/\s:@]+:[^/\s]*@(?!sha\d+:)")
"""User and password in a URL, or before a host without a scheme, as in the variables of a proxy."""

_QUERY = re.compile(r"(?<=\w://)([^\s?#]*\?)[^\s#]+")
"""The query of a URL, which may have a signature or a token, after the rest of it."""


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
    """Return a value as text: a string as it is, `none` if absent, other values and the empty string as JSON.

    It does not show the credentials of URLs.
    """
    if value is None:
        return "none"
    value = without_credentials(value)
    text = value if isinstance(value, str) and value else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…"


def without_credentials(value: Any) -> Any:
    """Return a value of JSON with `…` for the credentials and the query of all URLs in it."""
    if isinstance(value, str) and len(value) > _MAX_MASKED_LENGTH:
        return f"… ({len(value)} characters)"
    if isinstance(value, str):
        return _QUERY.sub(r"\1…", _CREDENTIALS.sub("…@", value))
    if isinstance(value, dict):
        return {key: without_credentials(item) for key, item in value.items()}
    return [without_credentials(item) for item in value] if isinstance(value, list | tuple) else value

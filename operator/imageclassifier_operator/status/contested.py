"""The condition Contested: somebody else sets a field of a child back again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageclassifier_operator.status.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageclassifier_operator.status.types import ContestedField

_MAX_FIELDS = 3
_MAX_PATH_LENGTH = 200
_UNKNOWN = "an unknown writer, such as a second operator, or one that removes the field"


def contested_verdict(fields: Sequence[ContestedField]) -> Verdict:
    """Return the verdict of Contested, with the fields and who sets them back."""
    if not fields:
        return Verdict(status="False", reason="NotContested", message="No field of a child is set back by others")
    named = ", ".join(
        f"{field.kind} {field.path[:_MAX_PATH_LENGTH]} (by {field.manager or _UNKNOWN})"
        for field in fields[:_MAX_FIELDS]
    )
    more = f", and {len(fields) - _MAX_FIELDS} more" if len(fields) > _MAX_FIELDS else ""
    message = (
        f"Set back again and again: {named}{more}; stop the other writer, or declare the value in the spec of the "
        "ImageClassifier. Until then, the operator writes these fields only from time to time"
    )
    return Verdict(status="True", reason="SetBackByOthers", message=message)

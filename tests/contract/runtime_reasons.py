"""The reasons that `fetch` and `serve` write into the termination messages of their containers."""

from __future__ import annotations

from imageclassifier_runtime import errors
from imageclassifier_runtime.errors import SettingsError

MODEL_REASONS = {
    name: value
    for name, value in vars(errors).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
}
"""The reasons of ModelError, by the name of the constant."""

SETTINGS_REASONS = {SettingsError.reason, *(error.reason for error in SettingsError.__subclasses__())}

ALL = sorted({*MODEL_REASONS.values(), *SETTINGS_REASONS})

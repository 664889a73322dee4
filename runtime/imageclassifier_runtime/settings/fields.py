"""A setting is described once, as the field of a dataclass: its variable, type, default, bounds and help.

The environment is read by these descriptions; the flags, `--help` and the table in the README come from them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from imageclassifier_runtime.settings.environment import Reader

MIB = 1024 * 1024
_KEY = "setting"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting; `variable` is without its prefix, `default` and `values` are texts in Markdown."""

    variable: str
    read: Callable[[Reader, str], Any]
    about: str
    default: str
    values: str
    flag: bool

    @property
    def help(self) -> str:
        """Return the text for `--help`."""
        known = f"{self.values}; default: {self.default}" if self.values else f"default: {self.default}"
        return f"{self.about} ({known.replace('`', '')})"


def settings_of(cls: type) -> Mapping[str, Setting]:
    """Return a class's settings by field name; its other fields are constants."""
    found = {}
    for field in dataclasses.fields(cls):
        setting: Setting | None = field.metadata.get(_KEY)
        if setting is not None:
            found[field.name] = dataclasses.replace(setting, variable=setting.variable or field.name.upper())
    return found


def values_of(cls: type, read: Reader) -> dict[str, Any]:
    """Return the value of every field that is a setting; raises SettingsError."""
    return {name: setting.read(read, setting.variable) for name, setting in settings_of(cls).items()}


def custom(
    read: Callable[[Reader, str], Any],
    default: Any,
    about: str,
    *,
    variable: str = "",
    shown: str | None = None,
    values: str = "",
    flag: bool = False,
    secret: bool = False,
) -> Any:
    """Return a field that is read by `read`; `shown` is its default in words, if the value is not clear."""
    setting = Setting(
        variable=variable,
        read=read,
        about=about,
        default=_shown(default) if shown is None else shown,
        values=values,
        flag=flag,
    )
    return dataclasses.field(default=default, metadata={_KEY: setting}, repr=not secret)


def text(default: str | None, about: str, **more: Any) -> Any:
    """Return a field of plain text."""
    return custom(lambda read, name: read.text(name, default), default, about, **more)


def path(default: Path | None, about: str, **more: Any) -> Any:
    """Return a field of a path."""
    return custom(lambda read, name: read.path(name, default), default, about, **more)


def choice(default: str, values: tuple[str, ...], about: str, **more: Any) -> Any:
    """Return a field of one of several words, case-insensitive."""
    listed = ", ".join(f"`{value}`" for value in values)
    return custom(lambda read, name: read.choice(name, default, values), default, about, values=listed, **more)


def whole(default: int | None, low: int, high: int, about: str, **more: Any) -> Any:
    """Return a field of a whole number within bounds."""

    def read(reader: Reader, name: str) -> int | None:
        if default is None and reader.text(name, None) is None:
            return None
        return reader.integer(name, default or 0, low, high)

    return custom(read, default, about, values=_bounds(low, high), **more)


def number(
    default: float | None,
    low: float,
    high: float,
    about: str,
    *,
    what: str = "of seconds",
    **more: Any,
) -> Any:
    """Return a field of a number within bounds; `what` is its unit."""

    def read(reader: Reader, name: str) -> float | None:
        if default is None and reader.text(name, None) is None:
            return None
        return reader.number(name, default or 0, low, high, what)

    return custom(read, default, about, values=_bounds(low, high), **more)


def matching(default: str, pattern: str, wanted: str, about: str, **more: Any) -> Any:
    """Return a field of text that matches `pattern`; `wanted` describes it in words."""
    return custom(lambda read, name: read.matching(name, default, pattern, wanted), default, about, **more)


def endpoint(default: str | None, about: str, *, with_path: bool = True, **more: Any) -> Any:
    """Return a field of a server's http(s) URL."""
    return custom(lambda read, name: read.endpoint(name, default, path=with_path), default, about, **more)


def _shown(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value and value % MIB == 0:
        return f"{value // MIB:,} MiB"
    if isinstance(value, int | float):
        return _number(value)
    return f"`{value}`"


def _bounds(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """Return a number for display: powers of two with a unit, thousands separators from 10,000."""
    if isinstance(value, int) and value >= MIB and value & (value - 1) == 0:
        exponent = value.bit_length() - 1
        return f"{1 << exponent % 10} {('MiB', 'GiB', 'TiB', 'PiB')[exponent // 10 - 2]}"
    return f"{value:,}" if value >= 10_000 else f"{value:g}"

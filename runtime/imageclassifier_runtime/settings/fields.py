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
_NO_DEFAULT = "none"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting; `variable` is without its prefix.

    `about`, `default` and `values` are texts in Markdown. `flag_default` and `flag_values` say the same in the
    notation that the flag accepts; `flag_default` is empty if the default can only be described.
    """

    variable: str
    read: Callable[[Reader, str], Any]
    about: str
    default: str
    values: str
    flag_default: str
    flag_values: str
    flag: bool

    @property
    def help(self) -> str:
        """Return the text for `--help`; numbers after `default:` are written as the flag accepts them."""
        facts = [self.flag_values] if self.flag_values else []
        if self.flag_default:
            facts.append(f"default: {self.flag_default}")
        elif self.default != _NO_DEFAULT:
            facts.append(f"if not set: {self.default}")
        text = f"{self.about} ({'; '.join(facts)})" if facts else self.about
        return text.replace("`", "")


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
    flag_default: str | None = None,
    flag_values: str | None = None,
    flag: bool = False,
    secret: bool = False,
) -> Any:
    """Return a field that is read by `read`.

    `shown` describes the default in words, if the value alone would not be clear. `flag_default` and `flag_values`
    replace the default and `values` in `--help`.
    """
    if flag_default is None:
        flag_default = _flag_notation(default) if shown is None else ""
    setting = Setting(
        variable=variable,
        read=read,
        about=about,
        default=_shown(default) if shown is None else shown,
        values=values,
        flag_default=flag_default,
        flag_values=values if flag_values is None else flag_values,
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

    return custom(
        read,
        default,
        about,
        values=_bounds(low, high, _number),
        flag_values=_bounds(low, high, _flag_number),
        **more,
    )


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

    return custom(
        read,
        default,
        about,
        values=_bounds(low, high, _number),
        flag_values=_bounds(low, high, _flag_number),
        **more,
    )


def matching(default: str, pattern: str, expected: str, about: str, **more: Any) -> Any:
    """Return a field of text that matches `pattern`; `expected` describes it in words."""
    return custom(lambda read, name: read.matching(name, default, pattern, expected), default, about, **more)


def endpoint(default: str | None, about: str, *, with_path: bool = True, **more: Any) -> Any:
    """Return a field of a server's http(s) URL."""
    return custom(lambda read, name: read.endpoint(name, default, path=with_path), default, about, **more)


def _shown(value: object) -> str:
    """Return a default in Markdown, for people."""
    if value is None or value == ():
        return _NO_DEFAULT
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value)
    return f"`{value}`"


def _flag_notation(value: object) -> str:
    """Return a default in the notation that the flag accepts, or "" if there is none."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return _flag_number(value) if isinstance(value, int | float) else str(value)


def _bounds(low: float, high: float, notation: Callable[[float], str]) -> str:
    return f"{notation(low)} to {notation(high)}"


def _number(value: float) -> str:
    """Return a number for people: sizes with a unit, thousands separators from 10,000."""
    return _size(value) or (f"{value:,}" if value >= 10_000 else f"{value:g}")


def _flag_number(value: float) -> str:
    """Return a number in the notation that flags accept, followed by its size with a unit, if it is one."""
    plain = str(value) if isinstance(value, int) else f"{value:g}"
    size = _size(value)
    return f"{plain} ({size})" if size else plain


def _size(value: float) -> str | None:
    """Return a multiple of 1 MiB with a unit (powers of two with the largest), or None for other numbers."""
    if not isinstance(value, int) or value < MIB or value % MIB:
        return None
    if value & (value - 1):
        return f"{value // MIB:,} MiB"
    exponent = value.bit_length() - 1
    return f"{1 << exponent % 10} {('MiB', 'GiB', 'TiB', 'PiB')[exponent // 10 - 2]}"

"""Typed access to the environment: the error for an invalid value names its variable and what it should be."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import SettingsError
from imageclassifier_runtime.settings.urls import http_parts, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "IMAGECLASSIFIER_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Reader:
    """Typed access to the environment; an empty value counts as absent."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str, default: str | None) -> str | None:
        """Return a setting as plain text."""
        return self._env.get(PREFIX + name, "").strip() or default

    def path(self, name: str, default: Path | None) -> Path | None:
        """Return a path."""
        value = self.text(name, None)
        return Path(value) if value else default

    def choice(self, name: str, default: str, values: tuple[str, ...]) -> str:
        """Return one of `values`, case-insensitive."""
        value = self.text(name, None) or default
        for allowed in values:
            if allowed.lower() == value.lower():
                return allowed
        raise SettingsError(f"{PREFIX}{name} must be one of {', '.join(values)}, not {value!r}")

    def folders(self, name: str) -> tuple[Path, ...]:
        """Return absolute paths separated by colons."""
        found = tuple(Path(part) for part in (self.text(name, None) or "").split(":") if part)
        for folder in found:
            if not folder.is_absolute() or ".." in folder.parts:
                raise SettingsError(f"{PREFIX}{name} must be absolute paths separated by colons, not {folder}")
        return found

    def endpoint(self, name: str, default: str | None, *, path: bool = True) -> str | None:
        """Return a server's http(s) URL without a trailing slash."""
        value = self.text(name, default)
        if value is None:
            return None
        value = value.rstrip("/")
        parts = http_parts(value)
        if parts is None or parts.query or parts.fragment or (parts.path and not path):
            raise SettingsError(f"{PREFIX}{name} must be http(s)://host[:port], not {shown(value)!r}")
        return value

    def matching(self, name: str, default: str, pattern: str, expected: str) -> str:
        """Return text that matches `pattern`; `expected` describes it in words."""
        value = self.text(name, None) or default
        if not re.fullmatch(pattern, value):
            raise SettingsError(f"{PREFIX}{name} must be {expected}, not {value!r}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        value = self.text(name, None)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be a whole number, not {value!r}") from None
        if not low <= number <= high:
            raise SettingsError(f"{PREFIX}{name} must be between {low} and {high}, not {number}")
        return number

    def seconds(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number of seconds within bounds."""
        return self.number(name, default, low, high, "of seconds")

    def number(self, name: str, default: float, low: float, high: float, what: str) -> float:
        """Return a number within bounds; `what` is its unit."""
        value = self.text(name, None)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be a number {what}, not {value!r}") from None
        if not low <= number <= high:
            raise SettingsError(f"{PREFIX}{name} must be between {low:g} and {high:g}, not {value}")
        return number

    def networks(self, name: str) -> tuple[Network, ...]:
        """Return networks separated by commas or spaces."""
        try:
            return networks(self.text(name, None) or "")
        except ValueError as error:
            raise SettingsError(f"{PREFIX}{name} must be networks such as 10.0.0.0/8: {error}") from None

    def flag(self, name: str) -> bool:
        """Return a boolean; false by default."""
        value = (self.text(name, None) or "false").lower()
        if value not in {"true", "false", "1", "0"}:
            raise SettingsError(f"{PREFIX}{name} must be true or false, not {value!r}")
        return value in {"true", "1"}


def networks(text: str) -> tuple[Network, ...]:
    """Return networks separated by commas or spaces; raises ValueError."""
    found = tuple(ipaddress.ip_network(part) for part in re.findall(r"[^\s,]+", text))
    for network in found:
        if network.prefixlen == 0:
            raise ValueError(f"{network} trusts every client, so that any client could forge its address")
    return found

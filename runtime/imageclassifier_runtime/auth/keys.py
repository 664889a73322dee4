"""API keys in memory: only hashes of them, compared in constant time."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_LENGTH, MAX_LENGTH = 16, 256
MAX_KEYS = 1024
NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
"""What Kubernetes accepts as a key of a Secret's data."""

_KEY = re.compile(rb"[!-~]{%d,%d}" % (MIN_LENGTH, MAX_LENGTH))
# A random key for the hash: outsiders cannot compute digests, or choose a key whose digest has a given prefix.
_SECRET = os.urandom(32)
_INDEX_BYTES = 8
_NO_ENTRY = (os.urandom(32), "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeySet:
    """The accepted API keys; `problems` describes invalid lines without their content."""

    entries: dict[bytes, tuple[bytes, str]]
    problems: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Return the names that have a key."""
        return frozenset(name for _, name in self.entries.values())

    def name_of(self, presented: bytes) -> str | None:
        """Return the name of a key, None if the key is unknown.

        The time this takes reveals nothing about any key but its length: the lookup is by a keyed digest that the
        sender cannot predict, and the digests are compared in constant time.
        """
        if not MIN_LENGTH <= len(presented) <= MAX_LENGTH:
            return None
        digest = _digest(presented)
        expected, name = self.entries.get(digest[:_INDEX_BYTES], _NO_ENTRY)
        return name if hmac.compare_digest(expected, digest) else None


def key_set(files: Iterable[tuple[str, bytes]]) -> KeySet:
    """Return the keys of files, given by name and content: one key per line, empty lines skipped.

    All keys of a file have its name. Invalid lines are skipped and reported, so that a typo neither invalidates
    the other keys nor keeps a revoked key valid.
    """
    entries: dict[bytes, tuple[bytes, str]] = {}
    problems: list[str] = []
    for name, content in files:
        if NAME.fullmatch(name) is None:
            problems.append(f"{name[:80]!r} is not a valid key name: use letters, digits, '.', '_' and '-'")
            continue
        for number, line in enumerate(content.splitlines(), 1):
            key = line.strip()
            if not key:
                continue
            problem = _add(entries, name, key)
            if problem is not None:
                problems.append(f"line {number} of {name}: {problem}")
    return KeySet(entries=entries, problems=tuple(problems))


def _add(entries: dict[bytes, tuple[bytes, str]], name: str, key: bytes) -> str | None:
    if _KEY.fullmatch(key) is None:
        return f"a key must have {MIN_LENGTH} to {MAX_LENGTH} visible ASCII characters and no spaces"
    digest = _digest(key)
    index = digest[:_INDEX_BYTES]
    if index in entries:
        other = entries[index][1]
        return None if other == name else f"duplicate of a key in {other}"
    if len(entries) >= MAX_KEYS:
        return f"more than {MAX_KEYS} keys"
    entries[index] = (digest, name)
    return None


def _digest(key: bytes) -> bytes:
    # A fast hash is enough: keys are too long to guess, and the digests never leave the process.
    return hashlib.blake2b(key, key=_SECRET, digest_size=32).digest()

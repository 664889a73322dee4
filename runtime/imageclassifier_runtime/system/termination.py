"""The termination message: the only channel by which a pod reports the cause of a failure to the operator."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT = 2048
_SHORTENED = (1500, 700, 300)


def write(path: Path, content: dict[str, object]) -> None:
    """Write `content` as JSON of at most 2 KiB; a missing or read-only file is ignored.

    A file in /dev is written only if the kubelet has created it, so that running the command by hand as root
    leaves nothing behind there.
    """
    text = json.dumps(content, ensure_ascii=False)
    for max_length in _SHORTENED:
        if len(text.encode()) <= _LIMIT:
            break
        text = json.dumps({key: _cut(value, max_length) for key, value in content.items()}, ensure_ascii=False)
    if path.is_relative_to("/dev") and not path.exists():
        return
    with contextlib.suppress(OSError):
        path.write_text(text, encoding="utf-8")


def _cut(value: object, max_length: int) -> object:
    return value[:max_length] + "…" if isinstance(value, str) and len(value) > max_length else value

"""Checks at the start of a long command: free disk, and that no other command does the same."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tools.errors import ToolError
from tools.steps import say

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def require_disk(folder: Path, gib: int, purpose: str) -> None:
    """Raise ToolError if there is not enough free disk."""
    free = shutil.disk_usage(folder).free / 2**30
    if free < gib:
        raise ToolError(f"{purpose} needs {gib} GiB of free disk in {folder}; {free:.1f} GiB are free")


@contextmanager
def hold_lock(lock: Path, activity: str) -> Iterator[None]:
    """Hold a lock while the block runs. If another command holds it, print a line and wait."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another command is {activity}; waiting for it …")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield

"""Programs that scenarios run in pods of the runtime image; as files, they are linted and type-checked.

They are sent as text (`python -c SOURCE ARGUMENTS`), and import only the standard library and the runtime.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def source(program: ModuleType) -> str:
    """The text of a program."""
    return inspect.getsource(program)

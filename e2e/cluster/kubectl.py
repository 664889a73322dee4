"""Runs kubectl: for commands that users type, and for apply, kustomize, logs, exec and proxy."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from e2e.cluster.api import reject_warning
from e2e.cluster.errors import ClusterError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KUBECTL = str(REPOSITORY / ".venv" / "bin" / "kubectl")
"""The kubectl of the local cluster's version."""


class KubectlError(ClusterError):
    """Kubectl failed; the text is its own."""


def kubectl_output(
    arguments: Sequence[str],
    *,
    options: Sequence[str],
    stdin: str | bytes | None = None,
    seconds: float = 120,
    on_warning: Callable[[str], None] = reject_warning,
) -> str:
    """Run kubectl with connection options and return its output. Raises KubectlError."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(
            [KUBECTL, *options, *arguments],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise KubectlError(f"{KUBECTL} does not exist: run make setup") from error
    except subprocess.TimeoutExpired as error:
        raise KubectlError(f"kubectl {arguments[0]} took longer than {seconds:.0f} s") from error
    errors, command = done.stderr.decode(errors="replace"), f"kubectl {' '.join(arguments[:4])}"
    if done.returncode != 0:
        output = (errors or done.stdout.decode(errors="replace")).strip()
        raise KubectlError(f"{command}: {output}")
    for line in errors.splitlines():
        if line.startswith("Warning:"):
            on_warning(f"{command}: {line}")
    return done.stdout.decode(errors="replace")

"""Runs kubectl: for commands that users type, and for what `api.py` cannot do, such as kustomize and exec."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from e2e.cluster.api import raise_warning
from e2e.cluster.errors import ClusterError
from tools.paths import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KUBECTL = str(REPOSITORY / ".venv" / "bin" / "kubectl")
"""The kubectl that `make setup` installs; it has the same version as the local cluster."""


class KubectlError(ClusterError):
    """A kubectl command failed, timed out or could not be started; after a failure, the message has its output."""


def run_kubectl(
    arguments: Sequence[str],
    *,
    options: Sequence[str],
    stdin: str | bytes | None = None,
    timeout_seconds: float = 120,
    on_warning: Callable[[str], None] = raise_warning,
) -> str:
    """Run kubectl and return its stdout; `options` select the cluster, for example `--kubeconfig`.

    `on_warning` is called with the text of each warning of a command that succeeded. Raises KubectlError.
    """
    # Further arguments are not shown: they can be long, such as a program for `kubectl exec`.
    shown_command = f"kubectl {' '.join(arguments[:4])}"
    stdin_bytes = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        completed = subprocess.run(
            [KUBECTL, *options, *arguments],
            input=stdin_bytes,
            stdin=subprocess.DEVNULL if stdin_bytes is None else None,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise KubectlError(f"{KUBECTL} does not exist: run `make setup`") from error
    except subprocess.TimeoutExpired as error:
        raise KubectlError(f"{shown_command}: timed out after {timeout_seconds:.0f} s") from error
    stdout = completed.stdout.decode(errors="replace")
    stderr = completed.stderr.decode(errors="replace")
    if completed.returncode != 0:
        raise KubectlError(f"{shown_command}: {(stderr or stdout).strip()}")
    for line in stderr.splitlines():
        if line.startswith("Warning:"):
            on_warning(f"{shown_command}: {line}")
    return stdout

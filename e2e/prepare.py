"""Builds the programs and images of the local cluster that are not in the cache yet, in parallel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed

from e2e.cluster import preflight, programs
from tools.errors import ToolError
from tools.images import build
from tools.steps import say


def prepare() -> None:
    """Build what is missing; takes seconds if everything is in the cache already. Raises ToolError.

    The programs keep the processors busy for minutes; the images mostly wait for the network.
    """
    preflight.require_root()
    preflight.install_packages()
    parts = {
        "the cluster's programs": lambda: programs.ensure(*programs.CLUSTER),
        "the images": lambda: [build.ensure(image) for image in build.IMAGES],
    }
    failures: list[ToolError] = []
    with ThreadPoolExecutor(len(parts)) as pool:
        names = {pool.submit(part): name for name, part in parts.items()}
        for future in as_completed(names):
            error = future.exception()
            if isinstance(error, ToolError | OSError):
                say(f"Building {names[future]} failed; waiting for the other builds")
                failures.append(ToolError(str(error)))
            elif error is not None:
                raise error
    if failures:
        raise failures[0]
    programs.delete_build_cache()

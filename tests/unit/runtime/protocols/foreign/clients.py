"""Runs third-party clients in a separate virtual environment, because KServe's client includes its server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests import environments

HERE = Path(__file__).parent


def calls(script: str, *arguments: object) -> dict[str, Any]:
    """Run one of the scripts in this folder with the clients' Python, and return its output."""
    command = [str(part) for part in (environments.python_of("clients"), HERE / script, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

"""The files that belong to the project: those that git tracks."""

from __future__ import annotations

import subprocess
from pathlib import PurePosixPath

from tests.crd import ROOT

FILES = [
    PurePosixPath(name) for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
]

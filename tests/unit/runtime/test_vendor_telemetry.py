"""No command sends events to the vendor of ONNX Runtime, which is the default of the library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PHOTOGRAPH = Path(__file__).parents[3] / "e2e" / "demo" / "cat.jpg"

# Each of them switches the telemetry off by itself.
_SWITCHES = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")


def _environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _SWITCHES}
    return {**inherited, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}


def _written(home: Path, *arguments: str) -> list[str]:
    """Return the files that a Python process leaves in its home."""
    command = [sys.executable, *arguments]
    subprocess.run(command, env=_environment(home), check=True, capture_output=True, timeout=60)
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]


def test_a_classification_leaves_no_identifier_of_the_machine(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("imageclassifier")
    assert _written(tmp_path, str(command), "classify", str(PHOTOGRAPH)) == []


def test_the_library_itself_would_leave_one(tmp_path: Path) -> None:
    """Show that the test above can fail; if this one does, the library has no telemetry any more."""
    assert _written(tmp_path, "-c", "import onnxruntime; onnxruntime.SessionOptions()") != []

"""The termination message is short, valid JSON, and never causes a failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from imageclassifier_runtime.system import termination


@pytest.mark.parametrize("letter", ["x", "ü", "漢", "\n", "\x01"])
def test_a_long_message_is_truncated_to_2_kib_of_valid_json(tmp_path: Path, letter: str) -> None:
    file = tmp_path / "log"
    termination.write(file, {"reason": "ModelInvalid", "message": letter * 5000})
    assert file.stat().st_size <= 2048
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["reason"] == "ModelInvalid"
    assert written["message"].startswith(letter * 300)


def test_two_full_digests_are_not_truncated(tmp_path: Path) -> None:
    message = f"expected sha256 {'a' * 64}, got {'b' * 64}"
    termination.write(tmp_path / "log", {"reason": "ModelDigestMismatch", "message": message})
    assert json.loads((tmp_path / "log").read_text())["message"] == message


def test_a_missing_file_is_ignored(tmp_path: Path) -> None:
    termination.write(tmp_path / "no" / "such" / "folder", {"reason": "x"})
    termination.write(Path("/dev/imageclassifier-no-such-log"), {"reason": "x"})
    assert not Path("/dev/imageclassifier-no-such-log").exists()

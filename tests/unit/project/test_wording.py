"""Words that this project does not use, each with the one that it uses instead."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.crd import ROOT

_INSTEAD_OF = {
    r"\banew\b": "again; restarted, recreated",
    r"\b(is|are|was|were|be|been|being) told\b": "is reported, is set, is passed",
    r"\btold (apart|by|from|of)\b": "reported; recognized, distinguished",
    r"\btells? of\b": "reports",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bput right\b": "fix",
    r"\blet in\b": "accepted",
    r"\bshut out\b": "rejected",
    r"\bof one's own\b": "your own",
    r"\ba person must\b": "user action is required",
    r"\basked again\b": "retried",
    r"\bso many\b": "that many, too many",
    r"\bcomes? to (none|no|nothing)\b": "results in none",
    r"\b(begin|begins|begun) again\b": "restart",
    r"\bis being made\b": "is being created",
    r"\b(what|which|that) (is|was|are|were) wanted\b": "desired, requested",
    r"\bwhat (is|was) seen\b": "observed",
    r"\bwhere(?= (it|they|there|none|one) (is|are) (not|no)\b)": "if",
}
"""Archaic or ambiguous English by pattern: engineers from anywhere read this project."""

_SUFFIXES = {".cpp", ".css", ".html", ".js", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
_FILES = [
    Path(name)
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    if Path(name).suffix in _SUFFIXES or Path(name).name.startswith(("Dockerfile", "Makefile"))
]
_THIS = Path(__file__).resolve().relative_to(ROOT)


@pytest.mark.parametrize("pattern", _INSTEAD_OF)
def test_a_word_with_a_plain_replacement_is_not_used(pattern: str) -> None:
    found = [
        f"{file}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for file in _FILES
        if file != _THIS and (ROOT / file).is_file()
        for text in [(ROOT / file).read_text()]
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]
    assert found == [], f"write instead: {_INSTEAD_OF[pattern]}"

"""Words that this project does not use, each with the one that it uses instead."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest

from tests.crd import ROOT
from tests.unit.project.tracked import FILES

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
_THIS = Path(__file__).resolve().relative_to(ROOT)
_TEXTS = {
    file: (ROOT / file).read_text()
    for file in FILES
    if file.suffix in _SUFFIXES or file.name.startswith(("Dockerfile", "Makefile"))
    if file != PurePosixPath(_THIS) and (ROOT / file).is_file()
}


@pytest.mark.parametrize("pattern", _INSTEAD_OF)
def test_a_word_with_a_plain_replacement_is_not_used(pattern: str) -> None:
    found = [
        f"{file}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for file, text in _TEXTS.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]
    assert found == [], f"write instead: {_INSTEAD_OF[pattern]}"

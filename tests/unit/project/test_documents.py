"""The files, folders and make targets that the Markdown documents name exist."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.crd import ROOT
from tests.unit.project.tracked import FILES

_DOCUMENTS = sorted(str(file) for file in FILES if file.suffix == ".md" and file.name != "CHANGELOG.md")
_SUFFIXES = ("py", "yaml", "md", "toml", "sh", "cpp")
_NAME = re.compile(rf"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*(\.({'|'.join(_SUFFIXES)})|/)")
_TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
_NOT_TRACKED = ("build/", "crds/servicemonitors.yaml", "data/", "logs/", "openapi-1.36/", "../shared/")
"""Files that the tests and the local cluster write, and files next to the checkout."""


def _spans(document: str) -> list[str]:
    """Return the code spans, and the lines of code blocks."""
    text = (ROOT / document).read_text()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*re.findall(r"`([^`\n]+)`", prose), *(line for block in blocks for line in block.splitlines())]


def _exists(name: str, document: str) -> bool:
    """Whether a name is an existing path with `../`, or the end of the path of a tracked file or folder."""
    if name.startswith("../"):
        return (ROOT / document).parent.joinpath(name).exists()
    parts = PurePosixPath(name).parts
    return any(path.parts[-len(parts) :] == parts for file in FILES for path in (file, *file.parents))


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = {span for span in _spans(document) if _NAME.fullmatch(span) and not span.startswith(_NOT_TRACKED)}
    assert [name for name in sorted(named) if not _exists(name, document)] == []


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    calls = [re.match(r"make ((?:[a-z0-9-]+ ?)+)", span) for span in _spans(document)]
    named = {target for call in calls if call for target in call[1].split()}
    assert named - _TARGETS == set()

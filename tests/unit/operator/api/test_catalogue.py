"""The catalogue is parsed, or rejected with all of its problems; the installed one is valid."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.api import CatalogueError, OperatorConfig, parse_catalogue

from tests import crd

if TYPE_CHECKING:
    from pathlib import Path

_BUNDLED = crd.ROOT / "runtime" / "imageclassifier_runtime" / "bundled"
_FILES = ("labels.txt", "model.int8.onnx", "model.onnx", "preprocessor_config.json", "quantization.json")
_SHA256 = "c0c3f76d93fa3fd6580652a45618618a220fced18babf65774ed169de0432ad5"


def _problems(text: str) -> list[str]:
    with pytest.raises(CatalogueError) as raised:
        parse_catalogue(text)
    return str(raised.value).splitlines()


def test_an_entry_has_its_mirrors_in_order_and_its_digest() -> None:
    text = f"ours: {{uris: ['https://one.example.org/m.onnx', 'http://two.example.org/m/'], sha256: {_SHA256}}}"
    entry = parse_catalogue(text)["ours"]
    assert entry.uris == ("https://one.example.org/m.onnx", "http://two.example.org/m/")
    assert entry.sha256 == _SHA256


def test_an_empty_mapping_is_a_catalogue() -> None:
    assert parse_catalogue("{}") == {}


@pytest.mark.parametrize("text", ["", "[]", "just words"])
def test_a_catalogue_that_is_not_a_mapping_is_rejected(text: str) -> None:
    assert _problems(text) == ["not a mapping from a model's name to its uris and sha256"]


def test_invalid_yaml_is_rejected() -> None:
    assert _problems("a: [")[0].startswith("not YAML: ")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("uris: []\n  sha256: SHA", "ours.uris: needs a list of at least one address"),
        ("sha256: SHA", "ours.uris: needs a list of at least one address"),
        ("uris: https://a/m.onnx\n  sha256: SHA", "ours.uris: needs a list of at least one address"),
        (
            "uris: [ftp://a/m]\n  sha256: SHA",
            "ours.uris: 'ftp://a/m' is neither http(s)://host/path nor bundled:name",
        ),
        ("uris: [https://u:p@a/m]\n  sha256: SHA", "ours.uris: 'https://u:p@a/m' is neither"),
        ("uris: ['https://a/m n']\n  sha256: SHA", "ours.uris: 'https://a/m n' is neither"),
        ("uris: ['bundled:../x']\n  sha256: SHA", "ours.uris: 'bundled:../x' is neither"),
        ("uris: [bundled:a]", "ours.sha256: needs 64 hexadecimal digits in lower case, is None"),
        ("uris: [bundled:a]\n  sha256: 5010", "ours.sha256: needs 64 hexadecimal digits in lower case, is 5010"),
        ("uris: [bundled:a]\n  sha256: SHA\n  sha: x", "ours.sha: not a field of an entry"),
    ],
)
def test_a_problem_is_reported_with_its_field(entry: str, expected: str) -> None:
    (problem,) = _problems(f"ours:\n  {entry}".replace("SHA", _SHA256))
    assert problem.startswith(expected)


def test_all_problems_are_reported_together() -> None:
    problems = _problems("Ours: {uris: [], sha256: x}\nother: 3")
    assert [problem.split(":")[0] for problem in problems] == ["Ours", "Ours.uris", "Ours.sha256", "other"]


def test_the_installed_catalogue_has_the_default_model() -> None:
    catalogue = parse_catalogue(crd.CATALOGUE.read_text())
    assert OperatorConfig(runtime_image="r").default_model in catalogue
    assert catalogue["mobilenet-v2"].sha256 == _SHA256


def _folders() -> list[Path]:
    return sorted(path.parent for path in _BUNDLED.glob("*/model.onnx"))


@pytest.mark.parametrize("folder", _folders(), ids=lambda folder: folder.name)
def test_the_digest_of_a_bundled_model_is_that_of_its_files(folder: Path) -> None:
    lines = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in _FILES)
    catalogue = parse_catalogue(crd.CATALOGUE.read_text())
    assert catalogue[folder.name].uris == (f"bundled:{folder.name}",)
    assert catalogue[folder.name].sha256 == hashlib.sha256(lines.encode()).hexdigest()

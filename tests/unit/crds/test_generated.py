"""The files that `make generate` writes are current and complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imageclassifier_operator.api import generate

from tests import crd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_a_generated_file_is_current(name: str) -> None:
    assert (crd.FOLDER / name).read_text() == generate.files()[name], "run make generate"


def test_the_generator_overwrites_older_files(tmp_path: Path) -> None:
    (tmp_path / "REFERENCE.md").write_text("old")
    generate.main(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == generate.files()


def test_the_reference_page_has_every_field_and_every_rule() -> None:
    page = generate.files()["REFERENCE.md"]
    for path, node in crd.nodes(crd.schema()):
        if path.startswith(("spec", "status")) and not path.endswith(("[]", "{}")):
            parent, _, name = path.rpartition(".")
            section = page.partition(f"\n## `{parent}`\n")[2].partition("\n## ")[0]
            assert not parent or f"\n| `{name}` | " in section, path
        for rule in node.get("x-kubernetes-validations", []):
            assert f"\n- {rule['message']}\n" in page


def test_a_row_of_the_reference_page_has_type_default_and_allowed_values() -> None:
    page = generate.files()["REFERENCE.md"]
    for row in (
        "| `replicas` | integer | `1` | 0 to 1000 | Number of pods",
        "| `maxImageBytes` | quantity | `10Mi` | 1Ki to 1Gi | The largest",
        "| `serviceMonitor` | string | `Auto` | `Auto`, `Enabled`, `Disabled` | Whether",
        "| `redis` | [object](#speccacheredis) |  |  | Redis",
        "| `url` | string | required | redis://host[:port][/number] or",
        "| `labels` | map of strings | `{}` | at most 32 entries | Additional",
        "| `trustedProxies` | list of strings (set) | `[]` | at most 64 entries | Networks",
        "| `conditions` | list of [objects](#statusconditions) (map by type) |  | at most 32 entries | Conditions",
        "| `lastTransitionTime` | string | required | date-time | When",
    ):
        assert f"\n{row}" in page
    assert "(checked only by the operator)" in page

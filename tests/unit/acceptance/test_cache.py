"""The measurement of cache hits, in a very short run."""

import json
from pathlib import Path

import pytest

from tests.acceptance import cache
from tests.unit.bench.support import small_workload


@pytest.mark.timeout(600)
def test_a_short_run_measures_hits_alone_and_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hits.json"
    arguments = [*small_workload(tmp_path), "--out", str(out)]
    assert cache.main([*arguments, "--rounds", "1", "--seconds", "0.5"]) == 0
    slices = json.loads(out.read_text())
    assert [(entry["clients"], entry["under_load"]) for entry in slices] == [(1, False), (8, False), (4, True)]
    assert all(entry["throughput"] > 0 and entry["not_200"] == 0 for entry in slices)
    assert 0 < slices[2]["share"] < 1
    assert slices[2]["load"] > 0
    assert "8 clients with new images" in capsys.readouterr().out


def test_every_new_image_is_a_different_jpeg(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), "red").save(tmp_path / "one.jpg")
    cache.write_images(tmp_path, tmp_path)
    files = [file.read_bytes() for file in (tmp_path / "new").glob("*.jpg")]
    assert len(set(files)) == len(files) > 100
    with Image.open(tmp_path / "new" / "000007.jpg") as image:
        image.load()
        assert image.info["comment"] == b"000007"

"""The archive of the dataset is read as pictures and class indexes; an error names the member."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training.dataset import CLASSES, DatasetError, decoded, label_of, read_examples


def jpeg(*, side: int = 32, grey: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (grey, grey, grey)).save(file, "JPEG")
    return file.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_the_class_index_follows_the_order_of_the_names() -> None:
    assert list(CLASSES) == sorted(CLASSES)
    assert label_of("test/cat/0007.jpg") == ("test", 3)


@pytest.mark.parametrize(
    "name", ["cat/0007.jpg", "test/unicorn/1.jpg", "validation/cat/1.jpg", "test/cat/a/1.jpg"]
)
def test_the_error_for_a_member_at_an_unexpected_path_names_it(name: str) -> None:
    with pytest.raises(DatasetError, match=name):
        label_of(name)


def test_a_split_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "data.tar.xz",
        {"test/truck/1.jpg": b"t", "train/cat/1.jpg": b"x", "test/bird/2.jpg": b"b2", "test/bird/1.jpg": b"b1"},
    )
    examples = read_examples(path, "test")
    assert [(e.name, e.label, e.jpeg) for e in examples] == [
        ("test/bird/1.jpg", 2, b"b1"),
        ("test/bird/2.jpg", 2, b"b2"),
        ("test/truck/1.jpg", 9, b"t"),
    ]


def test_an_archive_without_the_split_is_an_error(tmp_path: Path) -> None:
    path = archive(tmp_path / "data.tar.xz", {"train/cat/1.jpg": b"x"})
    with pytest.raises(DatasetError, match="no pictures under test/"):
        read_examples(path, "test")


def test_pictures_are_decoded_to_arrays_of_pixels(tmp_path: Path) -> None:
    path = archive(tmp_path / "data.tar.xz", {"test/cat/1.jpg": jpeg(grey=0), "test/dog/1.jpg": jpeg(grey=255)})
    pixels, labels = decoded(read_examples(path, "test"))
    assert pixels.shape == (2, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[0] == 0).all()
    assert (pixels[1] == 255).all()
    assert labels.tolist() == [3, 5]


def test_the_error_for_a_picture_of_another_size_names_it(tmp_path: Path) -> None:
    path = archive(tmp_path / "data.tar.xz", {"test/cat/big.jpg": jpeg(side=33)})
    with pytest.raises(DatasetError, match=r"test/cat/big\.jpg"):
        decoded(read_examples(path, "test"))

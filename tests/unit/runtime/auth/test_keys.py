"""API keys are looked up by hash; invalid lines are skipped and do not affect other keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from imageclassifier_runtime.auth.key_files import KeyFiles
from imageclassifier_runtime.auth.keys import MAX_KEYS, key_set
from imageclassifier_runtime.errors import ApiKeysError

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE = "one-" * 5, "two-" * 5, "three-" * 5


class Secret:
    """A folder as the kubelet mounts a Secret: links to a link to a folder, which one rename replaces."""

    def __init__(self, folder: Path, **values: str) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()
        self.write(**values)

    def write(self, **values: str) -> None:
        self._version += 1
        version = self.folder / f"..version-{self._version}"
        version.mkdir()
        for name, value in values.items():
            (version / name).write_text(value)
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        for name in values:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        for link in self.folder.iterdir():
            if not link.name.startswith("..") and link.name not in values:
                link.unlink()


def test_a_key_has_the_name_of_its_file_and_a_file_may_have_several() -> None:
    keys = key_set([("ann", f"{ONE}\n\n  {TWO} \r\n".encode()), ("bob", THREE.encode())])
    assert [keys.name_of(key.encode()) for key in (ONE, TWO, THREE)] == ["ann", "ann", "bob"]
    assert keys.problems == ()


@pytest.mark.parametrize("other", [ONE[:-1], ONE + "x", ONE.upper(), "", "x" * 16, "x" * 100_000])
def test_no_other_key_is_accepted(other: str) -> None:
    assert key_set([("ann", ONE.encode())]).name_of(other.encode()) is None


def test_no_key_is_kept_in_plain_text() -> None:
    assert ONE not in repr(key_set([("ann", ONE.encode())]))


@pytest.mark.parametrize(
    "line", ["short", "x" * 257, "has a space in the middle", "gr\u00fc\u00dfe-aus-der-schweiz"]
)
def test_an_invalid_key_is_reported_without_its_content_and_the_others_are_valid(line: str) -> None:
    keys = key_set([("ann", f"{ONE}\n{line}\n{TWO}".encode()), ("bob", THREE.encode())])
    assert [keys.name_of(key.encode()) for key in (ONE, TWO, THREE, line)] == ["ann", "ann", "bob", None]
    (problem,) = keys.problems
    assert "line 2 of ann" in problem
    assert line not in problem


def test_a_duplicate_key_belongs_to_the_first_name() -> None:
    keys = key_set([("ann", ONE.encode()), ("bob", ONE.encode())])
    assert keys.name_of(ONE.encode()) == "ann"
    assert "line 1 of bob: duplicate of a key in ann" in keys.problems[0]


def test_the_number_of_keys_is_limited() -> None:
    keys = key_set([("ann", b"\n".join(b"key-%016d" % number for number in range(MAX_KEYS + 5)))])
    assert len(keys.entries) == MAX_KEYS
    assert len(keys.problems) == 5


def test_keys_can_come_from_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text(f"{ONE}\n{TWO}\n")
    assert KeyFiles(tmp_path / "keys.txt").keys.name_of(TWO.encode()) == "keys.txt"


@pytest.mark.parametrize("values", [{}, {"ann": ""}, {"ann": "short"}])
def test_a_folder_without_keys_is_an_error(tmp_path: Path, values: dict[str, str]) -> None:
    with pytest.raises(ApiKeysError, match="no API key"):
        KeyFiles(Secret(tmp_path / "keys", **values).folder)


def test_missing_key_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ApiKeysError, match="cannot be read: No such file"):
        KeyFiles(tmp_path / "keys")


def test_a_secret_that_the_kubelet_changes_is_picked_up(tmp_path: Path) -> None:
    secret = Secret(tmp_path / "keys", ann=ONE, bob=TWO)
    files = KeyFiles(secret.folder)
    assert files.keys.names == {"ann", "bob"}
    secret.write(ann=THREE)
    assert files.keys.name_of(ONE.encode()) == "ann"
    files.refresh()
    assert [files.keys.name_of(key.encode()) for key in (ONE, TWO, THREE)] == [None, None, "ann"]


def test_a_file_written_in_place_is_picked_up(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(ONE)
    files = KeyFiles(file)
    file.write_text(TWO)
    files.refresh()
    assert [files.keys.name_of(key.encode()) for key in (ONE, TWO)] == [None, "keys.txt"]


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    files = KeyFiles(Secret(tmp_path / "keys", ann=ONE).folder)
    before = files.keys
    files.refresh()
    assert files.keys is before


def test_an_empty_secret_rejects_all_requests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(tmp_path / "keys", ann=ONE)
    files = KeyFiles(secret.folder)
    secret.write(ann="short")
    files.refresh()
    assert files.keys.name_of(ONE.encode()) is None
    assert "all requests will be rejected" in caplog.text


def test_unreadable_files_keep_the_keys_are_logged_once_and_retried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = Secret(tmp_path / "keys", ann=ONE, bob=TWO)
    files = KeyFiles(secret.folder)
    secret.write(ann=THREE, bob=TWO)
    (secret.folder / "gone").symlink_to("..data/gone")  # as in the middle of a change
    files.refresh()
    files.refresh()
    assert files.keys.name_of(ONE.encode()) == "ann"
    assert caplog.text.count("API keys cannot be read") == 1
    (secret.folder / "gone").unlink()
    files.refresh()
    assert [files.keys.name_of(key.encode()) for key in (ONE, THREE)] == [None, "ann"]


def test_a_file_that_is_too_large_keeps_the_previous_keys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(ONE)
    files = KeyFiles(file)
    file.write_text(f"{TWO}\n" * 10_000)
    files.refresh()
    assert files.keys.name_of(ONE.encode()) == "keys.txt"
    assert "more than 65536 bytes" in str([record.__dict__ for record in caplog.records])


def test_no_key_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    secret = Secret(tmp_path / "keys", ann=f"{ONE}\nshort", bob=ONE)
    KeyFiles(secret.folder)
    text = " ".join(str(record.__dict__) for record in caplog.records)
    assert "ann" in text
    assert ONE not in text
    assert "short" not in text
    assert os.fspath(secret.folder) in text

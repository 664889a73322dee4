"""The base image is built from the machine's own APT sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.apt import Source, machine_sources, parse_deb822, parse_one_line

if TYPE_CHECKING:
    from pathlib import Path


def test_one_line_sources_with_the_component_main_are_found() -> None:
    text = """
# deb http://old.example/debian bookworm main
deb http://deb.example/debian bookworm main contrib # the main one
deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] http://sec.example/debian-security bookworm-security main
deb https://packages.example/apt tool stable
deb-src http://deb.example/debian bookworm main
"""
    assert parse_one_line(text) == [
        Source("http://deb.example/debian", "bookworm", ""),
        Source("http://sec.example/debian-security", "bookworm-security", "/usr/share/keyrings/d.gpg"),
    ]


def test_deb822_sources_are_found_once_for_every_suite() -> None:
    text = """Types: deb
# a comment
URIs: http://deb.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://src.example/debian
Suites: bookworm
Components: main
"""
    key = "/usr/share/keyrings/debian.gpg"
    assert parse_deb822(text) == [
        Source("http://deb.example/debian", "bookworm", key),
        Source("http://deb.example/debian", "bookworm-updates", key),
    ]


def test_an_inline_key_is_ignored_in_favour_of_the_default_keyring() -> None:
    text = (
        "Types: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n abc\n"
    )
    assert parse_deb822(text) == [Source("http://a.example", "bookworm", "")]


def test_both_formats_of_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example bookworm main\n")
    text = "Types: deb\nURIs: http://b.example\nSuites: bookworm\nComponents: main\n"
    (tmp_path / "sources.list.d" / "debian.sources").write_text(text)
    assert [source.uri for source in machine_sources(tmp_path)] == ["http://a.example", "http://b.example"]

"""The reversible mapping of space names to safe directory names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtui.storage.local.layout import (
    MAX_DIRECTORY_NAME,
    directory_name,
    is_cut_name,
    is_directory_name,
    name_of,
    prepare_host,
    spaces_in,
)

HOSTILE = [
    "../../etc", "..", ".", "/", "a/b", "a\\b", "CON", "con", "Con", "nul", "com1", "LPT9", "-rf", "~",
    "%2e%2e", "nba", "NBA", "nbA", "\u00e9", "e\u0301", "图谱", "हिन्दी", "😀", "\u202eabc", "a.b", "a b",
    " ", "a\x7f", "\udc80", "x" * 4096, "X" * 4096, "x" * 4095 + "y", "图" * 1365, "nba.name",
    "nba.dropped", "nba~0", "a:b", "a*b?", "con.txt",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_name_becomes_one_plain_file_name(name):
    directory = directory_name(name)
    assert is_directory_name(directory)
    assert set(directory) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-%~")
    assert Path(directory).name == directory
    assert directory.casefold() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert len(directory) <= MAX_DIRECTORY_NAME


def test_no_two_of_them_meet_even_where_case_is_not_seen():
    names = set(HOSTILE)
    assert len({directory_name(name).casefold() for name in names}) == len(names)


def test_plain_names_are_their_own_directories():
    assert directory_name("nba") == "nba"
    assert directory_name("test_2-b") == "test_2-b"
    assert directory_name("NBA") == "%4e%42%41"


@given(st.text(st.characters(exclude_characters="`."), min_size=1, max_size=200))
def test_name_is_restored_from_its_directory(name):
    directory = directory_name(name)
    assert name_of(directory, full_name=name if is_cut_name(directory) else None) == name


@given(st.text(alphabet="abAB%4c2e~._-/", max_size=12))
def test_foreign_directory_is_never_a_space(text):
    name = name_of(text)
    assert name is None or directory_name(name) == text


def test_name_file_counts_only_if_it_matches_the_cut_name():
    directory = directory_name("x" * 4096)
    assert name_of(directory, "x" * 4096) == "x" * 4096
    assert name_of(directory, "y" * 4096) is None
    assert name_of(directory, None) is None


@pytest.mark.parametrize("name", ["nba", "x" * 4096, "图" * 1365])
def test_name_that_was_cut_is_read_from_a_file(tmp_path, name):
    host = tmp_path / "host"
    prepare_host(host, name)
    assert [path.read_text() for path in host.iterdir()] == ([name] if len(name) > 99 else [])
    (host / directory_name(name)).mkdir()
    (host / directory_name(name) / "CURRENT").touch()
    assert spaces_in(host) == [name]

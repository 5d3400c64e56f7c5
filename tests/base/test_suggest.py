from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jobtui.suggest import did_you_mean

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("JBO", ["JOB", "JOBS"], "JOB"),
        ("jbo", ["JOB", "JOBS"], "JOB"),
        ("SHWO", ["SHOW", "STOP"], "SHOW"),
        ("recovr", ["RECOVER", "BACKUP"], "RECOVER"),
        ("NBA", ["nbaa", "nba"], "nba"),
        ("fin", ["finished", "failed"], "finished"),
        ("fa", ["finished", "failed"], None),
        ("every", ["RECOVER"], None),
        ("kill", ["STOP", "SHOW"], None),
        ("", ["a"], None),
        ("x", [], None),
        ("arc", ["archived", "archives"], None),
        ("图普", ["图谱", "nba"], None),
        ("图谱1", ["图谱", "nba"], "图谱"),
    ],
)
def test_nearest_known_word_is_suggested(word: str, known: list[str], meant: str | None) -> None:
    assert did_you_mean(word, known) == meant


def test_first_of_equally_near_words_is_suggested() -> None:
    assert did_you_mean("local", ["local1", "local0"]) == "local1"


def test_long_word_has_no_near_miss() -> None:
    assert did_you_mean("a" * 5000, ["a" * 5001]) is None


def test_there_is_no_other_implementation() -> None:
    found = subprocess.run(
        ["grep", "-rlE", "difflib|get_close_matches|levenshtein", "--include=*.py", "jobtui"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["jobtui/suggest.py"]

"""The scripts of the pictures, which use helpers of the tests."""

from __future__ import annotations

import importlib
import re

import pytest


@pytest.mark.parametrize("module", ["make", "scenes"])
def test_script_can_be_imported(module: str) -> None:
    assert importlib.import_module(f"screenshots.{module}")


def test_braille_of_a_picture_is_placed_cell_by_cell() -> None:
    make = importlib.import_module("screenshots.make")
    text = '<text class="r5" x="12.2" y="20" textLength="48.8" clip-path="url(#line-1)">&#160;⣿⣿⣷</text>'
    placed = '<text class="r5" x="12.2 24.4 36.6 48.8" y="20" clip-path="url(#line-1)">&#160;⣿⣿⣷</text>'
    assert make._BRAILLE_TEXT.sub(make._in_cells, text) == placed
    plain = text.replace("⣿⣿⣷", "job")
    assert not re.search(make._BRAILLE_TEXT, plain)

"""The scripts of the pictures, which use helpers of the tests."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize("module", ["make", "scenes"])
def test_script_can_be_imported(module: str) -> None:
    assert importlib.import_module(f"screenshots.{module}")

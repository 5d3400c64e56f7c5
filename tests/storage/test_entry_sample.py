"""The map from the keys of a family's files to positions, which selects ranges of entries."""

from __future__ import annotations

from jobtui.storage.local.worker.entry_sample import KeyMap
from jobtui.storage.local.worker.stats import LiveFile


def test_key_beyond_the_common_prefix_has_all_entries_below_it() -> None:
    key_map = KeyMap([LiveFile(1, 6, 1 << 20, b"key0000", b"key9999", 1_000)])
    assert key_map.entries_between(b"key0000", b"kez") == 1_000
    assert key_map.entries_between(b"a", b"key0000") == 0


def test_key_below_all_others_has_no_entries_below_it() -> None:
    key_map = KeyMap([LiveFile(1, 6, 1 << 20, b"key5000", b"key9990", 1_000)])
    assert key_map.entries_between(b"key0", b"key5000") == 0
    assert key_map.entries_between(b"kea9999", b"kez") == 1_000

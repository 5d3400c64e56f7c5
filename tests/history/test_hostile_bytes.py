"""Lines with a correct checksum and hostile content."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, StoreError
from jobtui.history.format.codec import frame_line
from jobtui.history.verify import verify
from tests.history.conftest import Made

HOSTILE = {
    "no UTF-8": b'{"schema":"\xff","at":"\xff","id":"\xff","e":"\xff"}',
    "50,000 nested objects": b'{"x":' * 50_000 + b"1" + b"}" * 50_000,
    "50,000 nested jobs": b'{"job":' * 50_000 + b"1" + b"}" * 50_000,
    "a number of 5,000 digits": b'{"schema":%b,"pid":%b}' % (b"9" * 5_000, b"9" * 5_000),
}


KINDS = {
    "manifest": "MANIFEST.json",
    "lock": "LOCK",
    "journal": "journal-*.jsonl",
    "segment": "seg-*.jsonl",
    "index": "seg-*.idx.json",
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("pattern", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("write", [False, True])
def test_only_errors_of_the_store_are_raised(
    sealed: Made, copied: Callable[[Made], Path], pattern: str, payload: bytes, write: bool
) -> None:
    directory = copied(sealed)
    files = list(directory.glob(pattern))
    assert files
    for file in files:
        whole = pattern in ("MANIFEST.json", "LOCK")
        file.write_bytes((b"" if whole else file.read_bytes()) + frame_line(payload))
    with contextlib.suppress(StoreError):
        history = History.open(directory, write=write)
        for job_id in range(1, history.last_id() + 1):
            history.get(job_id)
        history.close()
    with contextlib.suppress(StoreError):
        verify(directory)

"""Lines with a correct checksum and hostile content."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobtui.history import History, Query, Sort, StoreError
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


COLUMNS = {
    "an unknown type of array": b'{"type":"Z","data":"AAAA"}',
    "a part of a number": b'{"type":"d","data":"AAAA"}',
    "another record": b'{"id":1}',
}


@pytest.mark.parametrize("payload", COLUMNS.values(), ids=COLUMNS.keys())
@pytest.mark.parametrize("name", ["core", "took"])
def test_index_with_other_content_is_read_from_the_records(
    sealed: Made, copied: Callable[[Made], Path], name: str, payload: bytes
) -> None:
    directory = copied(sealed)
    for index in directory.glob("seg-*.idx.json"):
        replace_column(index, name, payload)
    history = History.open(directory, write=False)
    found = history.query(Query(sort=Sort.TOOK)).page(0, 1000)
    assert {job.id: job for job in found} == sealed.jobs
    history.close()


def replace_column(index: Path, name: str, payload: bytes) -> None:
    """Replace a line of an index by an intact one with other content."""
    head, *lines = index.read_bytes().splitlines(keepends=True)
    header = json.loads(head)
    names = [each for each, _ in header.pop("lines")]
    del header["crc"]
    lines[names.index(name)] = frame_line(payload)
    header["lines"] = [[each, len(line)] for each, line in zip(names, lines, strict=True)]
    index.write_bytes(b"".join((frame_line(json.dumps(header).encode()), *lines)))

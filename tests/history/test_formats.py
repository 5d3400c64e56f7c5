"""Histories of other formats: the older ones open, the newer ones are refused and left as they are."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobtui.history import History, Query, Sort, StoreTooNew
from jobtui.history.format import codec, manifest
from jobtui.history.format.codec import frame_line
from jobtui.history.format.disk import Disk
from jobtui.history.repair import repair
from jobtui.history.verify import verify
from jobtui.history.work_steps import run_steps
from jobtui.history.write import segment_store
from jobtui.history.write.store import Limits, Store
from jobtui.model import Job
from tests.support import history_formats, made_jobs, plain_history
from tests.support.history_formats import released


class _Expected(msgspec.Struct):
    jobs: list[Job]
    archived: list[Job]
    next_id: int


def _expected(path: Path) -> _Expected:
    return msgspec.json.decode((path / "jobs.json").read_bytes(), type=_Expected)


def _copy(path: Path, target: Path) -> Path:
    return shutil.copytree(path / "history", target / "history")


def _held(history: History) -> tuple[dict[int, Job], dict[int, Job]]:
    views = [history.query(Query(archived=archived)) for archived in (False, True)]
    jobs, archived = ({job.id: job for job in view.page(0, len(view))} for view in views)
    return jobs, archived


def _files(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("path", released(), ids=lambda path: path.name)
def test_every_released_format_opens_completely(path: Path, write: bool, tmp_path: Path) -> None:
    expected = _expected(path)
    history = History.open(_copy(path, tmp_path), write=write)
    assert history.notes == ()
    assert _held(history) == (
        {job.id: job for job in expected.jobs},
        {job.id: job for job in expected.archived},
    )
    if write:
        assert history.new_id() == expected.next_id
    history.close()
    assert verify(tmp_path / "history") == []


@pytest.mark.parametrize("path", released(), ids=lambda path: path.name)
def test_every_released_format_can_be_sorted_by_every_column(path: Path, tmp_path: Path) -> None:
    expected = _expected(path)
    history = History.open(_copy(path, tmp_path))
    for sort, archived in itertools.product(Sort, (False, True)):
        query = Query(sort=sort, archived=archived)
        found = history.query(query)
        assert found.ids(0, len(found)) == plain_history.answer(
            query, expected.archived if archived else expected.jobs
        )
    history.close()


def test_newest_released_format_is_the_one_that_is_written(tmp_path: Path) -> None:
    newest = released()[-1]
    assert int(newest.name) == codec.SCHEMA
    fields = msgspec.json.decode((newest / "fields.json").read_bytes())
    assert fields == history_formats.field_names(), (
        "a new field makes a new format: see tests.support.history_formats"
    )


def test_newer_manifest_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = _copy(released()[-1], tmp_path)
    plain = msgspec.json.decode((path / "MANIFEST.json").read_bytes())
    del plain["crc"]
    newer = plain | {"schema": codec.SCHEMA + 1, "segments": "of another kind"}
    (path / "MANIFEST.json").write_bytes(frame_line(msgspec.json.encode(newer)))
    before = _files(path)
    for write in (True, False):
        with pytest.raises(StoreTooNew, match="newer jobtui"):
            History.open(path, write=write)
    assert _files(path) == before


def test_newer_journal_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = _copy(released()[-1], tmp_path)
    journal = next(path.glob("journal-*"))
    last = msgspec.json.decode(journal.read_bytes().rstrip().splitlines()[-1])["n"]
    header = {
        "n": last + 1,
        "of": [last + 1, last + 1],
        "journal": 99,
        "schema": codec.SCHEMA + 1,
        "base": True,
    }
    (path / "journal-00000099.jsonl").write_bytes(frame_line(msgspec.json.encode(header)))
    before = _files(path)
    for write in (True, False):
        with pytest.raises(StoreTooNew, match="update jobtui"):
            History.open(path, write=write)
    assert _files(path) == before


def test_newer_archive_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = _copy(released()[-1], tmp_path)
    newer = {"schema": codec.SCHEMA + 1, "segments": "of another kind"}
    contents = next(path.glob("archive/*/ARCHIVE.json"))
    contents.write_bytes(frame_line(msgspec.json.encode(newer)))
    before = _files(path)
    history = History.open(path, write=False)
    with pytest.raises(StoreTooNew, match="newer jobtui"):
        history.query(Query(archived=True))
    history.close()
    for look_after in (verify, repair):
        with pytest.raises(StoreTooNew, match="newer jobtui"):
            look_after(path)
    assert (
        next(path.glob("archive/*/ARCHIVE.json")).read_bytes() == before[contents.relative_to(path).as_posix()]
    )


@pytest.mark.parametrize(
    "addition",
    [
        {"priority": 3},
        {"tasks": [{"number": 0, "host": "h", "shard": 1}]},
        {"events": [{"at": "2025-01-01T00:00:00Z", "kind": "note", "who": "x"}]},
        {"tasks": [{"number": 0, "host": "h", "before": {"levels": [[1, 2, 3]]}}]},
    ],
    ids=str,
)
def test_record_with_an_unknown_field_is_never_rewritten(addition: dict[str, Any], tmp_path: Path) -> None:
    path = _copy(released()[-1], tmp_path)
    journal = next(path.glob("journal-*"))
    last = msgspec.json.decode(journal.read_bytes().rstrip().splitlines()[-1])["n"] + 1
    record = {"id": 50, "command": "flush", "space": "nba", "submitted": "2025-01-01T00:00:00Z"} | addition
    with journal.open("ab") as file:
        file.write(frame_line(msgspec.json.encode({"n": last, "of": [last, last], "put": record})))
    before = _files(path)
    with pytest.raises(StoreTooNew, match="does not know"):
        History.open(path)
    assert _files(path) == before
    reader = History.open(path, write=False)
    assert reader.get(50) is not None
    reader.close()


@pytest.mark.parametrize(
    "change",
    [{"job": {"priority": 3}}, {"job": {"status": "asleep"}}, {"task": [[0, {"shard": 1}]]}],
    ids=["unknown field", "unknown value", "unknown field of a task"],
)
def test_unknown_change_is_refused_and_stays(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History.open(path)
    job = made_jobs.submitted(history.new_id(), random.Random(1))
    history.commit(job).result()
    history.close()
    journal = next(path.glob("journal-*"))
    last = msgspec.json.decode(journal.read_bytes().rstrip().splitlines()[-1])["n"] + 1
    with journal.open("ab") as file:
        file.write(frame_line(msgspec.json.encode({"n": last, "of": [last, last], "set": job.id} | change)))
    before = _files(path)
    with pytest.raises(StoreTooNew, match=f"job {job.id}"):
        History.open(path)
    assert _files(path) == before


def test_known_fields_in_another_order_are_known(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = History.open(path)
    history.new_id()
    history.close()
    job = made_jobs.ended(1, random.Random(1))
    assert any(task.before is not None and task.before.entries is not None for task in job.tasks)
    record = dict(reversed(msgspec.to_builtins(job).items()))
    journal = next(path.glob("journal-*"))
    last = msgspec.json.decode(journal.read_bytes().rstrip().splitlines()[-1])["n"] + 1
    with journal.open("ab") as file:
        file.write(frame_line(msgspec.json.encode({"n": last, "of": [last, last], "put": record})))
    history = History.open(path)
    assert history.get(1) == job
    history.close()


def test_sealed_job_with_an_unknown_field_is_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(Disk(), tmp_path / "history", Limits())
    job = made_jobs.ended(1, random.Random(1))
    assert store.write([[job]]) == [None]
    with monkeypatch.context() as newer:
        newer.setattr(segment_store, "encode", lambda job: codec.encode(job)[:-1] + b',"priority":3}')
        run_steps(store.segments.seal(store.rotate()))
    (refusal,) = store.write([[made_jobs.replace(job, reason="changed")]])
    assert isinstance(refusal, StoreTooNew)
    assert "priority" in str(refusal)
    store.close()


def test_older_format_is_read_and_written_in_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if this jobtui were one format further, in which spaces are written in capitals."""

    def capitals(record: dict[str, Any]) -> dict[str, Any]:
        return record | {"space": record["space"].upper()} if "space" in record else record

    path = _copy(released()[-1], tmp_path)
    expected = _expected(released()[-1])
    now = codec.SCHEMA
    monkeypatch.setitem(codec.UPGRADES, now, capitals)
    _pretend(monkeypatch, now + 1)
    for write in (False, True, False):
        history = History.open(path, write=write)
        assert history.notes == ()
        jobs, archived = _held(history)
        assert {job_id: job.space for job_id, job in jobs.items()} == {
            job.id: job.space.upper() for job in expected.jobs
        }
        assert {job_id: job.space for job_id, job in archived.items()} == {
            job.id: job.space.upper() for job in expected.archived
        }
        history.close()
    _pretend(monkeypatch, now)
    with pytest.raises(StoreTooNew):
        History.open(path)


def _pretend(monkeypatch: pytest.MonkeyPatch, schema: int) -> None:
    from jobtui.history.format import archive, segment
    from jobtui.history.format import journal as replay
    from jobtui.history.read import reader as recovery
    from jobtui.history.write import segment_store, store

    for module in (codec, manifest, archive, recovery, replay, segment, store, segment_store):
        if hasattr(module, "SCHEMA"):
            monkeypatch.setattr(module, "SCHEMA", schema)

"""Looking at every byte of what is sealed, without changing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from operator import ge

import msgspec

from jobtui.history.errors import DamageNote
from jobtui.history.framing import lines
from jobtui.history.io import Disk
from jobtui.history.manifest import NAME as MANIFEST
from jobtui.history.quarantine import jobs_in
from jobtui.history.records import decode_job
from jobtui.history.segment import Segment, index_name, records_name
from jobtui.history.state import State, Tally, flat
from jobtui.model import Job


def damage_of(disk: Disk, segment: Segment) -> list[DamageNote]:
    """What is wrong with a segment and its index. Raises OSError."""
    try:
        data = disk.read_whole(segment.path)
    except FileNotFoundError:
        entry = segment.entry
        what = f"the segment is missing: jobs between {entry.first} and {entry.last} can't be read"
        return [DamageNote(segment.file, None, (), what)]
    columns = segment.indexed()
    known = list(zip(columns.starts, columns.ids, strict=False)) if columns is not None else []
    notes, found = [], []
    for start, line, whole in lines(data):
        job = whole_job(line, segment.entry.schema) if whole else None
        if job is not None:
            found.append(job.id)
        else:
            within = tuple(job_id for at, job_id in known if start <= at < start + len(line))
            jobs = within or jobs_in(line)
            notes.append(DamageNote(segment.file, start, jobs, "a record is damaged"))
    if len(data) != segment.entry.bytes:
        lost = {job_id for _, job_id in known}.difference(found, *(note.jobs for note in notes))
        what = f"it has {len(data)} bytes and not {segment.entry.bytes}"
        notes.append(DamageNote(segment.file, None, tuple(sorted(lost)), what))
    if not notes and len(found) != segment.entry.count:
        notes.append(
            DamageNote(segment.file, None, (), f"it has {len(found)} records and not {segment.entry.count}")
        )
    if any(map(ge, found, found[1:])):
        notes.append(DamageNote(segment.file, None, (), "its records are not in the order of their ids"))
    if not segment.indexed_well() or (not notes and columns is not None and list(columns.ids) != found):
        file = segment.file.replace(records_name(segment.name), index_name(segment.name))
        notes.append(DamageNote(file, None, (), "the index is missing or damaged; the records make it again"))
    return notes


def miscounts(state: State, archived: Sequence[Segment]) -> Iterator[DamageNote]:
    """Where jobs are counted as they are not, or are there twice. Raises OSError."""
    tally: Tally = Counter()
    seen: set[int] = set()
    for segment in (*state.segments, *archived):
        places = segment.present()
        ids = [segment.columns.ids[place] for place in places]
        twice = seen.intersection(ids)
        if twice:
            yield DamageNote(segment.file, None, tuple(sorted(twice)), "jobs are here and elsewhere, too")
        seen.update(ids)
        if segment not in archived:
            tally.update(map(segment.summary, places))
    tally.update((replaced.space, replaced.status) for replaced in state.replaced.values())
    counted = flat(state.manifest.counts)
    if +tally != +counted:
        what = f"it counts {sum(counted.values())} sealed jobs; there are {sum(tally.values())}, or others"
        yield DamageNote(MANIFEST, None, (), what)


def whole_job(line: bytes, schema: int) -> Job | None:
    """The job of a whole line, None where it is none."""
    try:
        return decode_job(line, schema)
    except msgspec.MsgspecError:
        return None

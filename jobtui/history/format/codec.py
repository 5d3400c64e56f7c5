"""Framed lines of JSON, and jobs as JSON: whole records and differences.

Each line is an object whose first key is `crc`: the CRC-32, in eight hexadecimal digits, of everything that
follows it in the line. Journals, segments, indexes and manifests are made of such lines. JSON escapes
quotes, so the beginning of a line cannot occur inside one, and a reader finds the next line after damage.

A difference has the changed fields of a job, the changed fields of its tasks by row, and the events that
were added. A record omits the fields that have their default; a difference names every changed field, including
one that returned to its default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, get_args
from zlib import crc32

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.model import Job, JobEvent, Task

MAGIC: Final = b'{"crc":"'
HEADER_SIZE: Final = len(MAGIC) + len('xxxxxxxx",')


def frame_line(payload: bytes) -> bytes:
    """Return a JSON object as a line, with its newline. `payload` is `{…}` and not empty."""
    rest = payload[1:]
    return b'{"crc":"%08x",%b\n' % (crc32(rest), rest)


def is_intact(line: bytes) -> bool:
    """Return whether the checksum of a line (without its newline) is right."""
    return line.startswith(b'{"crc":"%08x",' % crc32(line[HEADER_SIZE:]))


def split_lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the lines of `data`: offset, bytes without the newline, whether it is intact.

    Blanks between lines are skipped. If a newline is damaged, the lines around it are separated by the
    beginning that all lines have.
    """
    position, end = 0, len(data)
    while position < end:
        newline = data.find(b"\n", position)
        stop = end if newline < 0 else newline
        line = data[position:stop]
        if newline >= 0 and line.startswith(b'{"crc":"%08x",' % crc32(line[HEADER_SIZE:])):
            yield position, line, True
        elif line != b" " * len(line):  # strip() takes 1 ms for the 256 KiB of blanks that a journal ends with
            yield from _split_damaged(data, position, stop, complete=newline >= 0)
        position = stop + 1


def _split_damaged(data: bytes, start: int, stop: int, *, complete: bool) -> Iterator[tuple[int, bytes, bool]]:
    while start < stop:
        found = data.find(MAGIC, start + 1, stop)
        following = stop if found < 0 else found
        line = data[start:following]
        if found >= 0 and is_intact(line[:-1]):
            yield start, line[:-1], True
        elif line.strip(b" "):
            yield start, line, (found >= 0 or complete) and is_intact(line)
        start = following


SCHEMA: Final = 2
"""The format that this version writes. A new field, or a new meaning of one, raises it by one."""

UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    # all fields that format 2 added have defaults: options, pauses, attempts, steps, the requester
    1: lambda record: record,
}
"""For each format n, the conversion of a record to format n + 1, applied when the record is read."""

Fields = dict[str, msgspec.Raw]
"""Fields of a record by name, not decoded."""

_FRAME_KEYS: Final = frozenset({"crc"})
_NOTHING: Final[frozenset[str]] = frozenset()
_JOB_PARTS: Final = frozenset({"tasks", "events"})


class JournalEntry(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One line of a journal: a change, or in the first line the header.

    Attributes:
        n: The number of the change.
        of: The numbers of the first and the last change of its batch, which shares one sync.
        put: The whole record of a job.
        set: The id of a job that is changed.
        job: The changed fields of that job.
        task: The changed fields of its tasks, by row.
        event: The events that were added to it.
        journal: The number of the journal (in its header).
        schema: The format of the journal's records (in its header).
        base: Whether the journal restates everything of the journals before it (in its header).
        next_id: The id of the next job (in its header).
    """

    n: int
    of: tuple[int, int]
    crc: str = ""
    put: Job | None = None
    set: int = 0
    job: Fields = {}
    task: tuple[tuple[int, Fields], ...] = ()
    event: tuple[msgspec.Raw, ...] = ()
    journal: int = 0
    schema: int = 0
    base: bool = False
    next_id: int = 0


encode: Final = msgspec.json.Encoder().encode


@cache
def _field_decoders(record: type[msgspec.Struct]) -> dict[str, Callable[[msgspec.Raw], Any]]:
    return {field.name: msgspec.json.Decoder(field.type).decode for field in msgspec.structs.fields(record)}


_decode_event: Final = msgspec.json.Decoder(JobEvent).decode
_decode_entry: Final = msgspec.json.Decoder(JournalEntry).decode
_decode_job: Final = msgspec.json.Decoder(Job).decode
_decode_plain: Final = msgspec.json.Decoder(dict[str, Any]).decode


def encode_change(before: Job | None, after: Job) -> bytes | None:
    """Return the change from `before` (None: no job) to `after`; None if they are equal."""
    if before is None:
        return b'{"put":%b}' % encode(after)
    if before == after:
        return None
    return encode({"set": after.id} | diff_jobs(before, after))


def diff_jobs(before: Job, after: Job) -> dict[str, Any]:
    """Return the changed fields under those of `job`, `task` and `event` that have changes."""
    fields = _diff_fields(before, after, _JOB_PARTS)
    tasks: list[tuple[int, dict[str, Any]]] = []
    if before.tasks != after.tasks:
        found = _diff_tasks(before.tasks, after.tasks)
        if found is None:
            fields["tasks"] = after.tasks
        else:
            tasks = found
    known = len(before.events)
    added: tuple[JobEvent, ...] = ()
    if before.events != after.events:
        if after.events[:known] == before.events:
            added = after.events[known:]
        else:
            fields["events"] = after.events
    return {name: part for name, part in (("job", fields), ("task", tasks), ("event", added)) if part}


class Delta:
    """A version of a job and later changes to it, which are applied together."""

    __slots__ = ("_base", "_count", "_events", "_fields", "_tasks")

    def __init__(self, base: Job) -> None:
        self._base, self._count = base, len(base.tasks)
        self._fields: Fields = {}
        self._tasks: dict[int, Fields] = {}
        self._events: list[msgspec.Raw] = []

    def add(self, entry: JournalEntry) -> None:
        """Add the difference of an entry. Raises IndexError for a task that does not exist."""
        fields = entry.job
        if fields:
            if "tasks" in fields:
                self._count, self._tasks = len(_field_decoders(Job)["tasks"](fields["tasks"])), {}
            if "events" in fields:
                self._events = []
            self._fields |= fields
        for row, changed in entry.task:
            known = self._tasks.get(row)
            if known is not None:
                known |= changed
            elif row < self._count:
                self._tasks[row] = changed
            else:
                raise IndexError(row)
        self._events += entry.event

    def apply(self) -> Job:
        """Return the job with all changes.

        Raises KeyError for an unknown field, and msgspec.ValidationError for an unknown value.
        """
        of_job, of_task = _field_decoders(Job), _field_decoders(Task)
        fields = {name: of_job[name](raw) for name, raw in self._fields.items()}
        tasks = list(fields.get("tasks", self._base.tasks))
        for row, changed in self._tasks.items():
            values = {name: of_task[name](raw) for name, raw in changed.items()}
            tasks[row] = msgspec.structs.replace(tasks[row], **values)
        events = (*fields.get("events", self._base.events), *map(_decode_event, self._events))
        return msgspec.structs.replace(self._base, **fields | {"tasks": tuple(tasks), "events": events})


def unknown_field(line: bytes, job: Job) -> str | None:
    """Return the name of an unknown field, which rewriting the record would lose, or None."""
    record = encode(job)[1:]
    if line.endswith((record, record + b"}")) or not is_intact(line):
        return None
    plain = _decode_plain(line)
    return _find_unknown_field(plain.get("put", plain), Job)


def _find_unknown_field(record: dict[str, Any], kind: type[msgspec.Struct]) -> str | None:
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in record.items():
        if name not in known and name not in _FRAME_KEYS:
            return name
        inner = _struct_in(known.get(name))
        for each in value if isinstance(value, list) else [value]:
            if inner is None:
                break
            if isinstance(each, dict) and (found := _find_unknown_field(each, inner)) is not None:
                return f"{name}.{found}"
            if isinstance(each, list) and len(each) > len(inner.__struct_fields__):
                return name
    return None


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the record type of a field, alone, in a tuple or optional; None if it has none."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    found = (_struct_in(each) for each in get_args(kind))
    return next((each for each in found if each is not None), None)


def decode_entry(line: bytes, schema: int) -> JournalEntry:
    """Return the entry of an intact journal line.

    Raises msgspec.ValidationError for unknown content. `schema` is 0 until the journal's header was read.
    """
    return _decode_entry(line if schema in (0, SCHEMA) else _upgraded_entry(line, schema))


def decode_job(line: bytes, schema: int) -> Job:
    """Return the job of an intact record. Raises msgspec.ValidationError if it is not a job."""
    if schema == SCHEMA:
        return _decode_job(line)
    return msgspec.convert(_upgraded(_decode_plain(line), schema), Job, strict=False)


def try_decode_job(line: bytes, schema: int) -> Job | None:
    """Return the job of an intact record, None if it is not a job."""
    try:
        return decode_job(line, schema)
    except DECODE_ERRORS:
        return None


def _upgraded(record: dict[str, Any], schema: int) -> dict[str, Any]:
    for old in range(schema, SCHEMA):
        record = UPGRADES[old](record)
    return record


def _upgraded_entry(line: bytes, schema: int) -> bytes:
    entry = _decode_plain(line)
    for part in ("put", "job"):
        if part in entry:
            entry[part] = _upgraded(entry[part], schema)
    return encode(entry)


def _diff_tasks(before: tuple[Task, ...], after: tuple[Task, ...]) -> list[tuple[int, dict[str, Any]]] | None:
    """Return the changed fields by row; None if the tasks are not the same ones."""
    if len(before) != len(after):
        return None
    found = []
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if old is not new and old != new:
            found.append((row, _diff_fields(old, new)))
    return found


def _diff_fields(
    before: msgspec.Struct, after: msgspec.Struct, ignored: frozenset[str] = _NOTHING
) -> dict[str, Any]:
    """Return the fields of `after` that differ from `before`, without the `ignored` ones."""
    old, new = msgspec.structs.astuple(before), msgspec.structs.astuple(after)
    return {
        name: value
        for name, was, value in zip(after.__struct_fields__, old, new, strict=True)
        if was is not value and was != value and name not in ignored
    }

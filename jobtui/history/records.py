"""Jobs as JSON: whole records, and the difference between two versions of one.

A difference names the changed fields of the job, the changed fields of its tasks by their number, and the
events that were added. Records are written with the fields that differ from their defaults; a difference
names every field that changed, also one that went back to its default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from jobtui.history.errors import StoreTooNew
from jobtui.history.framing import is_whole
from jobtui.model import Event, Job, Task

SCHEMA: Final = 1
"""The format that this jobtui writes. Any new field or meaning of a record makes it one higher."""

UPGRADES: Final[dict[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
"""How a record of format n becomes one of format n + 1; applied when the record is read."""


def _patch_of(record: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields = [
        (field.name, field.type | msgspec.UnsetType, msgspec.UNSET) for field in msgspec.structs.fields(record)
    ]
    return msgspec.defstruct(f"{record.__name__}Patch", fields, forbid_unknown_fields=True, gc=False)


if TYPE_CHECKING:
    JobPatch = msgspec.Struct
    TaskPatch = msgspec.Struct
else:
    JobPatch = _patch_of(Job)
    TaskPatch = _patch_of(Task)

_FRAME: Final = frozenset({"crc"})
_NOTHING: Final[frozenset[str]] = frozenset()
_JOB_PARTS: Final = frozenset({"tasks", "events"})


class Entry(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One line of a journal.

    `n` is the change's number, and `of` the first and last of its batch: of all that shares a sync. A change
    is a whole record (`put`), or a difference to job `set`: fields (`job`), fields of tasks by their place
    (`task`), events added (`event`). A journal's first line says its number (`journal`), the format of its
    records, whether it stands alone (`base`: all that was in the journals before it is in it again) and the
    next free id.
    """

    n: int
    of: tuple[int, int]
    crc: str = ""
    put: Job | None = None
    set: int = 0
    job: JobPatch | None = None
    task: tuple[tuple[int, TaskPatch], ...] = ()
    event: tuple[Event, ...] = ()
    journal: int = 0
    schema: int = 0
    base: bool = False
    next_id: int = 0


encode: Final = msgspec.json.Encoder().encode
_decode_entry: Final = msgspec.json.Decoder(Entry).decode
_decode_job: Final = msgspec.json.Decoder(Job).decode
_decode_plain: Final = msgspec.json.Decoder(dict[str, Any]).decode


def change(before: Job | None, after: Job) -> bytes | None:
    """What must be written to make `before` (None: nothing) into `after`; None where they are the same."""
    if before is None:
        return b'{"put":%b}' % encode(after)
    if before == after:
        return None
    return encode({"set": after.id} | difference(before, after))


def difference(before: Job, after: Job) -> dict[str, Any]:
    """The changed fields under `job`, `task` and `event`; no key where nothing changed."""
    fields = _changed(before, after, _JOB_PARTS)
    tasks: list[tuple[int, dict[str, Any]]] = []
    if before.tasks != after.tasks:
        found = _task_differences(before.tasks, after.tasks)
        if found is None:
            fields["tasks"] = after.tasks
        else:
            tasks = found
    known = len(before.events)
    added: tuple[Event, ...] = ()
    if before.events != after.events:
        if after.events[:known] == before.events:
            added = after.events[known:]
        else:
            fields["events"] = after.events
    return {name: part for name, part in (("job", fields), ("task", tasks), ("event", added)) if part}


def applied(before: Job, entry: Entry) -> Job:
    """`before` with an entry's difference made to it. Raises IndexError for a task that is not there."""
    fields = _set_fields(entry.job) if entry.job is not None else {}
    if entry.task:
        tasks = list(fields.get("tasks", before.tasks))
        for place, patch in entry.task:
            tasks[place] = msgspec.structs.replace(tasks[place], **_set_fields(patch))
        fields["tasks"] = tuple(tasks)
    if entry.event:
        fields["events"] = fields.get("events", before.events) + entry.event
    return msgspec.structs.replace(before, **fields)


def refuse_unknown(line: bytes, job: Job, place: str) -> None:
    """Raise StoreTooNew where a record's line says more than was understood, and would be lost if rewritten."""
    record = encode(job)[1:]
    if line.endswith((record, record + b"}")) or not is_whole(line):
        return
    plain = _decode_plain(line)
    unknown = _unknown_field(plain.get("put", plain), Job)
    if unknown is not None:
        raise StoreTooNew(
            f"Job {job.id} in {place} has a field {unknown!r} that this jobtui does not know: update jobtui; "
            "nothing was changed"
        )


def _unknown_field(record: dict[str, Any], kind: type[msgspec.Struct]) -> str | None:
    known = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in record.items():
        if name not in known and name not in _FRAME:
            return name
        inner = _record_in(known.get(name))
        for each in value if isinstance(value, list) else [value]:
            if inner is None:
                break
            if isinstance(each, dict) and (found := _unknown_field(each, inner)) is not None:
                return f"{name}.{found}"
            if isinstance(each, list) and len(each) > len(inner.__struct_fields__):
                return name
    return None


def _record_in(kind: Any) -> type[msgspec.Struct] | None:
    """The record that a field holds, by itself, in a tuple, or else nothing."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    found = (_record_in(each) for each in get_args(kind))
    return next((each for each in found if each is not None), None)


def decode_entry(line: bytes, schema: int, place: str) -> Entry:
    """A journal's line, which must be whole. Raises StoreTooNew where it holds what is not known here."""
    try:
        return _decode_entry(line if schema in (0, SCHEMA) else _upgraded_entry(line, schema))
    except msgspec.ValidationError as error:
        raise StoreTooNew(
            f"{place} holds what this jobtui does not know ({error}): update jobtui; nothing was changed"
        ) from None


def decode_job(line: bytes, schema: int) -> Job:
    """A record's line, which must be whole. Raises msgspec.ValidationError where it is no job."""
    if schema == SCHEMA:
        return _decode_job(line)
    return msgspec.convert(_upgraded(_decode_plain(line), schema), Job, strict=False)


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


def _task_differences(
    before: tuple[Task, ...], after: tuple[Task, ...]
) -> list[tuple[int, dict[str, Any]]] | None:
    """What changed, by place; None where the tasks are not the same ones."""
    if len(before) != len(after):
        return None
    found = []
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old is not new and old != new:
            if old.number != new.number:
                return None
            found.append((place, _changed(old, new)))
    return found


def _changed(before: msgspec.Struct, after: msgspec.Struct, apart: frozenset[str] = _NOTHING) -> dict[str, Any]:
    """The fields of `after` that are not as in `before`, but those that are told `apart`."""
    old, new = msgspec.structs.astuple(before), msgspec.structs.astuple(after)
    return {
        name: value
        for name, was, value in zip(after.__struct_fields__, old, new, strict=True)
        if was is not value and was != value and name not in apart
    }


def _set_fields(patch: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(patch).items() if value is not msgspec.UNSET}

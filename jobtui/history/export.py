"""The export of all jobs for other programs, as JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from jobtui.errors import StoreError
from jobtui.formatting import guard_formula
from jobtui.history.format.journal import UNFINISHED_CHANGE
from jobtui.history.history import History
from jobtui.history.read.query import Query
from jobtui.history.read.reader import OrphanedJobView
from jobtui.model import Job, Task

FORMATS: Final = ("json", "jsonl", "csv")
_PAGE: Final = 500
_COLUMNS: Final = (
    "id",
    "command",
    "space",
    "status",
    "submitted",
    "start",
    "stop",
    "took",
    "reason",
    "recovered_from",
    "hosts",
    "archived",
)


class ExportResult(msgspec.Struct, frozen=True):
    """The number of jobs written, and a line for each missing or damaged part."""

    count: int
    missing: tuple[str, ...]


def export(
    path: Path,
    out: TextIO,
    format: str = "json",  # noqa: A002
    *,
    raw: bool = False,
    view_orphaned: OrphanedJobView | None = None,
) -> ExportResult:
    """Write every job, the archived ones last, to `out` in one of FORMATS.

    `json` is an array, `jsonl` one object per line, of full records with `archived` added. `csv` has the
    columns that fit a row. A damaged job is written with the fields that the index has. Nothing is changed on
    disk.

    Args:
        raw: Do not guard the texts that a spreadsheet would take for formulas (CSV only).
        view_orphaned: How live jobs are written while no process writes the history; None: as they are on disk.

    Raises:
        StoreError: Nothing can be read.
        ValueError: The format is not one of FORMATS.
    """
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r}: it is one of {', '.join(FORMATS)}")
    history = History.open(path, write=False, view_orphaned=view_orphaned)
    missing: list[str] = []
    try:
        rows = _rows(history, missing)
        count = _csv(rows, out, raw) if format == "csv" else _WRITERS[format](rows, out)
        noted = [str(note) for note in history.notes if note.what != UNFINISHED_CHANGE]
        return ExportResult(count, tuple(dict.fromkeys((*noted, *missing))))
    finally:
        history.close()


def _rows(history: History, missing: list[str]) -> Iterator[tuple[Job, bool]]:
    for archived in (False, True):
        try:
            view = history.query(Query(archived=archived))
            for start in range(0, len(view), _PAGE):
                for job in view.page(start, _PAGE):
                    yield job, archived
        except StoreError as error:
            missing.append(str(error))


def _json(rows: Iterator[tuple[Job, bool]], out: TextIO) -> int:
    count = 0
    out.write("[")
    for count, row in enumerate(rows, 1):
        out.write(("\n" if count == 1 else ",\n") + _record(*row))
    out.write("\n]\n")
    return count


def _jsonl(rows: Iterator[tuple[Job, bool]], out: TextIO) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        out.write(_record(*row) + "\n")
    return count


def _csv(rows: Iterator[tuple[Job, bool]], out: TextIO, raw: bool) -> int:
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    count = 0
    for count, (job, archived) in enumerate(rows, 1):  # noqa: B007
        fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(job))
        fields |= {"hosts": " ".join(task.host for task in job.tasks), "archived": "yes" if archived else ""}
        cells = [fields[name] for name in _COLUMNS]
        table.writerow(
            cells if raw else [guard_formula(cell) if isinstance(cell, str) else cell for cell in cells]
        )
    return count


def _record(job: Job, archived: bool) -> str:
    tasks = [_task(task) for task in job.tasks]
    fields = msgspec.structs.asdict(job) | {"tasks": tasks, "archived": archived}
    return msgspec.json.encode(fields).decode()


def _task(task: Task) -> dict[str, Any]:
    fields = msgspec.structs.asdict(task)
    for name in ("before", "after"):
        if fields[name] is not None:
            stats = fields[name] = msgspec.to_builtins(fields[name])
            if "keys" in stats:
                stats["entries"] = stats.pop("keys")
    return fields


_WRITERS: Final[dict[str, Callable[[Iterator[tuple[Job, bool]], TextIO], int]]] = {
    "json": _json,
    "jsonl": _jsonl,
}

"""The export of jobs, a page at a time, to a CSV or JSON file that only the user can read."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TextIO

from jobtui.formatting import guard_formula, to_local
from jobtui.history import QueryResult
from jobtui.model import Job

_PAGE = 500
FIELDS = (
    "id",
    "command",
    "space",
    "status",
    "submitted",
    "start",
    "stop",
    "took",
    "progress",
    "reclaimed",
    "recovered_from",
    "reason",
)


def export_jobs(view: QueryResult, path: Path) -> int:
    """Write the view's jobs to a new file, as JSON or CSV by its name; return their number.

    A file that cannot be written completely is removed again.

    Args:
        view: The jobs.
        path: The new file.

    Raises:
        FileExistsError: The file exists already.
        OSError: The file cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            pages = _pages(view)
            if path.suffix.lower() == ".json":
                return _json(pages, file.write)
            return _csv(pages, file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def new_export_path(directory: Path, suffix: str, now: datetime) -> Path:
    """Return a path that does not exist yet: `jobtui-jobs-20191217-172130.csv`."""
    stem = f"jobtui-jobs-{to_local(now):%Y%m%d-%H%M%S}"
    place = directory / f"{stem}{suffix}"
    number = 2
    while place.exists():
        place = directory / f"{stem}-{number}{suffix}"
        number += 1
    return place


def job_fields(job: Job) -> Mapping[str, object]:
    """Return a job's fields: times in ISO 8601, sizes in bytes, progress as a fraction."""
    return {
        "id": job.id,
        "command": job.command,
        "space": job.space,
        "status": job.status.value,
        "submitted": _iso(job.submitted),
        "start": _iso(job.start),
        "stop": _iso(job.stop),
        "took": job.took,
        "progress": job.progress,
        "reclaimed": job.reclaimed,
        "recovered_from": job.recovered_from,
        "reason": job.reason,
    }


def _pages(view: QueryResult) -> Iterator[list[Job]]:
    for start in range(0, len(view), _PAGE):
        yield view.page(start, _PAGE)


def _json(pages: Iterator[list[Job]], write: Callable[[str], object]) -> int:
    count = 0
    write("[")
    for page in pages:
        for job in page:
            write(("\n" if not count else ",\n") + json.dumps(dict(job_fields(job)), ensure_ascii=False))
            count += 1
    write("\n]\n")
    return count


def _csv(pages: Iterator[list[Job]], file: TextIO) -> int:
    writer = csv.DictWriter(file, FIELDS)
    writer.writeheader()
    count = 0
    for page in pages:
        writer.writerows(_guarded(job_fields(job)) for job in page)
        count += len(page)
    return count


def _guarded(row: Mapping[str, object]) -> dict[str, object]:
    return {key: guard_formula(value) if isinstance(value, str) else value for key, value in row.items()}


def _iso(at: datetime | None) -> str | None:
    return to_local(at).isoformat() if at is not None else None

"""Records that are not in the segment that the manifest or an index names for them.

Files that were swapped, renamed, copied over others or put into quarantine may hold the only readable record
of a job.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from jobtui.history.format.codec import SCHEMA, split_lines, try_decode_job
from jobtui.history.format.disk import Disk
from jobtui.history.format.manifest import ARCHIVE_DIRECTORY
from jobtui.history.format.quarantine import QUARANTINE_DIRECTORY
from jobtui.history.format.segment import Segment
from jobtui.model import Job

_RECORDS: Final = r"seg-\d{8,}\.jsonl(\.\d+)?"


class RecordFinder:
    """A finder of jobs by their ids in all files that do not match their entry. Any thread.

    The files are read at the first request, which only a damaged history makes.
    """

    def __init__(self, disk: Disk, directory: Path, segments: Collection[Segment]) -> None:
        self._disk, self._directory = disk, directory
        self._segments = segments
        self._mutex = threading.Lock()
        self._found: dict[int, tuple[Job, bytes]] | None = None

    def find(self, job_id: int) -> Job | None:
        """Return the record of a job, None if no file has it. Raises OSError."""
        found = self.records().get(job_id)
        return found[0] if found is not None else None

    def records(self) -> dict[int, tuple[Job, bytes]]:
        """Return each job with its line, newline included, by id. Raises OSError."""
        with self._mutex:
            if self._found is None:
                self._found = {}
                for file in self._files():
                    with contextlib.suppress(OSError):  # noted when the file is read by its own entry
                        for job, line in read_records(self._disk.read_file(file)):
                            self._found.setdefault(job.id, (job, line))
            return self._found

    def _files(self) -> Iterator[Path]:
        """Yield the files to read; if a job is in several, the record of the first one counts."""
        segments = {segment.path: segment for segment in self._segments}
        archived = self._directory / ARCHIVE_DIRECTORY
        places = [self._directory]
        if self._disk.is_directory(archived):
            places += [archived / name for name in self._disk.list_names(archived)]
        for place in (*filter(self._disk.is_directory, places), self._directory / QUARANTINE_DIRECTORY):
            if self._disk.is_directory(place):
                for name in reversed(self._disk.list_names(place)):
                    file = place / name
                    if re.fullmatch(_RECORDS, name) and not _matches_entry(file, segments):
                        yield file


def _matches_entry(file: Path, segments: Mapping[Path, Segment]) -> bool:
    segment = segments.get(file)
    return segment is not None and segment.matches_entry()


def read_records(data: bytes) -> Iterator[tuple[Job, bytes]]:
    """Yield the ended jobs of a segment's file, each with its line, without damaged ones."""
    for _, line, whole in split_lines(data):
        job = try_decode_job(line, SCHEMA) if whole else None
        if job is not None and job.status.ended:
            yield job, line + b"\n"

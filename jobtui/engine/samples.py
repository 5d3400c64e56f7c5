"""The samples of a job: what its hosts read and wrote each second, thinned over time.

A moment has the seconds since the job's start and, for each host and in total, four figures: bytes read and
written a second, files in level 0, and free bytes of the disk; NaN stands for what was not measured. Samples
can be lost: without them a job has no chart, and nothing else changes.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import isinf, isnan, nan
from pathlib import Path

import msgspec

from jobtui.errors import DECODE_ERRORS
from jobtui.files import read_private, replace_file

MAX_MOMENTS = 720  # more than the dots of a chart on a wide screen
MIN_MOMENTS = 64
# of the figures of one job in memory; with what Python adds to them, a job needs less than 2 MB
JOB_BYTES = 1 << 20
MAX_FILE_BYTES = 2 << 20
MAX_FILES = 2000
MAX_TOTAL_BYTES = 64 << 20
MAX_SECONDS = 1e9  # of a job
SUFFIX = ".samples"
_DRAFT = rf"\.\d+{re.escape(SUFFIX)}\.(\d+)"  # a file that is being written, by a process
_SWEEP_EVERY = 50  # files written between two counts of them
_HEADER = b"jobtui samples 1\n"
_FIGURES = 4
_FIGURE_BYTES = 4


class Gauge(enum.IntEnum):
    """The figures of a moment, by their position in it."""

    READ = 0
    WRITTEN = 1
    L0_FILES = 2
    FREE = 3


Figures = tuple[float, float, float, float]
NO_FIGURES: Figures = (nan, nan, nan, nan)


class HostSamples(msgspec.Struct, frozen=True, gc=False):
    """The figures of one host: for each moment four 32-bit floats, little-endian."""

    host: str
    figures: bytes


class JobSamples(msgspec.Struct, frozen=True, gc=False):
    """The samples of a job.

    Attributes:
        job: The job's id.
        times: The seconds from the job's start to each moment, 32-bit floats, little-endian.
        total: The figures of all hosts together: the sums, and the least free disk.
        hosts: The figures of each host, in the order of the tasks.
    """

    job: int
    times: bytes
    total: bytes
    hosts: tuple[HostSamples, ...] = ()

    def seconds(self) -> Sequence[float]:
        """Return the seconds of each moment, in rising order."""
        return _floats(self.times)

    def series(self, metric: Gauge, host: int | None = None) -> Sequence[float]:
        """Return a figure at each moment, of the host at that position or of all together."""
        return _floats(self.total if host is None else self.hosts[host].figures)[metric::_FIGURES]

    @property
    def is_sound(self) -> bool:
        """Whether the times rise, and all hosts have figures for each of them, as this version writes them."""
        size = len(self.times) * _FIGURES
        columns = (self.total, *(host.figures for host in self.hosts))
        if len(self.times) % _FIGURE_BYTES or any(len(figures) != size for figures in columns):
            return False
        seconds = (0.0, *self.seconds(), MAX_SECONDS)
        return all(before <= after for before, after in pairwise(seconds)) and not any(
            any(map(isinf, _floats(figures))) for figures in columns
        )


def _floats(data: bytes) -> array[float]:
    floats = array("f")
    floats.frombytes(data)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats


def _bytes(floats: array[float]) -> bytes:
    if sys.byteorder == "big":
        floats = floats[:]
        floats.byteswap()
    return floats.tobytes()


class _Mean:
    """Several moments of one host merged: the mean of the rates, the most files and the least free disk."""

    def __init__(self) -> None:
        self.figures = list(NO_FIGURES)
        self._counts = [0, 0]

    def add(self, figures: Iterable[float]) -> None:
        known = self.figures
        for index, figure in enumerate(figures):
            if isnan(figure):
                continue
            if isnan(known[index]):
                known[index] = figure
            elif index == Gauge.L0_FILES:
                known[index] = max(known[index], figure)
            elif index == Gauge.FREE:
                known[index] = min(known[index], figure)
            else:
                known[index] += (figure - known[index]) / (self._counts[index] + 1)
            if index in (Gauge.READ, Gauge.WRITTEN):
                self._counts[index] += 1


class SampleBuffer:
    """The samples of a running job in bounded memory: when it is full, every two moments become one."""

    def __init__(self, job: int, hosts: Sequence[str]) -> None:
        self._job = job
        # of more hosts, the total alone is kept
        self._hosts = tuple(hosts[: JOB_BYTES // (_FIGURES * _FIGURE_BYTES * MIN_MOMENTS) - 1])
        moments = JOB_BYTES // (_FIGURES * _FIGURE_BYTES * (len(self._hosts) + 1))
        self._capacity = min(MAX_MOMENTS, moments) // 2 * 2
        self._times = array("f")
        self._columns = [array("f") for _ in range(len(self._hosts) + 1)]  # the total is the last one
        self._stride = 1
        self._merging: dict[int, _Mean] = {}
        self._merged = 0
        # a job's start is a time of the wall clock: if that is set back, its next owner counts from less than
        # the one before had reached, and a chart whose times do not rise cannot be drawn
        self._shift = 0.0

    def __len__(self) -> int:
        return len(self._times)

    def add(
        self, seconds: float, by_host: Mapping[int, Figures], total: Figures, *, last: bool = False
    ) -> None:
        """Add a moment: the figures of the hosts at these positions, and of all together.

        `last`: no further one follows, so that it is kept even if it were to be merged with the next.
        """
        for index, figures in by_host.items():
            if index < len(self._hosts):
                self._merging.setdefault(index, _Mean()).add(figures)
        self._merging.setdefault(len(self._hosts), _Mean()).add(total)
        self._merged += 1
        if self._merged < self._stride and not last:
            return
        self._times.append(self._rising(seconds))
        for index, column in enumerate(self._columns):
            mean = self._merging.get(index)
            column.extend(NO_FIGURES if mean is None else mean.figures)
        self._merging, self._merged = {}, 0
        while len(self._times) >= self._capacity:
            self._halve()

    def _rising(self, seconds: float) -> float:
        """Return the time of the next moment, which is never before the last one."""
        if self._times:
            self._shift = max(self._shift, self._times[-1] - seconds)
        return seconds + self._shift

    def restore(self, samples: JobSamples) -> None:
        """Put the samples of an earlier process before those of this one."""
        earlier = {host.host: host.figures for host in samples.hosts}
        if not samples.is_sound or not samples.times:
            return
        count = len(samples.times) // _FIGURE_BYTES
        since, self._times = self._times, array("f", samples.seconds())
        self._times.extend(map(self._rising, since))
        for index, name in enumerate(self._hosts):
            figures = _floats(earlier[name]) if name in earlier else array("f", NO_FIGURES * count)
            self._columns[index] = figures + self._columns[index]
        self._columns[-1] = _floats(samples.total) + self._columns[-1]
        while len(self._times) >= self._capacity:
            self._halve()

    def samples(self) -> JobSamples:
        """Return the samples so far."""
        hosts = zip(self._hosts, self._columns[:-1], strict=True)
        return JobSamples(
            self._job,
            _bytes(self._times),
            _bytes(self._columns[-1]),
            tuple(HostSamples(name, _bytes(column)) for name, column in hosts),
        )

    def _halve(self) -> None:
        self._stride *= 2
        count = len(self._times)
        self._times = array("f", [self._times[min(index + 1, count - 1)] for index in range(0, count, 2)])
        self._columns = [_halved(column) for column in self._columns]


def _halved(column: array[float]) -> array[float]:
    merged = array("f")
    for start in range(0, len(column), 2 * _FIGURES):
        mean = _Mean()
        mean.add(column[start : start + _FIGURES])
        mean.add(column[start + _FIGURES : start + 2 * _FIGURES])
        merged.extend(mean.figures)
    return merged


class SampleFiles:
    """The files with the samples of ended jobs, a few thousand of the newest."""

    def __init__(self, root: Path) -> None:
        self._directory = root / "samples"
        self._written = 0

    def write(self, samples: JobSamples) -> None:
        """Write the file of a job.

        A disk that refuses it costs the chart; the history reports the disk.
        """
        data = _HEADER + zlib.compress(msgspec.msgpack.encode(samples), 1)
        if len(data) > MAX_FILE_BYTES:
            return
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            if not self._directory.is_symlink():
                replace_file(self._path(samples.job), data)
        if self._written % _SWEEP_EVERY == 0:
            self._sweep()
        self._written += 1

    def read(self, job: int) -> JobSamples | None:
        """Return the samples of a job, None if there are none or they are damaged."""
        try:
            data = read_private(self._path(job), MAX_FILE_BYTES)
            if not data.startswith(_HEADER):
                return None
            # limited: a damaged file must not fill the memory
            unpacker = zlib.decompressobj()
            plain = unpacker.decompress(data[len(_HEADER) :], 2 * MAX_FILE_BYTES)
            if not unpacker.eof:
                return None  # without its end, the checksum was not compared
            samples = msgspec.msgpack.decode(plain, type=JobSamples)
        except (OSError, zlib.error, *DECODE_ERRORS):
            return None
        return samples if samples.job == job and samples.is_sound else None

    def delete(self, jobs: Iterable[int]) -> None:
        """Delete the files of jobs, if there are any."""
        for job in jobs:
            with contextlib.suppress(OSError):
                self._path(job).unlink()

    def _path(self, job: int) -> Path:
        return self._directory / f"{job}{SUFFIX}"

    def _sweep(self) -> None:
        """Delete the files of the oldest jobs if there are too many, and drafts that a crash left."""
        sizes: dict[int, int] = {}
        with contextlib.suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                name = entry.name.removesuffix(SUFFIX)
                if name.isdecimal() and name.isascii():
                    sizes[int(name)] = entry.stat(follow_symlinks=False).st_size
                elif (draft := re.fullmatch(_DRAFT, entry.name)) and int(draft[1]) != os.getpid():
                    Path(entry).unlink()
        size = sum(sizes.values())
        surplus = []
        for count, job in enumerate(sorted(sizes)):
            if len(sizes) - count <= MAX_FILES and size <= MAX_TOTAL_BYTES:
                break
            surplus.append(job)
            size -= sizes[job]
        self.delete(surplus)

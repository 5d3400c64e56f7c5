"""`jobtui load SPACE FILE…`: key-value pairs from files, or from stdin, into a space.

Files are read through once before anything is loaded, so that a bad line leaves the space as it was;
stdin can't be read twice, and what stood before its bad line is in the space.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from jobtui.cli.arguments import Load
from jobtui.cli.bars import byte_bar
from jobtui.cli.engines import must_exist, notices_told, opened
from jobtui.cli.exits import Exit, UsageError
from jobtui.cli.pairs import Pair, PairError, PairFormat, format_of, read_pairs
from jobtui.cli.profiles import must_be_embedded, profile_of, settings_of
from jobtui.cli.streams import complain, is_terminal, stdin
from jobtui.engine.engine import Engine
from jobtui.engine.profile import Run
from jobtui.engine.remote import Remote

BATCH_PAIRS = 5_000
BATCH_BYTES = 1 << 20
STDIN = "-"


def load(asked: Load) -> int:
    """Load the files in their order; the answer is the exit status. Raises CommandError."""
    profile = profile_of(asked, settings_of(asked))
    must_be_embedded(profile)
    sources = [_source(name, asked.format) for name in asked.files]
    if sum(source.name == STDIN for source in sources) > 1:
        raise UsageError("stdin (-) can be read once")
    total = _checked(sources)
    with opened(profile, Run.NONE) as engine, notices_told(engine):
        must_exist(engine, asked.space)
        count = _loaded(engine, asked.space, sources, total)
    if is_terminal(2):
        complain(f"{count:,} pairs loaded into {asked.space}")
    return Exit.DONE


class _Meter:
    """How many bytes have been read."""

    def __init__(self) -> None:
        self.bytes = 0

    def counted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.bytes += len(line)
            yield line


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    form: PairFormat

    @property
    def label(self) -> str:
        return "stdin" if self.name == STDIN else self.name

    def pairs(self, meter: _Meter) -> Iterator[Pair]:
        """The pairs; `meter` goes on with the bytes read. Raises CommandError."""
        with self._opened() as file:
            yield from read_pairs(meter.counted(file), self.form, self.label)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with stdin() if self.name == STDIN else Path(self.name).open("rb") as file:
                yield file
        except OSError as error:
            raise UsageError(f"{self.label}: {error.strerror}") from None


def _source(name: str, form: str | None) -> _Source:
    if form is not None:
        return _Source(name, PairFormat(form))
    if name == STDIN:
        return _Source(name, PairFormat.JSONL)
    told = format_of(name)
    if told is None:
        raise UsageError(f"{name}: the name tells no format; say --format csv, tsv or jsonl")
    return _Source(name, told)


def _checked(sources: Sequence[_Source]) -> int | None:
    """Read the files through; the answer is their bytes in all, None where stdin is among them."""
    meter = _Meter()
    for source in sources:
        if source.name != STDIN:
            for _ in source.pairs(meter):
                pass
    return None if any(source.name == STDIN for source in sources) else meter.bytes


def _loaded(engine: Engine | Remote, space: str, sources: Sequence[_Source], total: int | None) -> int:
    """Load all pairs, a batch being written while the next is read; how many there were."""
    count = 0
    writing: Future[None] | None = None
    meter = _Meter()
    with byte_bar(f"load {space}", total) as show:
        try:
            for batch in _batches(sources, meter):
                if writing is not None:
                    writing.result()
                writing = engine.load(space, batch)
                count += len(batch)
                show(meter.bytes)
            if writing is not None:
                writing.result()
        except (PairError, KeyboardInterrupt) as error:
            if writing is not None:
                writing.result()
            complain(f"{count:,} pairs were loaded before this:")
            raise error from None
    return count


def _batches(sources: Sequence[_Source], meter: _Meter) -> Iterator[list[Pair]]:
    """All pairs in order. What stands before a bad line comes before its error."""
    batch: list[Pair] = []
    size = 0
    for source in sources:
        try:
            for pair in source.pairs(meter):
                batch.append(pair)
                size += len(pair[0]) + len(pair[1] or b"")
                if len(batch) >= BATCH_PAIRS or size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        except PairError:
            yield batch
            raise
    yield batch

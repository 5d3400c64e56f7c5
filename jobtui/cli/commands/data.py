"""`jobtui dump SPACE`: a space's key-value pairs on stdout, in key order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from jobtui.cli.args import DumpCommand, LoadCommand
from jobtui.cli.connect import open_client, print_notices_after, require_space, wait_for_other_jobs
from jobtui.cli.errors import CommandError, Exit, UsageError
from jobtui.cli.pair_files import read_pairs, write_pairs
from jobtui.cli.pair_format import Pair, PairFormat, format_of
from jobtui.cli.profiles import profile_of, require_embedded, settings_of
from jobtui.cli.progress import byte_bar
from jobtui.cli.streams import Output, print_error, stdin
from jobtui.cli.wait import raise_signals
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import ErrorCode, OwnerUnavailable, StorageError
from jobtui.history import StoreError
from jobtui.os_errors import explain


@raise_signals()
def dump(asked: DumpCommand) -> int:
    """Print the pairs; the answer is the exit status. Raises CommandError, also midway."""
    profile = profile_of(asked, settings_of(asked))
    require_embedded(profile)
    output = Output()
    with open_client(profile, RunPolicy.NONE) as engine, print_notices_after(engine):
        require_space(engine, asked.space)
        for line in write_pairs(engine.dump(asked.space), PairFormat(asked.format)):
            output.write_bytes(line)
            if output.closed:
                break
        output.flush()
        wait_for_other_jobs(engine)
    return Exit.DONE


# `jobtui load SPACE FILE…`: key-value pairs from files, or from stdin, into a space.
#
# All input is checked before anything is loaded, so that an invalid line leaves the space unchanged. A pipe
# cannot be read twice, so its content is stored in an unnamed temporary file in the profile's directory.
BATCH_PAIRS = 5_000
BATCH_BYTES = 1 << 20
STDIN = "-"
REPEATS = (ErrorCode.UNSUPPORTED, ErrorCode.MISSING, ErrorCode.REJECTED)  # however often the same is tried


@raise_signals()
def load(asked: LoadCommand) -> int:
    """Load the files in their order; the answer is the exit status. Raises CommandError."""
    profile = profile_of(asked, settings_of(asked))
    require_embedded(profile)
    formats = [_format(name, asked.format) for name in asked.files]
    if asked.files.count(STDIN) > 1:
        raise UsageError("stdin (-) can be read once")
    _must_be_known(profile, asked.space)
    with ExitStack() as files:
        sources = [
            _Source(name, form, asked.delete_keys, *_opened(name, profile, files))
            for name, form in zip(asked.files, formats, strict=True)
        ]
        meter = _Meter()
        count = _checked(sources, meter, quiet=asked.quiet)
        with open_client(profile, RunPolicy.NONE) as engine, print_notices_after(engine):
            require_space(engine, asked.space)
            _load(engine, asked.space, sources, _Whole(count, meter.bytes), quiet=asked.quiet)
            wait_for_other_jobs(engine)
    if not asked.quiet:
        print_error(_summary(count, asked.space))
    return Exit.DONE


class _Count(msgspec.Struct, frozen=True):
    """How many pairs are put in, and how many keys deleted."""

    pairs: int = 0
    deletions: int = 0

    @property
    def lines(self) -> int:
        """Both together."""
        return self.pairs + self.deletions

    def plus(self, batch: Sequence[Pair]) -> _Count:
        """Return the count with a batch."""
        deletions = sum(value is None for _, value in batch)
        return _Count(self.pairs + len(batch) - deletions, self.deletions + deletions)


class _Whole(msgspec.Struct, frozen=True):
    """How much there is to load."""

    count: _Count
    bytes: int


class _Meter:
    """How many bytes have been read."""

    def __init__(self) -> None:
        self.bytes = 0

    def counted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.bytes += len(line)
            yield line


class _Source(msgspec.Struct, frozen=True):
    """A file, open; `copy` is what it is kept in where it can't be read twice."""

    name: str
    form: PairFormat
    delete_keys: bool
    file: IO[bytes]
    copy: IO[bytes] | None

    @property
    def label(self) -> str:
        return "stdin" if self.name == STDIN else self.name

    def first(self, meter: _Meter) -> Iterator[Pair]:
        """The pairs, for the first time; `meter` goes on with the bytes read. Raises CommandError."""
        begin = self.file.tell() if self.copy is None else 0
        lines = _read(self.file, self.label) if self.copy is None else self._kept(self.copy)
        yield from read_pairs(meter.counted(lines), self.form, self.label, delete_keys=self.delete_keys)
        (self.copy or self.file).seek(begin)

    def again(self, meter: _Meter) -> Iterator[Pair]:
        """The same for the second time."""
        lines = _read(self.copy or self.file, self.label)
        return read_pairs(meter.counted(lines), self.form, self.label, delete_keys=self.delete_keys)

    def _kept(self, copy: IO[bytes]) -> Iterator[bytes]:
        try:
            for line in _read(self.file, self.label):
                copy.write(line)
                yield line
            copy.flush()
        except OSError as error:
            raise CommandError(
                f"{self.label} can't be kept until all of it is checked: {explain(error)}; nothing was "
                "loaded. A file, in place of a pipe, needs no such room"
            ) from None


def _format(name: str, form: str | None) -> PairFormat:
    if form is not None:
        return PairFormat(form)
    if name == STDIN:
        return PairFormat.JSONL
    told = format_of(name)
    if told is None:
        raise UsageError(f"{name}: the name tells no format; say --format csv, tsv or jsonl")
    return told


def _must_be_known(profile: Profile, space: str) -> None:
    """Refuse a space that isn't there before anything is read. Raises CommandError."""
    try:
        reader = ReadOnlyClient.open(profile)
    except StoreError as error:
        raise CommandError(str(error)) from None
    try:
        require_space(reader, space)
    finally:
        reader.close()


def _opened(name: str, profile: Profile, files: ExitStack) -> tuple[IO[bytes], IO[bytes] | None]:
    """The file, and what to keep it in where it can't be read twice. Raises CommandError."""
    label = "stdin" if name == STDIN else name
    try:
        file = files.enter_context(stdin() if name == STDIN else _file(name))
        file.read(0)
    except OSError as error:
        raise UsageError(f"{label}: {error.strerror}") from None
    if file.seekable():
        return file, None
    try:
        return file, files.enter_context(_nameless_file(profile.root))
    except OSError as error:
        raise CommandError(f"{profile.root} can't be written: {explain(error, profile.root)}") from None


def _file(name: str) -> IO[bytes]:
    return Path(name).open("rb")


@contextmanager
def _nameless_file(directory: Path) -> Iterator[IO[bytes]]:
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 -- what could not be written is not missed
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def _read(file: IO[bytes], label: str) -> Iterator[bytes]:
    """The file's lines. Raises CommandError where they can't be read."""
    while True:
        try:
            line = file.readline()
        except OSError as error:
            raise CommandError(f"{label} can't be read: {error.strerror}") from None
        if not line:
            return
        yield line


def _checked(sources: Sequence[_Source], meter: _Meter, *, quiet: bool) -> _Count:
    """Read all of it through and count it. Raises CommandError."""
    count = deletions = 0
    known = [os.fstat(source.file.fileno()).st_size for source in sources if source.copy is None]
    total = sum(known) if len(known) == len(sources) else None
    try:
        with byte_bar("check", total, quiet=quiet) as show:
            for source in sources:
                for _, value in source.first(meter):
                    count += 1
                    deletions += value is None
                    if count % BATCH_PAIRS == 0:
                        show(meter.bytes)
            show(meter.bytes)
    except KeyboardInterrupt:
        print_error("Nothing was loaded")
        raise
    return _Count(count - deletions, deletions)


def _load(
    engine: LocalClient | RemoteClient, space: str, sources: Sequence[_Source], whole: _Whole, *, quiet: bool
) -> None:
    """Load all pairs, a batch being written while the next is read."""
    done = under_way = _Count()
    writing: Future[None] | None = None
    meter = _Meter()
    with byte_bar(f"load {space}", whole.bytes, quiet=quiet) as show:
        try:
            for batch in _batches(sources, meter):
                if writing is not None:
                    writing.result()
                done = under_way
                writing, under_way = engine.load(space, batch), done.plus(batch)
                show(meter.bytes)
            if writing is not None:
                writing.result()
        except (StorageError, StoreError, OwnerUnavailable, CommandError) as error:
            if not done.lines and isinstance(error, StorageError) and error.code in REPEATS:
                raise
            raise CommandError(f"{error}\n{_so_far(done, whole, error)}") from None
        except BaseException as error:
            print_error(_so_far(done, whole, error))
            raise


def _so_far(done: _Count, whole: _Whole, error: BaseException) -> str:
    """What is in by now and, unless the error would only come again, how the rest gets in."""
    loaded = f"{done.pairs:,} of {_counted(whole.count.pairs)} were loaded before this"
    if whole.count.deletions:
        loaded += f", and {done.deletions:,} of {_deleted(whole.count.deletions)}"
    loaded += "."
    if isinstance(error, StorageError) and error.code in REPEATS:
        return loaded
    return f"{loaded} The same load again puts in the rest: what is in already stays as it is"


def _batches(sources: Sequence[_Source], meter: _Meter) -> Iterator[list[Pair]]:
    """All pairs in order."""
    batch: list[Pair] = []
    size = 0
    for source in sources:
        for pair in source.again(meter):
            batch.append(pair)
            size += len(pair[0]) + len(pair[1] or b"")
            if len(batch) >= BATCH_PAIRS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


def _summary(count: _Count, space: str) -> str:
    """Return the pairs loaded and the keys deleted: a deletion is never counted as a pair."""
    deleted = f", {_deleted(count.deletions)}" if count.deletions else ""
    return f"{_counted(count.pairs)} loaded into {space}{deleted}"


def _deleted(keys: int) -> str:
    return "1 key deleted" if keys == 1 else f"{keys:,} keys deleted"


def _counted(pairs: int) -> str:
    return "1 pair" if pairs == 1 else f"{pairs:,} pairs"

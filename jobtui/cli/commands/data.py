"""`jobtui dump SPACE` prints a space's pairs; `jobtui load SPACE FILE…` loads pairs.

All input is checked before anything is loaded, so that an invalid line leaves the space unchanged. A pipe
cannot be read twice, so its content is stored in an unnamed temporary file in the profile's directory.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from jobtui.cli.connect import connect_client, print_notices_after, require_space, wait_for_other_jobs
from jobtui.cli.errors import CommandError, Exit, UsageError
from jobtui.cli.options import DumpCommand, LoadCommand
from jobtui.cli.pair_files import read_pairs, write_pairs
from jobtui.cli.pair_format import PairFormat, format_of
from jobtui.cli.profiles import read_settings, require_embedded, resolve_profile
from jobtui.cli.progress import byte_bar
from jobtui.cli.streams import StdoutWriter, print_error, stdin
from jobtui.cli.wait import raise_signals
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.engine.scheduler import RunPolicy
from jobtui.errors import ErrorCode, OwnerUnavailable, StorageError
from jobtui.formatting import format_bytes, format_count
from jobtui.history import StoreError
from jobtui.os_errors import describe_os_error
from jobtui.storage.base import Pair
from jobtui.storage.local.protocol import MAX_PAIR_BYTES

BATCH_PAIRS = 5_000
BATCH_BYTES = 1 << 20
MAX_LINE_BYTES = 6 * MAX_PAIR_BYTES + 1024
"""JSON writes a control character in six bytes. Without a limit, /dev/zero would fill the memory."""
STDIN = "-"
PERMANENT = (ErrorCode.UNSUPPORTED, ErrorCode.MISSING, ErrorCode.REJECTED)
"""The errors that would occur again in another attempt."""


@raise_signals()
def dump(command: DumpCommand) -> int:
    """Print the pairs and return the exit status.

    Raises CommandError, possibly after some pairs.
    """
    profile = resolve_profile(command, read_settings(command))
    require_embedded(profile)
    output = StdoutWriter()
    with connect_client(profile, RunPolicy.NONE) as engine, print_notices_after(engine):
        require_space(engine, command.space)
        for line in write_pairs(engine.dump(command.space), PairFormat(command.format)):
            output.write_bytes(line)
            if output.closed:
                break
        output.flush()
        wait_for_other_jobs(engine)
    return Exit.DONE


@raise_signals()
def load(command: LoadCommand) -> int:
    """Load the files in their order and return the exit status. Raises CommandError."""
    profile = resolve_profile(command, read_settings(command))
    require_embedded(profile)
    formats = [_format(name, command.format) for name in command.files]
    if command.files.count(STDIN) > 1:
        raise UsageError("stdin (-) can be read only once")
    _require_known_space(profile, command.space)
    with ExitStack() as files:
        sources = [
            _Source(name, form, command.delete_keys, *_open(name, profile, files))
            for name, form in zip(command.files, formats, strict=True)
        ]
        meter = _ByteCounter()
        count = _check(sources, meter, quiet=command.quiet)
        with connect_client(profile, RunPolicy.NONE) as engine, print_notices_after(engine):
            require_space(engine, command.space)
            _load(engine, command.space, sources, _Total(count, meter.bytes), quiet=command.quiet)
            wait_for_other_jobs(engine)
    if not command.quiet:
        print_error(_summary(count, command.space))
    return Exit.DONE


class _Count(msgspec.Struct, frozen=True):
    """The number of pairs that are loaded and of keys that are deleted."""

    pairs: int = 0
    deletions: int = 0

    @property
    def lines(self) -> int:
        """The sum of both."""
        return self.pairs + self.deletions

    def plus(self, batch: Sequence[Pair]) -> _Count:
        """Return the count with a batch."""
        deletions = sum(value is None for _, value in batch)
        return _Count(self.pairs + len(batch) - deletions, self.deletions + deletions)


class _Total(msgspec.Struct, frozen=True):
    """The size of all input."""

    count: _Count
    bytes: int


class _ByteCounter:
    """A counter of the bytes that have been read."""

    def __init__(self) -> None:
        self.bytes = 0

    def counted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.bytes += len(line)
            yield line


class _Source(msgspec.Struct, frozen=True):
    """An open file; `copy` is the temporary file for its content if it cannot be read twice."""

    name: str
    form: PairFormat
    delete_keys: bool
    file: IO[bytes]
    copy: IO[bytes] | None

    @property
    def label(self) -> str:
        return "stdin" if self.name == STDIN else self.name

    def first(self, meter: _ByteCounter) -> Iterator[Pair]:
        """Yield the pairs of the first reading; `meter` counts the bytes. Raises CommandError."""
        begin = self.file.tell() if self.copy is None else 0
        lines = _read(self.file, self.label) if self.copy is None else self._copied(self.copy)
        yield from read_pairs(meter.counted(lines), self.form, self.label, delete_keys=self.delete_keys)
        (self.copy or self.file).seek(begin)

    def again(self, meter: _ByteCounter) -> Iterator[Pair]:
        """Return the pairs of the second reading."""
        lines = _read(self.copy or self.file, self.label)
        return read_pairs(meter.counted(lines), self.form, self.label, delete_keys=self.delete_keys)

    def _copied(self, copy: IO[bytes]) -> Iterator[bytes]:
        try:
            for line in _read(self.file, self.label):
                copy.write(line)
                yield line
            copy.flush()
        except OSError as error:
            raise CommandError(
                f"{self.label} cannot be stored until all of it is checked: {describe_os_error(error)}; "
                "nothing was loaded. A file in place of the pipe needs no temporary file"
            ) from None


def _format(name: str, form: str | None) -> PairFormat:
    if form is not None:
        return PairFormat(form)
    if name == STDIN:
        return PairFormat.JSONL
    found = format_of(name)
    if found is None:
        if not os.path.lexists(name):  # then the file is what is wrong
            raise UsageError(f"{name}: {os.strerror(errno.ENOENT)}")
        raise UsageError(f"{name}: the name does not tell the format; add --format csv, tsv or jsonl")
    return found


def _require_known_space(profile: Profile, space: str) -> None:
    """Reject a space that does not exist before anything is read. Raises CommandError."""
    try:
        reader = ReadOnlyClient.open(profile)
    except StoreError as error:
        raise CommandError(str(error)) from None
    try:
        require_space(reader, space)
    finally:
        reader.close()


def _open(name: str, profile: Profile, files: ExitStack) -> tuple[IO[bytes], IO[bytes] | None]:
    """Return the file, and a temporary file if it cannot be read twice. Raises CommandError."""
    label = "stdin" if name == STDIN else name
    try:
        file = files.enter_context(stdin() if name == STDIN else Path(name).open("rb"))  # noqa: SIM115
        file.read(0)
    except OSError as error:
        raise UsageError(f"{label}: {error.strerror}") from None
    if file.seekable():
        return file, None
    try:
        return file, files.enter_context(_temporary_file(profile.root))
    except OSError as error:
        raise CommandError(
            f"{profile.root} cannot be written: {describe_os_error(error, profile.root)}"
        ) from None


@contextmanager
def _temporary_file(directory: Path) -> Iterator[IO[bytes]]:
    # its own context manager would raise the error of a last write to a full disk at closing
    file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def _read(file: IO[bytes], label: str) -> Iterator[bytes]:
    """Yield the file's lines. Raises CommandError if they cannot be read."""
    while True:
        try:
            line = file.readline(MAX_LINE_BYTES)
        except OSError as error:
            raise CommandError(f"{label} cannot be read: {error.strerror}") from None
        if len(line) == MAX_LINE_BYTES:
            raise CommandError(
                f"{label} cannot be loaded: it has a line of {format_bytes(len(line))} or more, and no pair is "
                "that long; check that it is a file of pairs"
            )
        if not line:
            return
        yield line


def _check(sources: Sequence[_Source], meter: _ByteCounter, *, quiet: bool) -> _Count:
    """Read all input and count its pairs. Raises CommandError."""
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
    engine: LocalClient | RemoteClient, space: str, sources: Sequence[_Source], total: _Total, *, quiet: bool
) -> None:
    """Load all pairs; a batch is written while the next is read."""
    done = under_way = _Count()
    writing: Future[None] | None = None
    meter = _ByteCounter()
    with byte_bar(f"load {space}", total.bytes, quiet=quiet) as show:
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
            if not done.lines and isinstance(error, StorageError) and error.code in PERMANENT:
                raise
            raise CommandError(f"{error}\n{_describe_progress(done, total, error)}") from None
        except BaseException as error:
            print_error(_describe_progress(done, total, error))
            raise


def _describe_progress(done: _Count, total: _Total, error: BaseException) -> str:
    """Return the loaded amount as text and, unless the error is permanent, how to load the rest."""
    loaded = f"{done.pairs:,} of {_describe_pairs(total.count.pairs)} were loaded before this"
    if total.count.deletions:
        loaded += f", and {done.deletions:,} of {_describe_deletions(total.count.deletions)}"
    loaded += "."
    if isinstance(error, StorageError) and error.code in PERMANENT:
        return loaded
    return f"{loaded} Repeat the command to load the rest: pairs that are loaded already stay unchanged"


def _batches(sources: Sequence[_Source], meter: _ByteCounter) -> Iterator[list[Pair]]:
    """Yield all pairs in order, in batches."""
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
    """Return how many pairs were loaded and keys deleted; a deletion does not count as a pair."""
    deleted = f", {_describe_deletions(count.deletions)}" if count.deletions else ""
    return f"{_describe_pairs(count.pairs)} loaded into {space}{deleted}"


def _describe_deletions(keys: int) -> str:
    return f"{format_count(keys, 'key')} deleted"


def _describe_pairs(pairs: int) -> str:
    return format_count(pairs, "pair")

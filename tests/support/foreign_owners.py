"""Programs other than jobtui that own RocksDB databases, and listings of their directories.

`owner_program` compiles `tests/support/foreign/owner.cc`, and `package_owner` installs a Python package that
embeds RocksDB. Both are kept for the next run and shared by the processes of this one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

SOURCE = Path(__file__).parent / "foreign" / "owner.cc"
PACKAGE_OWNER = Path(__file__).parent / "foreign" / "package_owner.py"
STATES = ("flushed", "unflushed", "killed")
COMPILE_SECONDS = 240
INSTALL_SECONDS = 120
RUN_SECONDS = 60


class Owner(msgspec.Struct, frozen=True):
    """A program that creates, opens and dumps databases of one kind, run as `command`.

    `user` runs it, None for the user of the tests; only root can run it as another one.
    """

    command: tuple[str, ...]
    user: int | None = None

    def make(self, database: Path, state: str) -> None:
        """Create the database in one of `STATES`."""
        database.parent.mkdir(parents=True, exist_ok=True)
        done = self._run("make", database, state)
        assert done.returncode in {0, -signal.SIGKILL}, done

    def dump(self, database: Path) -> bytes:
        """Return every pair that the owner finds when it opens the database for writing."""
        return self._must("dump", database)

    def load(self, database: Path) -> None:
        """Check that the owner's version knows every option of the newest OPTIONS file."""
        self._must("load", database)

    def checkpoint(self, database: Path, to: Path) -> None:
        """Make a checkpoint of the database, which must not be open."""
        self._must("copy", database, str(to))

    def backup(self, database: Path, to: Path) -> None:
        """Make a backup of the database with RocksDB's backup engine."""
        self._must("backup", database, str(to))

    @contextmanager
    def holding(self, database: Path) -> Iterator[None]:
        """Keep the database open in its owner, with rows in the WAL alone, until the block ends."""
        process = subprocess.Popen(
            [*self.command, "hold", str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=database.parent,
            user=self.user,
            group=self.user,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield
        finally:
            process.communicate(b"\n", timeout=RUN_SECONDS)
        assert process.returncode == 0

    def _must(self, what: str, database: Path, *words: str) -> bytes:
        done = self._run(what, database, *words)
        assert done.returncode == 0, done
        return done.stdout

    def _run(self, what: str, database: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
        # a relative directory among the options is resolved against the directory above the database
        return subprocess.run(
            [*self.command, what, str(database), *words],
            capture_output=True,
            timeout=RUN_SECONDS,
            cwd=database.parent,
            user=self.user,
            group=self.user,
        )


class OwnerProgram(msgspec.Struct, frozen=True):
    """The compiled `owner.cc`."""

    binary: Path

    def of(self, kind: str) -> Owner:
        """Return the owner of databases of a kind."""
        return Owner((str(self.binary), kind))

    def kinds(self) -> list[str]:
        """Return every kind that it knows."""
        return subprocess.check_output([self.binary, "kinds"], text=True).split()


def owner_program(config: pytest.Config) -> OwnerProgram:
    """Return the compiled program; skip the test with the reason when it cannot be compiled here."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed: the programs that own databases cannot be compiled")
    version = subprocess.check_output([compiler, "-dumpfullversion", "-dumpmachine"])
    key = hashlib.sha256(version + SOURCE.read_bytes()).hexdigest()[:16]
    with shared_cache(config) as cache:
        binary = cache / f"owner-{key}"
        failure = cache / f"owner-{key}.error"
        if not binary.exists():
            _compile(compiler, binary, failure)
    if not binary.exists():
        pytest.skip(f"owner.cc cannot be compiled (is librocksdb-dev installed?): {failure.read_text()[-300:]}")
    return OwnerProgram(binary)


class Package(msgspec.Struct, frozen=True):
    """A Python package that embeds RocksDB: what pip installs, and its function in `package_owner.py`."""

    requirement: str
    adapter: str


class PackageOwner(Owner):
    """An owner that can open databases, but offers no way to check that it knows all options."""

    def load(self, database: Path) -> None:
        """Do nothing: `dump` opens the database with the package's own version."""


def package_owner(config: pytest.Config, package: Package) -> Owner:
    """Return the owner of the package's databases; skip the test with the reason if pip cannot install it."""
    with shared_cache(config) as cache:
        target = cache / f"{package.requirement}-py{sys.version_info.major}.{sys.version_info.minor}"
        failure = cache / f"{target.name}.error"
        if not target.exists():
            _install(package.requirement, target, failure)
    if not target.exists():
        pytest.skip(f"{package.requirement} cannot be installed here: {failure.read_text()[-300:]}")
    return PackageOwner((sys.executable, "-I", str(PACKAGE_OWNER), str(target), package.adapter))


@contextmanager
def shared_cache(config: pytest.Config) -> Iterator[Path]:
    """Lock a directory that outlives the run, so that one test process uses it at a time."""
    assert config.cache is not None
    cache = config.cache.mkdir("foreign")
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


def _compile(compiler: str, binary: Path, failure: Path) -> None:
    unfinished = binary.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, "-std=c++17", "-O0", str(SOURCE), "-o", str(unfinished), "-lrocksdb"],
        capture_output=True,
        text=True,
        timeout=COMPILE_SECONDS,
    )
    if done.returncode == 0:
        unfinished.rename(binary)
    else:
        failure.write_text(done.stderr)


def _install(requirement: str, target: Path, failure: Path) -> None:
    unfinished = target.with_suffix(f".{os.getpid()}")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--target"]
    try:
        done = subprocess.run(
            [*pip, str(unfinished), requirement], capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
        reason = done.stderr
    except subprocess.TimeoutExpired:
        reason = f"pip took longer than {INSTALL_SECONDS} seconds"
    else:
        if done.returncode == 0:
            unfinished.rename(target)
            return
    shutil.rmtree(unfinished, ignore_errors=True)
    failure.write_text(reason)


class Entry(msgspec.Struct, frozen=True):
    """One file or directory: its content, owner and mode."""

    content: str
    mode: int
    owner: tuple[int, int]
    modified: int


def entries(root: Path, *, leave_out: Sequence[Path] = ()) -> dict[str, Entry]:
    """Return every entry below `root`, without the files and directories in `leave_out`."""
    found: dict[str, Entry] = {}
    for directory, names, files in os.walk(root):
        here = Path(directory)
        names[:] = [name for name in names if here / name not in leave_out]
        for path in (here / name for name in names + files if here / name not in leave_out):
            status = path.lstat()
            found[str(path.relative_to(root))] = Entry(
                _content(path), status.st_mode, (status.st_uid, status.st_gid), status.st_mtime_ns
            )
    return found


def _content(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_dir():
        return "directory"
    return hashlib.sha256(path.read_bytes()).hexdigest()

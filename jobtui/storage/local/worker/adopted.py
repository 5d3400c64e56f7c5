"""An adopted database: opened with its own options, for as long as it is used, and left as it was found."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from pathlib import Path

from rocksdict import AccessType, Options, Rdict

from jobtui.storage.base import Code
from jobtui.storage.local.guest import Guest
from jobtui.storage.local.reasons import Trouble
from jobtui.storage.local.worker.database import Opened
from jobtui.storage.local.worker.manifest import Watch
from jobtui.storage.local.worker.options import Shared

# a family's section of an OPTIONS file; RocksDB escapes these characters of its name
_FAMILY = re.compile(r'^\[CFOptions "([^\n]*)"\]$.*?^\s*compaction_style=(\w+)', re.MULTILINE | re.DOTALL)
_ESCAPES = str.maketrans({"\\": r"\\", "#": r"\#", ":": r"\:", "\r": r"\r", "\n": r"\n"})
_HIDDEN = 0o066
_STILL = {"kCompactionStyleFIFO", "kCompactionStyleNone"}


class AdoptedKeeper:
    """Opens and closes one adopted database; see database.Keeper. `notes` is a directory of ours."""

    brief = True

    def __init__(self, path: Path, notes: Path, shared: Shared) -> None:
        self.path = path
        self._shared = shared
        self._guest = Guest(path, notes)
        self._watch = Watch(path, notes / "manifest.json", foreign=True)
        self._writing = False

    def open(self, read_only: bool) -> Opened:
        """Open it with all its column families; `read_only` takes no LOCK, so its owner may be at work."""
        if not read_only:
            self._refuse_locked()
        self._guest.arrive(writing=not read_only)
        try:
            if not read_only:
                # who may read its files now may read the new ones
                os.umask(_HIDDEN & ~(self.path / "CURRENT").stat().st_mode)
                self._watch.before_opening(self._named)
            opened = self._open(read_only)
        except BaseException:
            self._guest.leave()
            raise
        self._writing = not read_only
        if self._writing:
            self._guest.settled_in()
            self._watch.opened()
        return opened

    def closing(self) -> None:
        """Remove what we wrote."""
        self._guest.leave()

    def closed(self) -> None:
        """Note how we left it."""
        if self._writing:
            self._guest.left()
            self._watch.closed()

    def worked(self) -> None:
        """Note how long the MANIFEST has grown."""
        if self._writing:
            self._watch.opened()

    def _open(self, read_only: bool) -> Opened:
        options, families = Options.load_latest(str(self.path), cache=self._shared.cache)
        options.enable_statistics()
        options.set_error_if_exists(False)  # its owner made it with that, and clears it to open it again
        for each in families.values():
            each.set_disable_auto_compactions(True)  # what was asked for is done, and nothing else
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        styles = self._styles(families)
        main = Rdict(str(self.path), options=options, column_families=families, access_type=access)
        handles = {"default": main}
        handles.update((name, main.get_column_family(name)) for name in families if name != "default")
        still = tuple(handles[name] for name, style in styles.items() if style in _STILL)
        levelled = set(styles.values()) - _STILL <= {"kCompactionStyleLevel"}
        others = tuple(sorted(handles.keys() - {"default"}))
        return Opened(main, tuple(handles.values()), options, levelled, still, read_only, others)

    def _named(self) -> set[str]:
        opened = self._open(read_only=True)
        try:
            return {file["name"].lstrip("/") for file in opened.main.live_files()}
        finally:
            for family in reversed(opened.families):
                family.close()

    def _styles(self, names: Iterable[str]) -> dict[str, str]:
        """The families' compaction styles, as far as its newest OPTIONS file tells them."""
        files = sorted(self.path.glob("OPTIONS-*"), key=lambda file: file.name)
        told = dict(_FAMILY.findall(files[-1].read_text("utf-8", "replace"))) if files else {}
        return {name: told[escaped] for name in names if (escaped := name.translate(_ESCAPES)) in told}

    def _refuse_locked(self) -> None:
        """Say at once that the owner is at work: the looks that come before opening would find it half done."""
        try:
            descriptor = os.open(self.path / "LOCK", os.O_RDWR)
        except FileNotFoundError:
            return
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = f"{self.path}: another program has the database open (its LOCK is held)"
            raise Trouble(Code.LOCKED, reason) from None
        finally:
            os.close(descriptor)

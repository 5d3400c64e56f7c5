"""The settings of a profile for the engine, and advice on keeping its owner alive."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notify_settings import NotifySettings
from jobtui.model import DiskReserve
from jobtui.storage.base import STEP_BYTES

if TYPE_CHECKING:
    # it imports ssl, which embedded storage does not need
    from jobtui.storage.nebula.settings import ClusterSettings

MIN_FREE = DiskReserve(share=0.05)


class Profile(msgspec.Struct, frozen=True):
    """The settings of a profile.

    Attributes:
        root: The profile's own directory, which contains `history/` and `storage/`.
        hosts: The data directory of each storage host, None for `root/storage/<host>`; empty for the hosts
            `local0` to `local2`.
        task_timeout: Seconds from a task's start to its deadline, None for no deadline.
        max_running_jobs: How many jobs may run at once.
        compact_rate: The limit of a host's compaction and flush writes in bytes a second, None for no limit.
        step_size: The bytes that a step of a compaction merges.
        min_free: The space that a compaction leaves free on the disk.
        wal_dirs: The WAL directories of adopted databases whose WAL has a directory of its own.
        without_cf_paths: The adopted databases with all SST files in their own directory.
        cluster: The NebulaGraph cluster that runs the work, None for embedded storage.
        advice: The thresholds of SHOW ADVICE and IF NEEDED.
        notify: The notifications and their recipients, None for no notifications.
        read_only: Whether this process changes nothing, and never owns the profile.
    """

    name: str
    root: Path
    hosts: Mapping[str, Path | None] = msgspec.field(default_factory=dict)
    task_timeout: float | None = None
    max_running_jobs: int = 4
    compact_rate: int | None = None
    step_size: int = STEP_BYTES
    min_free: DiskReserve = MIN_FREE
    wal_dirs: Mapping[str, Path] = msgspec.field(default_factory=dict)
    without_cf_paths: tuple[str, ...] = ()
    cluster: ClusterSettings | None = None
    advice: AdviceThresholds = AdviceThresholds()
    notify: NotifySettings | None = None
    read_only: bool = False

    @property
    def read_only_reason(self) -> str:
        """Why a change is refused, if the profile is read-only."""
        return f"Profile '{self.name}' is read-only (--read-only, or read_only = true in the config)"

    @property
    def history(self) -> Path:
        """The directory of the JSON store."""
        return self.root / "history"

    @property
    def storage(self) -> Path:
        """The directory under which the embedded hosts lie by default."""
        return self.root / "storage"


def with_demo_rate(profile: Profile) -> Profile:
    """Return the profile with a write limit that makes its work slow enough to watch."""
    from jobtui.storage.local.demo import COMPACT_RATE

    return msgspec.structs.replace(profile, compact_rate=COMPACT_RATE)


def describe_autostart(profile: Profile) -> str:
    """Return advice on keeping a process for the schedules alive: a systemd unit or cron."""
    import shutil  # late, like the others: few commands report this

    import platformdirs

    words = [shutil.which("jobtui") or "jobtui"]
    if profile.name != "local":
        words += ["--profile", profile.name]
    if profile.root.parent != platformdirs.user_data_path("jobtui", appauthor=False):
        words += ["--data-dir", str(profile.root.parent.absolute())]
    words.append("serve")
    # systemd refuses a program with such a name, and replaces variables in all words but the program
    is_refused = not words[0].isprintable() or re.search(r"""["'\\]""", words[0])
    program, *arguments = map(_unit_word, ["/usr/bin/env", *words] if is_refused else words)
    unit = " ".join([program, *(word.replace("$", "$$") for word in arguments)])
    how = f"enable a systemd user unit with ExecStart={unit} (docs/serve.md has it)"
    if not all(word.isprintable() for word in words):
        return f"{how}; a crontab cannot contain the path"
    line = " ".join(map(_crontab_word, [*words, "--background"]))
    return f"{how}, or add this line to the crontab: @reboot {line}"


def _unit_word(word: str) -> str:
    """Return a word of ExecStart= (systemd.syntax(7)); a `$` stays as it is."""
    if re.fullmatch(r"[\w@+=:,./-]+", word, re.ASCII):
        return word
    escaped = re.sub(r'["\\]', r"\\\g<0>", word).replace("%", "%%")
    return '"' + "".join(char if char.isprintable() else _hex_escapes(char) for char in escaped) + '"'


def _hex_escapes(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))


def _crontab_word(word: str) -> str:
    """Return a word of a crontab's command (crontab(5)): for the shell, with each `%` escaped from cron.

    Some versions of cron read two backslashes as one, so no backslash is followed by another or by a `%`.
    """
    import shlex  # late, as above

    return shlex.quote(word).replace("\\", "\\''").replace("%", "\\%")

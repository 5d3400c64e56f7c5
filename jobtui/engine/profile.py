"""The settings of a profile: where its data is, and how its work is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notifications import NotifySettings
from jobtui.model import DiskReserve

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import (
        ClusterSettings,  # imports ssl, which embedded storage does without
    )


STEP_SIZE = 100 << 20
MIN_FREE = DiskReserve(share=0.05)


class Profile(msgspec.Struct, frozen=True):
    """One profile's settings for the engine.

    `root` is the profile's own directory, holding `history/` and `storage/`. `hosts` maps each storage
    host to the directory that it keeps its data in (None: `root/storage/<host>`); empty means `local0`
    to `local2`. `task_timeout` is seconds from a task's dispatch (None: no deadline).
    `compact_rate` limits a host's compaction and flush writes, in bytes a second (None: no limit).
    `step_size` is what a step of a compaction merges, in bytes, and `min_free` what it leaves free of the disk.
    `wal_dirs` are the WAL directories of adopted databases that keep their WAL apart, `without_cf_paths` the
    adopted databases that keep all SST files in their own directory.
    `advice`: the thresholds of SHOW ADVICE and IF NEEDED.
    `notify`: what is notified, and whom (None: nothing).
    `read_only`: this process changes nothing, and never owns the profile.
    `cluster`: the NebulaGraph cluster that the work is done on (None: embedded storage).
    """

    name: str
    root: Path
    hosts: Mapping[str, Path | None] = msgspec.field(default_factory=dict)
    task_timeout: float | None = None
    max_running_jobs: int = 4
    compact_rate: int | None = None
    step_size: int = STEP_SIZE
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

"""The options of a worker's own databases, and the options that all its databases share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DBCompressionType,
    Options,
    WriteBufferManager,
)

CACHE_BYTES = 64 << 20
MEMTABLE_BYTES = 16 << 20
MEMTABLES_BYTES = 48 << 20
FILE_BYTES = 16 << 20
_MIN_FILE_BYTES = 64 << 10
_NEVER = 1 << 30
_BUFFER_BYTES = 1 << 20  # RocksDB's own
_MIN_BUFFER_BYTES = 4 << 10
_SYNC_AHEAD = 1 << 20
# RocksDB counts a file of the deepest level twice, as input and as what the input overlaps, and the last step
# is up to half as large again: so each step is one merge. With the limit itself it would be two, and each merge
# ends with syncs of its last files and of the MANIFEST (20 merges of 979 MiB instead of 12, which took 19 %
# more time of the processor than one call, instead of none).
MAX_MERGED_STEPS = 3
"""The size in steps that a merge may have, if its files lie above the deepest level and so count once."""


class WriteLimits(msgspec.Struct, frozen=True):
    """The limits that a database is opened with, because RocksDB changes neither of them for one call.

    `rate`: bytes a second of flush and compact writes. `step_bytes`: about the bytes of files of the deepest
    level that are merged at once. None: jobtui sets no limit.
    """

    rate: int | None = None
    step_bytes: int | None = None


NO_LIMITS = WriteLimits()


class SharedOptions:
    """The cache, memory budget, rate limit and counters of all databases of a worker.

    `limits` are the usual ones. A compaction with others opens its database with options of its own.

    The same Options object opens every own database: each of its own would cost half a megabyte for its
    counters alone. Only one operation runs on a host at a time, so the counters still show its progress.
    """

    def __init__(self, limits: WriteLimits = NO_LIMITS) -> None:
        self.cache = Cache(CACHE_BYTES)
        self.limits = limits
        self.own = self._own_options(limits)
        self._others: tuple[WriteLimits, Options] | None = None

    def own_with(self, limits: WriteLimits) -> Options:
        """Return the options of an own database with these limits; the last unusual ones are kept."""
        if limits == self.limits:
            return self.own
        if self._others is None or self._others[0] != limits:
            self._others = limits, self._own_options(limits)
        return self._others[1]

    def empty_cache(self) -> None:
        """Empty the cache, except for blocks in use.

        The blocks of files that a compaction has replaced stay in it until others need their room. That is 280
        bytes for each compaction of a tiny database, and 64 MiB in the end, and none of it is read again.
        """
        self.cache.set_capacity(0)
        self.cache.set_capacity(CACHE_BYTES)

    def _own_options(self, limits: WriteLimits) -> Options:
        options = Options(raw_mode=True)
        options.create_if_missing(False)
        options.set_write_buffer_size(MEMTABLE_BYTES)
        options.set_write_buffer_manager(WriteBufferManager(MEMTABLES_BYTES, False))
        options.set_target_file_size_base(_file_size(limits.step_bytes))
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_open_files(64)
        # jobs decide when to compact, so files that wait for one never slow a writer down
        options.set_disable_auto_compactions(True)
        options.set_level_zero_slowdown_writes_trigger(_NEVER)
        options.set_level_zero_stop_writes_trigger(_NEVER)
        options.set_soft_pending_compaction_bytes_limit(1 << 50)
        options.set_hard_pending_compaction_bytes_limit(1 << 50)
        options.set_max_background_jobs(3)
        options.set_max_subcompactions(2)
        # sync during the work instead of all at once at the end of each file
        options.set_bytes_per_sync(_SYNC_AHEAD)
        options.set_manifest_preallocation_size(64 << 10)
        options.set_keep_log_file_num(3)
        options.set_max_log_file_size(4 << 20)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        options.enable_statistics()
        table = BlockBasedOptions()
        table.set_block_cache(self.cache)
        table.set_cache_index_and_filter_blocks(True)
        options.set_block_based_table_factory(table)
        set_limits(options, {"default": options}, limits)
        return options


def set_limits(options: Options, families: Mapping[str, Options], limits: WriteLimits) -> None:
    """Limit the writes of a database that is opened with these options."""
    if limits.rate is not None:
        options.set_ratelimiter(limits.rate, 100_000, 10)
        # a stop has no effect while a buffer waits for its turn to be written
        options.set_writable_file_max_buffer_size(max(_MIN_BUFFER_BYTES, min(_BUFFER_BYTES, limits.rate // 20)))
    if limits.step_bytes is not None:
        for family in families.values():
            family.set_max_compaction_bytes(MAX_MERGED_STEPS * limits.step_bytes)


def _file_size(step_bytes: int | None) -> int:
    """Return the size of an own database's files: a step consists of whole files, and so of several."""
    return FILE_BYTES if step_bytes is None else max(_MIN_FILE_BYTES, min(FILE_BYTES, step_bytes // 4))


def full_compaction_options() -> CompactOptions:
    """Return options that rewrite the last level, too: the default does nothing on a compacted database."""
    options = CompactOptions()
    options.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
    return options


TICKERS = (
    "block.cache.bytes.read",
    "compact.read.bytes",
    "compact.write.bytes",
    "compaction.key.drop.new",
    "compaction.key.drop.obsolete",
    "compaction.key.drop.range_del",
    "compaction.key.drop.user",
    "flush.write.bytes",
    "last.level.read.bytes",
    "non.last.level.read.bytes",
)


def read_tickers(options: Options) -> Counter[str]:
    """Return the counters `TICKERS` of the databases opened with these options, by name without its `rocksdb.`.

    RocksDB's text has 16 KB. Ten searches take 35 µs, and a regular expression over all of it 350 µs, which
    each step of a compaction would spend several times while nothing is compacted.
    """
    text = options.get_statistics() or ""
    return Counter({name: read_ticker(text, name) for name in TICKERS})


def read_ticker(text: str, name: str) -> int:
    """Return a counter of RocksDB's text of statistics, 0 if it is not there."""
    _, _, rest = text.partition(f"rocksdb.{name} COUNT : ")
    return int(rest.partition("\n")[0] or 0)

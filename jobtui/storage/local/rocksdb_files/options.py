"""The reader of OPTIONS files, and the options that this build of RocksDB knows.

The known options, by the kind of section, were measured by loading OPTIONS files with one more option each;
`tests/storage/test_rocksdb_files.py` loads every name again. They include names that RocksDB has removed if
this build still accepts and ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from jobtui.storage.local.rocksdb_files import Unreadable

# the same words may have another meaning in newer files
FILE_VERSION = "1.1"
# the version of this build of RocksDB, as in its own OPTIONS files
NEWEST = (9, 8)

_NAME = re.compile(r"OPTIONS-([0-9]+)")
_MAX_NUMBER = (1 << 64) - 1
_SECTION = re.compile(r'\[(\w+)(?:/(\w+))?(?: "(.*)")?\]')
_OPTION = re.compile(r"  ([A-Za-z]\w*)=(.*)")
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.\d{1,4})?")
_ESCAPED = re.compile(r"\\(.)")
_UNESCAPED = {"r": "\r", "n": "\n"}


class Family(msgspec.Struct, frozen=True):
    """A column family: its options, and those of its table format, which is named `table_kind`."""

    options: Mapping[str, str]
    table_kind: str
    table: Mapping[str, str]


class OptionsText(msgspec.Struct, frozen=True):
    """An OPTIONS file. `version` is the RocksDB that wrote it, as (major, minor)."""

    version: tuple[int, int]
    version_text: str
    database: Mapping[str, str]
    families: Mapping[str, Family]
    lines: tuple[str, ...]

    def rewritten(self, database: Mapping[str, str | None], family: Mapping[str, str | None]) -> bytes:
        """Return the file with these options of the database and of each family; None leaves one out."""
        written: list[str] = []
        wanted: Mapping[str, str | None] = {}
        for line in self.lines:
            if section := _SECTION.fullmatch(line.strip()):
                wanted = {"DBOptions": database, "CFOptions": family}.get(section[1], {})
                written.append(line)
                written += [f"  {name}={value}" for name, value in wanted.items() if value is not None]
            elif not ((option := _OPTION.fullmatch(line)) and option[1] in wanted):
                written.append(line)
        return "\n".join(written).encode("utf-8", "surrogateescape")


def newest_first(names: Iterable[str]) -> list[str]:
    """Return the names of OPTIONS files among `names`, the newest by its number first.

    As for RocksDB, a name whose number has other digits than 0 to 9, or more than 64 bits, is not such a name.
    """
    numbered = [(number, name) for name in names if (number := number_of(name)) is not None]
    return [name for _, name in sorted(numbered, reverse=True)]


def number_of(name: str) -> int | None:
    """Return the number of an OPTIONS file, None if it is not the name of one."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[1]) > _MAX_NUMBER:
        return None
    return int(match[1])


def parse_options(data: bytes) -> OptionsText:
    """Read an OPTIONS file.

    Raises:
        Unreadable: It is truncated, or not an OPTIONS file as RocksDB writes them.
    """
    text = data.decode("utf-8", "surrogateescape")
    if not text.startswith("# This is a RocksDB option file."):
        raise Unreadable("is not an OPTIONS file")
    if not re.search(r"\n *\n$", text):
        raise Unreadable("is cut: its last section has no end")
    sections = _sections(text.split("\n"))
    version_text = sections.get(("Version", "", ""), {}).get("rocksdb_version", "")
    version = _VERSION.fullmatch(version_text)
    if version is None:
        raise Unreadable("names no version of RocksDB")
    if sections["Version", "", ""].get("options_file_version") not in {"1.0", FILE_VERSION}:
        raise Unreadable("has a format that is not known")
    if ("DBOptions", "", "") not in sections:
        raise Unreadable("has no options of the database")
    return OptionsText(
        (int(version[1]), int(version[2])),
        version_text,
        sections["DBOptions", "", ""],
        _families(sections),
        tuple(text.split("\n")),
    )


def _families(sections: Mapping[tuple[str, str, str], Mapping[str, str]]) -> dict[str, Family]:
    tables = {name: (kind, found) for (what, kind, name), found in sections.items() if what == "TableOptions"}
    families = {}
    for (what, _, name), found in sections.items():
        if what == "CFOptions":
            kind, table = tables.pop(name, ("", {}))
            families[name] = Family(found, kind, table)
    if "default" not in families or tables:
        raise Unreadable("lacks the options of a column family")
    return families


def _sections(lines: Iterable[str]) -> dict[tuple[str, str, str], dict[str, str]]:
    sections: dict[tuple[str, str, str], dict[str, str]] = {}
    current: dict[str, str] | None = None
    for line in lines:
        if not line.strip() or (current is None and line.startswith("#")):
            continue
        if section := _SECTION.fullmatch(line):
            key = (section[1], section[2] or "", _unescaped(section[3] or ""))
            if key in sections or section[1] not in {"Version", "DBOptions", "CFOptions", "TableOptions"}:
                raise Unreadable(f"has a section that is not known or is there twice: {line}")
            current = sections[key] = {}
        elif (option := _OPTION.fullmatch(line)) and current is not None and option[1] not in current:
            current[option[1]] = option[2]
        else:
            raise Unreadable(f"has a line that is not known: {line.strip()}")
    return sections


def _unescaped(name: str) -> str:
    return _ESCAPED.sub(lambda found: _UNESCAPED.get(found[1], found[1]), name)


DATABASE = frozenset(
    """
    WAL_size_limit_MB WAL_ttl_seconds access_hint_on_compaction_start advise_random_on_open
    allow_2pc allow_concurrent_memtable_write allow_data_in_errors allow_fallocate
    allow_ingest_behind allow_mmap_reads allow_mmap_writes allow_os_buffer atomic_flush
    avoid_flush_during_recovery avoid_flush_during_shutdown avoid_unnecessary_blocking_io
    background_close_inactive_wals base_background_compactions best_efforts_recovery
    bgerror_resume_retry_interval bytes_per_sync compaction_readahead_size
    compaction_verify_record_count concurrent_prepare create_if_missing
    create_missing_column_families daily_offpeak_time_utc db_host_id db_log_dir db_write_buffer_size
    delayed_write_rate delete_obsolete_files_period_micros disable_data_sync dump_malloc_stats
    enable_pipelined_write enable_thread_tracking enable_write_thread_adaptive_yield
    enforce_single_del_contracts error_if_exists experimental_allow_mempurge
    experimental_mempurge_policy experimental_mempurge_threshold fail_if_options_file_error
    file_checksum_gen_factory flush_verify_memtable_count follower_catchup_retry_count
    follower_catchup_retry_wait_ms follower_refresh_catchup_period_ms info_log_level
    is_fd_close_on_exec keep_log_file_num log_file_time_to_roll log_readahead_size
    lowest_used_cache_tier manifest_preallocation_size manual_wal_flush max_background_compactions
    max_background_flushes max_background_jobs max_bgerror_resume_count max_file_opening_threads
    max_log_file_size max_manifest_file_size max_open_files max_subcompactions max_total_wal_size
    max_write_batch_group_size_bytes metadata_write_temperature
    new_table_reader_for_compaction_inputs paranoid_checks persist_stats_to_disk
    prefix_seek_opt_in_only preserve_deletes random_access_max_buffer_size rate_limiter
    rate_limiter_bytes_per_sec recycle_log_file_num seq_per_batch
    skip_checking_sst_file_sizes_on_db_open skip_log_error_on_recovery skip_stats_update_on_db_open
    stats_dump_period_sec stats_history_buffer_size stats_persist_period_sec strict_bytes_per_sync
    table_cache_numshardbits track_and_verify_wals_in_manifest two_write_queues unordered_write
    use_adaptive_mutex use_direct_io_for_flush_and_compaction use_direct_reads use_direct_writes
    use_fsync verify_sst_unique_id_in_manifest wal_bytes_per_sync wal_compression wal_dir wal_filter
    wal_recovery_mode wal_write_temperature writable_file_max_buffer_size write_dbid_to_manifest
    write_identity_file write_thread_max_yield_usec write_thread_slow_yield_usec
    """.split()  # noqa: SIM905  a list literal would be a line for each
)
FAMILY = frozenset(
    """
    arena_block_size blob_compaction_readahead_size blob_compression_type blob_file_size
    blob_file_starting_level blob_garbage_collection_age_cutoff
    blob_garbage_collection_force_threshold block_protection_bytes_per_key bloom_locality
    bottommost_compression bottommost_compression_opts bottommost_file_compaction_delay
    bottommost_temperature check_flush_compaction_key_order compaction_filter
    compaction_filter_factory compaction_measure_io_stats compaction_options_fifo
    compaction_options_universal compaction_pri compaction_style comparator compression
    compression_opts compression_per_level default_temperature default_write_temperature
    disable_auto_compactions enable_blob_files enable_blob_garbage_collection
    expanded_compaction_factor experimental_mempurge_threshold filter_deletes
    force_consistency_checks hard_pending_compaction_bytes_limit hard_rate_limit
    ignore_max_compaction_bytes_for_input inplace_update_num_locks inplace_update_support
    last_level_temperature level0_file_num_compaction_trigger level0_slowdown_writes_trigger
    level0_stop_writes_trigger level_compaction_dynamic_file_size
    level_compaction_dynamic_level_bytes max_bytes_for_level_base max_bytes_for_level_multiplier
    max_bytes_for_level_multiplier_additional max_compaction_bytes max_grandparent_overlap_factor
    max_mem_compaction_level max_sequential_skip_in_iterations max_successive_merges
    max_write_buffer_number max_write_buffer_number_to_maintain max_write_buffer_size_to_maintain
    memtable_factory memtable_huge_page_size memtable_insert_with_hint_prefix_extractor
    memtable_max_range_deletions memtable_prefix_bloom_bits memtable_prefix_bloom_huge_page_tlb_size
    memtable_prefix_bloom_probes memtable_prefix_bloom_size_ratio memtable_protection_bytes_per_key
    memtable_whole_key_filtering merge_operator min_blob_size min_partial_merge_operands
    min_write_buffer_number_to_merge num_levels optimize_filters_for_hits paranoid_file_checks
    paranoid_memory_checks periodic_compaction_seconds persist_user_defined_timestamps
    preclude_last_level_data_seconds prefix_extractor prepopulate_blob_cache
    preserve_internal_time_seconds purge_redundant_kvs_while_flush rate_limit_delay_max_milliseconds
    report_bg_io_stats sample_for_compression snap_refresh_nanos soft_pending_compaction_bytes_limit
    soft_rate_limit source_compaction_factor sst_partitioner_factory strict_max_successive_merges
    table_factory target_file_size_base target_file_size_multiplier ttl uncache_aggressiveness
    verify_checksums_in_compaction write_buffer_size
    """.split()  # noqa: SIM905  a list literal would be a line for each
)
TABLE = frozenset(
    """
    block_align block_cache block_cache_compressed block_restart_interval block_size
    block_size_deviation cache_index_and_filter_blocks
    cache_index_and_filter_blocks_with_high_priority checksum data_block_hash_table_util_ratio
    data_block_index_type decouple_partitioned_filters detect_filter_construct_corruption
    enable_index_compression filter_policy flush_block_policy_factory format_version
    hash_index_allow_collision index_block_restart_interval index_per_partition index_shortening
    index_type initial_auto_readahead_size max_auto_readahead_size metadata_block_size
    metadata_cache_options no_block_cache num_file_reads_for_auto_readahead
    optimize_filters_for_memory partition_filters pin_l0_filter_and_index_blocks_in_cache
    pin_top_level_index_and_filter prepopulate_block_cache read_amp_bytes_per_bit
    reserve_table_builder_memory reserve_table_reader_memory skip_table_builder_flush
    use_delta_encoding verify_compression whole_key_filtering
    """.split()  # noqa: SIM905  a list literal would be a line for each
)

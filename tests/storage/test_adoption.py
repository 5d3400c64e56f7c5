"""The contents of a database's files that are required before it is opened; others are refused."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import msgspec
import pytest
from rocksdict import Options, Rdict

from jobtui.errors import ErrorCode
from jobtui.storage.local import adoption
from jobtui.storage.local.adoption import ReplayStrictness
from jobtui.storage.local.errors import WorkerError
from jobtui.storage.local.rocksdb_files.manifest import RocksdbManifest, parse_manifest
from tests.support.adoptable import adoptable, options_file, refusal, set_option, survey

CF, TABLE = "CFOptions", "TableOptions"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return adoptable(tmp_path / "db")


class TestOptions:
    def test_usual_database_is_safe(self, database):
        found = survey(database)
        assert found.strictness is ReplayStrictness.ABSOLUTE
        assert found.styles == dict.fromkeys(("default", "edges"), "kCompactionStyleLevel")
        found.refuse_writing(database)

    @pytest.mark.parametrize(
        "operator",
        [
            "UInt64AddOperator",
            "PutOperator",
            "MaxOperator",
            "BytesXOR",
            "{id=StringAppendOperator;delimiter=,;}",
            r"{id=StringAppendOperator;delimiter=\:;}",
            "{id=StringAppendOperator;delimiter=||;}",
        ],
    )
    def test_certain_merge_operator_is_safe(self, database, operator):
        set_option(database, "merge_operator", operator, CF)
        survey(database)

    @pytest.mark.parametrize(
        "operator",
        [
            "my.Sum",
            "max",
            "put",
            "uint64add",
            "stringappend",
            "UInt64AddOperator2",
            "uint64addoperator",
            "StringAppendOperator",
            "StringAppendTESTOperator",
            "{id=StringAppendTESTOperator;delimiter=,;}",
            "{id=StringAppendOperator;delimiter=;}",
            "{id=StringAppendOperator;delimiter=;;}",
            "{id=StringAppendOperator;delimiter= ;}",
            "{id=StringAppendOperator;delimiter=\t;}",
            r"{id=StringAppendOperator;delimiter=\n;}",
            r"{id=StringAppendOperator;delimiter=\\;}",
            "{id=StringAppendOperator;delimiter={;}",
            "{id=StringAppendOperator;delimiter=\x01;}",
            "{id=StringAppendOperator;delimiter=\udcff;}",
            "{id=StringAppendOperator;delimiter=,;extra=1;}",
            "{id=my.Operator;delimiter=,;}",
            "",
        ],
    )
    def test_every_other_merge_operator_is_refused(self, database, operator):
        set_option(database, "merge_operator", operator, CF)
        assert refusal(database).code is ErrorCode.UNSUPPORTED

    def test_operator_of_one_family_is_enough(self, database):
        file = options_file(database)
        head, mark, tail = file.read_text().partition('[CFOptions "edges"]')
        file.write_text(head + mark + tail.replace("merge_operator=nullptr", "merge_operator=my.Sum", 1))
        assert "uses the merge operator my.Sum in the column family edges" in refusal(database).reason

    @pytest.mark.parametrize(
        ("section", "name", "value", "finding"),
        [
            ("DBOptions", "persist_stats_to_disk", "true", "keeps statistics in itself"),
            ("DBOptions", "db_paths", "{/a,100}", "SST files in other directories (db_paths)"),
            ("DBOptions", "wal_filter", "my.Filter", "the wal_filter my.Filter"),
            ("DBOptions", "file_checksum_gen_factory", "my.Sums", "my.Sums"),
            ("DBOptions", "env", "{id=EncryptedEnv}", "the option env"),
            ("DBOptions", "an_option_of_tomorrow", "1", "the option an_option_of_tomorrow"),
            ("DBOptions", "seq_per_batch", "true", "WritePrepared"),
            (CF, "cf_paths", "{/a,100}", "cf_paths"),
            (CF, "an_option_of_tomorrow", "1", "an_option_of_tomorrow"),
            (CF, "comparator", "my.Order", "the comparator my.Order"),
            (CF, "comparator", "leveldb.BytewiseComparator.u64ts", "the comparator"),
            (CF, "comparator", "rocksdb.ReverseBytewiseComparator", "the comparator"),
            (CF, "compression", "kZlibCompression", "compressed with Zlib"),
            (CF, "compression", "kXpressCompression", "compressed with Xpress"),
            (CF, "bottommost_compression", "kZlibCompression", "compressed with Zlib"),
            (CF, "compression_per_level", "kNoCompression:kZlibCompression", "compressed with Zlib"),
            (CF, "blob_compression_type", "kZlibCompression", "compressed with Zlib"),
            (CF, "table_factory", "PlainTable", "table format PlainTable"),
            (CF, "table_factory", "my.Tables", "table format my.Tables"),
            (CF, "compaction_style", "kCompactionStyleTomorrow", "compaction style"),
            (CF, "persist_user_defined_timestamps", "false", "timestamps"),
            (TABLE, "an_option_of_tomorrow", "1", "an_option_of_tomorrow"),
            (TABLE, "format_version", "7", "format of SST files"),
            (TABLE, "format_version", "x", "format of SST files"),
            (TABLE, "index_type", "kHashSearch", "kHashSearch"),
            ("DBOptions", "max_background_jobs", "100000", "as max_background_jobs"),
            ("DBOptions", "max_file_opening_threads", "many", "as max_file_opening_threads"),
            ("DBOptions", "log_readahead_size", str(1 << 40), "as log_readahead_size"),
            ("DBOptions", "table_cache_numshardbits", "30", "as table_cache_numshardbits"),
            (CF, "num_levels", "-1", "as num_levels"),
            (CF, "num_levels", "1000000", "as num_levels"),
            (CF, "inplace_update_num_locks", "9" * 30, "as inplace_update_num_locks"),
            (CF, "sample_for_compression", str(1 << 40), "as sample_for_compression"),
            (CF, "memtable_protection_bytes_per_key", "2147483647", "as memtable_protection_bytes_per_key"),
        ],
    )
    def test_it_is_refused_for(self, database, section, name, value, finding):
        set_option(database, name, value, section)
        error = refusal(database)
        assert error.code is ErrorCode.UNSUPPORTED
        assert finding in error.reason

    @pytest.mark.parametrize("version", ["9.9.1", "10.0.0", "11.0.0", "100.2.3"])
    def test_newer_rocksdb_is_named(self, database, version):
        file = options_file(database)
        file.write_text(file.read_text().replace("rocksdb_version=9.8.4", f"rocksdb_version={version}"))
        shown = ".".join(version.split(".")[:2])
        assert f"made by RocksDB {shown}; this jobtui reads up to 9.8" in refusal(database).reason

    @pytest.mark.parametrize("value", ["true", "false"])
    def test_blob_files_with_separated_entries_are_refused(self, database, value):
        set_option(database, "preclude_last_level_data_seconds", "3600", CF)
        survey(database)
        set_option(database, "enable_blob_files", value, CF)
        if value == "false":  # no more of them, but there is one still
            with open(database / (database / "CURRENT").read_text().strip(), "ab") as manifest:
                manifest.write(bytes.fromhex("00000000 0800 01 9003 05 01 01 00 00 00"))
        reason = refusal(database).reason
        assert "keeps new entries out of the last level (preclude_last_level_data_seconds)" in reason

    def test_owners_filter_and_prefixes_do_no_harm(self, database):
        for name in ("compaction_filter", "compaction_filter_factory", "prefix_extractor"):
            set_option(database, name, "my.Own", CF)
        options = survey(database).options.decode()
        assert options.count("compaction_filter=nullptr") == 2
        assert "compaction_filter=my.Own" not in options

    def test_options_that_reach_outside_are_not_loaded(self, database):
        set_option(database, "db_log_dir", "/var/log/theirs")
        set_option(database, "best_efforts_recovery", "true")
        options = survey(database).options.decode()
        assert "db_log_dir" not in options
        assert "best_efforts_recovery=false" in options


class TestOptionsFile:
    def test_newest_by_number_counts(self, database):
        file = options_file(database)
        newest = file.with_name("OPTIONS-1000000")
        shutil.copy(file, newest)
        set_option(database, "persist_stats_to_disk", "true")
        assert "statistics" in refusal(database).reason
        shutil.copy(file, newest)
        survey(database)

    @pytest.mark.parametrize("number", [1 << 64, "9" * 240, "\u0669" * 6])
    def test_number_that_rocksdb_does_not_read_does_not_count(self, database, number):
        text = options_file(database).read_text()
        (database / f"OPTIONS-{number}").write_text(text.replace("[DBOptions]", "[DBOptions]\n  wal_dir=/srv"))
        survey(database)

    @pytest.mark.parametrize("zeros", ["", "0" * 10])
    def test_two_of_the_same_number_are_refused(self, database, zeros):
        file = options_file(database)
        shutil.copy(file, file.with_name(f"OPTIONS-{zeros}{int(file.name.partition('-')[2])}"))
        assert "two OPTIONS files of the same number" in refusal(database).reason

    @pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9, 0.999])
    def test_cut_one_is_refused(self, database, share):
        file = options_file(database)
        os.truncate(file, int(file.stat().st_size * share))
        assert "open it once with its own program" in refusal(database).reason

    def test_every_cut_at_a_line_is_refused(self, database):
        file = options_file(database)
        lines = file.read_text().splitlines(keepends=True)
        for count in range(len(lines)):
            file.write_text("".join(lines[:count]))
            with pytest.raises(WorkerError):
                survey(database)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace("[DBOptions]", "[DBOptions]\nnot an option"),
            lambda text: text.replace("[DBOptions]", "[Tomorrow]"),
            lambda text: text + text,
            lambda text: text.replace("options_file_version=1.1", "options_file_version=2.0"),
            lambda text: text.replace("rocksdb_version=9.8.4", "rocksdb_version=new"),
            lambda text: text.replace("  comparator=", "  comparator=x\n  comparator=", 1),
            lambda text: text.replace('[CFOptions "edges"]', '[CFOptions "other"]'),
        ],
    )
    def test_garbled_one_is_refused(self, database, change):
        file = options_file(database)
        file.write_text(change(file.read_text()))
        refusal(database)

    def test_missing_options_file_is_refused(self, database):
        options_file(database).unlink()
        for file in database.glob("OPTIONS-*"):
            file.unlink()
        assert "has no OPTIONS file" in refusal(database).reason


class TestOtherPrograms:
    def test_speedb_is_named(self, database):
        file = options_file(database)
        file.write_text("# This is a Speedb option file.\n" + file.read_text())
        assert "is a Speedb database" in refusal(database).reason

    def test_keys_in_another_order_are_noticed(self, database, monkeypatch):
        """As of a comparator of the program's own under the name of a built-in one."""

        def reversed_keys(data: bytes) -> RocksdbManifest:
            manifest = parse_manifest(data)
            for family in manifest.families.values():
                for number, file in family.files.items():
                    turned = msgspec.structs.replace(file, smallest=file.largest, largest=file.smallest)
                    family.files[number] = turned
            return manifest

        monkeypatch.setattr(adoption, "parse_manifest", reversed_keys)
        assert "are not in the order of the comparator" in refusal(database).reason


class TestWalDirectory:
    def test_another_database_is_a_copy(self, tmp_path, database):
        original = adoptable(tmp_path / "original")
        set_option(database, "wal_dir", str(original))
        reason = refusal(database).reason
        assert f"looks like a copy: its WAL directory is {original}, another database" in reason

    @pytest.mark.parametrize("written", ["relwal", "./db", "../db", "."])
    def test_relative_one_is_refused(self, database, written, monkeypatch):
        monkeypatch.chdir(database.parent)
        set_option(database, "wal_dir", written)
        assert "depends on where its program was started" in refusal(database).reason

    def test_absolute_one_elsewhere_is_refused(self, tmp_path, database):
        (tmp_path / "wal").mkdir()
        set_option(database, "wal_dir", str(tmp_path / "wal"))
        error = refusal(database)
        assert error.code is ErrorCode.UNSUPPORTED
        assert "WAL" in error.reason
        survey(database, tmp_path / "wal")

    def test_missing_one_is_refused(self, tmp_path, database):
        set_option(database, "wal_dir", str(tmp_path / "gone"))
        assert "in another directory" in refusal(database).reason

    def test_its_own_is_safe_in_what_old_versions_wrote(self, tmp_path, database):
        file = options_file(database)
        file.write_text(file.read_text().replace("rocksdb_version=9.8.4", "rocksdb_version=6.14.5"))
        (tmp_path / "link").symlink_to(database)
        for written in (str(database), f"{database}/", str(tmp_path / "link")):
            set_option(database, "wal_dir", written)
            assert "  wal_dir=" not in survey(database).options.decode()

    def test_its_own_is_safe_in_a_new_version_too(self, database):
        set_option(database, "wal_dir", f"{database}/../{database.name}")
        assert "  wal_dir=" not in survey(database).options.decode()

    def test_its_own_may_mean_db_paths_before_a_flush(self, tmp_path):
        opened, database = Rdict(str(tmp_path / "open"), Options(raw_mode=True)), tmp_path / "db"
        opened[b"key"] = b"value"
        shutil.copytree(tmp_path / "open", database)  # as a kill would leave it: all of it in the WAL
        opened.close()
        assert survey(database).unplaced == ()
        set_option(database, "wal_dir", str(database))
        assert survey(database).unplaced == ("default",)

    def test_stated_one_is_used(self, tmp_path, database):
        wal = tmp_path / "wal"
        wal.mkdir()
        for file in database.glob("*.log"):
            file.rename(wal / file.name)
        set_option(database, "wal_dir", str(wal))
        found = survey(database, wal)
        assert found.wal_directory == wal
        assert f"  wal_dir={wal}\n" in found.options.decode()

    @pytest.mark.parametrize("case", ["another", "gone", "a database", "unused"])
    def test_wrong_statement_is_refused(self, tmp_path, database, case):
        wal = tmp_path / "wal"
        if case != "gone":
            wal.mkdir()
        if case == "a database":
            (wal / "CURRENT").write_text("MANIFEST-000001\n")
        if case != "unused":
            set_option(database, "wal_dir", str(tmp_path / "wal2" if case == "another" else wal))
        assert "wal_dirs" in refusal(database, wal).reason


class TestFiles:
    @pytest.mark.parametrize("pattern", ["*.sst", "MANIFEST-*", "CURRENT", "OPTIONS-*", "*.log", "IDENTITY"])
    def test_link_is_refused(self, tmp_path, database, pattern):
        file = next(database.glob(pattern))
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
        assert f"{file.name} is a link" in refusal(database).reason

    def test_hard_linked_copy_is_refused(self, tmp_path, database):
        copy = tmp_path / "copy"
        shutil.copytree(database, copy, copy_function=os.link)
        assert "hard-linked copy" in refusal(copy).reason

    def test_hard_linked_sst_files_are_those_of_a_checkpoint(self, tmp_path, database):
        for file in database.glob("*.sst"):
            (tmp_path / file.name).hardlink_to(file)
        survey(database)

    def test_missing_sst_file_is_named_and_not_corrupt(self, database):
        file = next(database.glob("*.sst"))
        file.unlink()
        error = refusal(database)
        assert error.code is ErrorCode.MISSING
        assert file.name in error.reason
        assert "db_paths or cf_paths" in error.reason

    @pytest.mark.parametrize(("old", "new"), [(b"Snappy", b"Zlib\0\0"), (b"Bytewise", b"Mywisdom")])
    def test_sst_file_is_checked_besides_the_options(self, database, old, new):
        file = next(database.glob("*.sst"))
        head, found, tail = file.read_bytes().rpartition(old)
        assert found
        file.write_bytes(head + new + tail)
        assert file.name in refusal(database).reason

    @pytest.mark.parametrize("pattern", ["CURRENT", "OPTIONS-*", "MANIFEST-*", "*.log"])
    def test_file_of_terabytes_is_not_read(self, database, pattern):
        """A file with a hole takes no space on a disk, and all the memory of a process that reads it."""
        file = max(database.glob(pattern))
        size = file.stat().st_size
        os.truncate(file, 8 << 40)
        with pytest.raises(WorkerError) as caught:
            survey(database)
        assert caught.value.code is (ErrorCode.CORRUPT if pattern == "CURRENT" else ErrorCode.UNSUPPORTED)
        assert file.name in caught.value.reason
        os.truncate(file, size)
        survey(database)

    @pytest.mark.parametrize("pattern", ["OPTIONS-*", "MANIFEST-*", "*.log"])
    def test_too_little_memory_is_reported(self, database, pattern, monkeypatch):
        file = max(database.glob(pattern))
        read = Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            if path.name == file.name:
                raise MemoryError
            return read(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        with pytest.raises(WorkerError, match=f"{file.name} has .*, for which there is not enough memory"):
            survey(database)

    @pytest.mark.parametrize("name", ["20261129.log", "99.log", "000000099999.log"])
    def test_log_of_another_program_is_no_wal(self, database, name):
        (database / name).write_text("2026-11-29 started\n")
        assert f"{name} is not a log of this database" in refusal(database).reason

    def test_digits_of_other_scripts_are_no_numbers(self, database):
        for name in ("\u0669\u0669.log", "\u0669\u0669.sst", "MANIFEST-\u0669"):
            (database / name).write_text("x")
        survey(database)

    def test_cut_sst_file_that_no_program_reads_needs_a_backup(self, database):
        file = next(database.glob("*.sst"))
        os.truncate(file, file.stat().st_size - 10)
        reason = refusal(database).reason
        assert f"{file.name} has no end: it was cut, or is encrypted; " in reason
        assert reason.endswith("let its own program compact it, or restore a backup")

    def test_sst_file_of_a_newer_format_is_refused(self, database):
        file = next(database.glob("*.sst"))
        data = file.read_bytes()
        file.write_bytes(data[:-12] + struct.pack("<I", 7) + data[-8:])
        assert "newer format" in refusal(database).reason


class TestOtherDatabases:
    @pytest.mark.parametrize(
        ("files", "finding"),
        [
            ({"CURRENT": "MANIFEST-000002\n", "000003.log": "", "MANIFEST-000002": "", "LOCK": ""}, "LevelDB"),
            ({"CURRENT": "MANIFEST-000002\n", "000005.ldb": "", "IDENTITY": "", "LOCK": ""}, "LevelDB"),
            ({"CURRENT": "MANIFEST-000001\n", "OPTIONS-000003": "[Version]\n  pebble_version=0.1\n"}, "Pebble"),
            ({"marker.manifest.000001.MANIFEST-000001": "", "OPTIONS-000003": ""}, "Pebble"),
            ({"CURRENT": "MANIFEST-000001\n", "IDENTITY": "x", "blob_dir": ""}, "BlobDB"),
        ],
    )
    def test_it_is_named(self, tmp_path, files, finding):
        directory = tmp_path / "theirs"
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
        error = refusal(directory)
        assert error.code is ErrorCode.UNSUPPORTED
        assert finding in error.reason

    def test_encrypted_files_are_not_corrupt(self, database):
        (database / "CURRENT").write_bytes(os.urandom(4096) + b"\xff")
        error = refusal(database)
        assert (error.code, "encrypted" in error.reason) == (ErrorCode.UNSUPPORTED, True)

    def test_encrypted_options_file_too(self, database):
        options_file(database).write_bytes(b"\xff" + os.urandom(5000))
        assert "encrypted" in refusal(database).reason

    def test_wrong_current_is_damage(self, database):
        (database / "CURRENT").write_text("something\n")
        assert refusal(database).code is ErrorCode.CORRUPT

    def test_empty_directory_has_no_database(self, tmp_path):
        (tmp_path / "empty").mkdir()
        assert refusal(tmp_path / "empty").code is ErrorCode.MISSING

// A program that owns RocksDB databases of many kinds.
//
//   owner KIND make DIR STATE   make a database; STATE is flushed, unflushed or killed
//   owner KIND dump DIR         open it for writing, as its owner does, print every pair, and find each by its key
//   owner KIND load DIR         read its newest OPTIONS file and refuse what this version does not know
//   owner KIND hold DIR         open it, write without a flush, print "held", close it when stdin has a line
//   owner KIND copy DIR TO      make a checkpoint
//   owner KIND backup DIR TO    make a backup
//   owner kinds                 print the kinds
//
// A KIND of several, such as families+blob_files, is all of them at once.
//
// OWNER_FILE_BYTES in the environment is the size of its SST files.
#include <rocksdb/comparator.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env_encryption.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/sst_partitioner.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/utilities/backup_engine.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/utilities/db_ttl.h>
#include <rocksdb/utilities/options_util.h>
#include <rocksdb/utilities/transaction.h>
#include <rocksdb/utilities/transaction_db.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <iostream>
#include <map>
#include <sstream>

namespace ROCKSDB_NAMESPACE {
// The library exports its built-in operators, and installs no header that declares them.
class MergeOperators {
 public:
  static std::shared_ptr<MergeOperator> CreateStringAppendOperator(const std::string& delimiter);
  static std::shared_ptr<MergeOperator> CreateUInt64AddOperator();
  static std::shared_ptr<MergeOperator> CreateMaxOperator();
  static std::shared_ptr<MergeOperator> CreatePutOperator();
};
}  // namespace ROCKSDB_NAMESPACE

using namespace rocksdb;
using std::string;

static string KIND, DIR;

static std::vector<string> combined() {
  std::vector<string> each;
  std::istringstream words(KIND);
  for (string word; std::getline(words, word, '+');) each.push_back(word);
  return each;
}

static bool is(const string& kind) {
  for (auto& each : combined())
    if (each == kind) return true;
  return false;
}

static bool has_transactions() { return is("write_prepared") || is("write_committed") || is("write_unprepared"); }

static bool has_ttl() { return is("ttl_values") || is("ttl_merges"); }

static void check(const Status& status, const char* what) {
  if (status.ok()) return;
  std::cerr << what << ": " << status.ToString() << std::endl;
  _exit(2);
}
#define OK(call) check((call), #call)

// Extensions that only this program has. Some carry the name of a built-in one, which no reader can notice.

struct Sum : AssociativeMergeOperator {
  string name;
  explicit Sum(string name = "my.Sum") : name(name) {}
  const char* Name() const override { return name.c_str(); }
  bool Merge(const Slice&, const Slice* old, const Slice& value, string* result, Logger*) const override {
    *result = std::to_string((old ? atol(old->ToString().c_str()) : 0) + atol(value.ToString().c_str()));
    return true;
  }
};

struct Reverse : Comparator {
  string name;
  explicit Reverse(string name) : name(name) {}
  const char* Name() const override { return name.c_str(); }
  int Compare(const Slice& a, const Slice& b) const override { return b.compare(a); }
  void FindShortestSeparator(string*, const Slice&) const override {}
  void FindShortSuccessor(string*) const override {}
};

struct DropSevens : CompactionFilter {
  const char* Name() const override { return "my.DropSevens"; }
  bool Filter(int, const Slice& key, const Slice&, string*, bool*) const override { return key.ends_with("7"); }
};

struct DropSevensFactory : CompactionFilterFactory {
  const char* Name() const override { return "my.DropSevensFactory"; }
  std::unique_ptr<CompactionFilter> CreateCompactionFilter(const CompactionFilter::Context&) override {
    return std::make_unique<DropSevens>();
  }
};

struct Filter : FilterPolicy {
  std::shared_ptr<const FilterPolicy> bloom{NewBloomFilterPolicy(10)};
  const char* Name() const override { return "my.Filter"; }
  const char* CompatibilityName() const override { return "my.Filter"; }
  FilterBitsBuilder* GetBuilderWithContext(const FilterBuildingContext& c) const override {
    return bloom->GetBuilderWithContext(c);
  }
  FilterBitsReader* GetFilterBitsReader(const Slice& s) const override { return bloom->GetFilterBitsReader(s); }
};

struct Partitions : SstPartitionerFactory {
  std::shared_ptr<SstPartitionerFactory> prefixes = NewSstPartitionerFixedPrefixFactory(8);
  const char* Name() const override { return "my.Partitions"; }
  std::unique_ptr<SstPartitioner> CreatePartitioner(const SstPartitioner::Context& c) const override {
    return prefixes->CreatePartitioner(c);
  }
};

struct Counter : TablePropertiesCollector {
  const char* Name() const override { return "my.Counter"; }
  Status Finish(UserCollectedProperties*) override { return Status(); }
  UserCollectedProperties GetReadableProperties() const override { return {}; }
};

struct Counters : TablePropertiesCollectorFactory {
  const char* Name() const override { return "my.Counters"; }
  TablePropertiesCollector* CreateTablePropertiesCollector(TablePropertiesCollectorFactory::Context) override {
    return new Counter;
  }
};

struct Prefix : SliceTransform {
  const char* Name() const override { return "my.Prefix"; }
  Slice Transform(const Slice& key) const override { return {key.data(), std::min<size_t>(3, key.size())}; }
  bool InDomain(const Slice&) const override { return true; }
};

static void table(Options& o, std::function<void(BlockBasedTableOptions&)> change) {
  BlockBasedTableOptions t;
  change(t);
  o.table_factory.reset(NewBlockBasedTableFactory(t));
}

using Change = std::function<void(Options&)>;

static const std::map<string, string> DELIMITERS = {
    {"comma", ","}, {"semicolon", ";"}, {"newline", "\n"}, {"tab", "\t"},   {"backslash", "\\"}, {"blank", " "},
    {"empty", ""},  {"two", "||"},      {"brace", "}"},    {"open", "{"},   {"nul", string(1, 0)}, {"hash", "#"},
    {"equals", "="}, {"colon", ":"},    {"x01", "\x01"},   {"return", "\r"}, {"blanks", " , "},
};

static const std::vector<string> NAMES = {"max", "put", "put_v1", "uint64add", "stringappend", "MaxOperator",
                                          "StringAppendOperator", "UInt64AddOperator", "my.Sum", "sortlist"};

static std::map<string, Change> kinds() {
  std::map<string, Change> k;
  for (auto& each : DELIMITERS)
    k["append_" + each.first] = [d = each.second](Options& o) {
      o.merge_operator = MergeOperators::CreateStringAppendOperator(d);
    };
  for (auto& name : NAMES) k["sum_as_" + name] = [name](Options& o) { o.merge_operator.reset(new Sum(name)); };
  for (int mode = 0; mode < 4; mode++)
    k["counter" + std::to_string(mode)] = [mode](Options& o) {
      o.merge_operator.reset(new Sum);
      o.wal_recovery_mode = WALRecoveryMode(mode);
    };
  k["uint64add"] = [](Options& o) { o.merge_operator = MergeOperators::CreateUInt64AddOperator(); };
  k["putoperator"] = [](Options& o) { o.merge_operator = MergeOperators::CreatePutOperator(); };

  k["ordinary"] = [](Options&) {};
  for (auto each : {"many_families", "hundreds_of_families", "families", "odd_names", "byte_names", "cold_family", "sum_family",
                    "fifo_family", "range_deletes", "ingested", "wide", "ttl_values", "write_committed",
                    "write_prepared", "write_unprepared", "encrypted", "single_deletes", "odd_keys",
                    "recreated_family", "wide_delete"})
    k[each] = [](Options&) {};
  k["ttl_merges"] = k["uint64add"];
  k["max_operator"] = [](Options& o) { o.merge_operator = MergeOperators::CreateMaxOperator(); };
  k["atomic_flush"] = [](Options& o) { o.atomic_flush = true; };

  k["reverse"] = [](Options& o) { o.comparator = new Reverse("my.Reverse"); };
  k["reverse_builtin"] = [](Options& o) { o.comparator = ReverseBytewiseComparator(); };
  k["timestamps"] = [](Options& o) {
    OK(Comparator::CreateFromString(ConfigOptions(), "leveldb.BytewiseComparator.u64ts", &o.comparator));
  };
  k["filter"] = [](Options& o) { o.compaction_filter = new DropSevens; };
  k["filter_factory"] = [](Options& o) { o.compaction_filter_factory.reset(new DropSevensFactory); };
  k["filter_policy"] = [](Options& o) { table(o, [](auto& t) { t.filter_policy.reset(new Filter); }); };
  k["partitioner_own"] = [](Options& o) { o.sst_partitioner_factory.reset(new Partitions); };
  k["collectors"] = [](Options& o) { o.table_properties_collector_factories.emplace_back(new Counters); };
  k["prefix_own"] = [](Options& o) {
    o.prefix_extractor.reset(new Prefix);
    table(o, [](auto& t) { t.filter_policy.reset(NewBloomFilterPolicy(10)), t.whole_key_filtering = false; });
  };
  k["prefix_fixed"] = [](Options& o) {
    o.prefix_extractor.reset(NewFixedPrefixTransform(3));
    table(o, [](auto& t) { t.filter_policy.reset(NewBloomFilterPolicy(10)), t.whole_key_filtering = false; });
  };
  k["prefix_capped"] = [](Options& o) { o.prefix_extractor.reset(NewCappedPrefixTransform(5)); };
  k["hash_index"] = [](Options& o) {
    o.prefix_extractor.reset(new Prefix);
    table(o, [](auto& t) { t.index_type = BlockBasedTableOptions::kHashSearch; });
  };
  k["partitioner"] = [](Options& o) { o.sst_partitioner_factory = NewSstPartitionerFixedPrefixFactory(7); };

  k["plain_table"] = [](Options& o) {
    o.prefix_extractor.reset(NewFixedPrefixTransform(3));
    o.table_factory.reset(NewPlainTableFactory());
    o.allow_mmap_reads = true;
  };
  k["cuckoo_table"] = [](Options& o) { o.table_factory.reset(NewCuckooTableFactory()), o.allow_mmap_reads = true; };
  k["format_2"] = [](Options& o) { table(o, [](auto& t) { t.format_version = 2; }); };
  k["xxh3"] = [](Options& o) { table(o, [](auto& t) { t.checksum = kXXH3, t.format_version = 5; }); };
  k["ribbon"] = [](Options& o) {
    table(o, [](auto& t) {
      t.filter_policy.reset(NewRibbonFilterPolicy(10));
      t.partition_filters = true;
      t.index_type = BlockBasedTableOptions::kTwoLevelIndexSearch;
    });
  };
  k["ribbon_below"] = [](Options& o) {
    table(o, [](auto& t) { t.filter_policy.reset(NewRibbonFilterPolicy(10, 2)); });
    o.optimize_filters_for_hits = true;
  };
  k["blob_files"] = [](Options& o) {
    o.enable_blob_files = o.enable_blob_garbage_collection = true;
    o.min_blob_size = 100;
    o.blob_garbage_collection_age_cutoff = 1.0;
  };
  k["blob_levels"] = [](Options& o) {
    o.enable_blob_files = o.enable_blob_garbage_collection = true;
    o.min_blob_size = 10, o.blob_file_starting_level = 3;
    o.blob_garbage_collection_force_threshold = 0.3;
  };
  k["blob_merges"] = [](Options& o) {
    o.enable_blob_files = o.enable_blob_garbage_collection = true;
    o.min_blob_size = 3;
    o.merge_operator = MergeOperators::CreateStringAppendOperator(",");
  };
  k["blob_zlib"] = [](Options& o) {
    o.enable_blob_files = true, o.min_blob_size = 10;
    o.blob_compression_type = kZlibCompression;
  };

  for (auto& each : std::map<string, CompressionType>{{"snappy", kSnappyCompression}, {"zlib", kZlibCompression},
           {"bzip2", kBZip2Compression}, {"lz4", kLZ4Compression}, {"lz4hc", kLZ4HCCompression}, {"zstd", kZSTD}})
    k[each.first] = [type = each.second](Options& o) { o.compression = o.bottommost_compression = type; };
  k["zstd_dictionary"] = [](Options& o) {
    o.compression = kZSTD;
    o.compression_opts.max_dict_bytes = 4096;
    o.compression_opts.zstd_max_train_bytes = 65536;
  };
  k["zstd_parallel"] = [](Options& o) { o.compression = kZSTD, o.compression_opts.parallel_threads = 4; };
  k["zlib_levels"] = [](Options& o) { o.compression_per_level = {kNoCompression, kNoCompression, kZlibCompression}; };
  k["wal_zstd"] = [](Options& o) { o.wal_compression = kZSTD; };

  k["universal"] = [](Options& o) { o.compaction_style = kCompactionStyleUniversal; };
  k["universal_1"] = [](Options& o) { o.compaction_style = kCompactionStyleUniversal, o.num_levels = 1; };
  k["ingest_behind"] = [](Options& o) {
    o.allow_ingest_behind = true;
    o.compaction_style = kCompactionStyleUniversal;
  };
  k["fifo"] = [](Options& o) { o.compaction_style = kCompactionStyleFIFO; };
  k["fifo_full"] = [](Options& o) {
    o.compaction_style = kCompactionStyleFIFO;
    o.compaction_options_fifo.max_table_files_size = 20000;
  };
  k["fifo_compacts"] = [](Options& o) {
    o.compaction_style = kCompactionStyleFIFO;
    o.compaction_options_fifo.allow_compaction = true;
    o.compaction_options_fifo.max_table_files_size = 1;
  };
  k["fifo_ttl"] = [](Options& o) { o.compaction_style = kCompactionStyleFIFO, o.ttl = 1; };
  k["tiered"] = [](Options& o) {
    o.compaction_style = kCompactionStyleUniversal;
    o.preclude_last_level_data_seconds = 3600;
  };
  k["tiered_blobs"] = [](Options& o) {
    o.compaction_style = kCompactionStyleUniversal;
    o.preclude_last_level_data_seconds = 3600;
    o.enable_blob_files = true;
    o.min_blob_size = 10;
  };
  k["tiered_level"] = [](Options& o) { o.preclude_last_level_data_seconds = 3600; };
  k["kept_times"] = [](Options& o) {
    o.preserve_internal_time_seconds = 3600;
    o.enable_blob_files = true, o.min_blob_size = 10;
  };
  k["last_level_cold"] = [](Options& o) { o.last_level_temperature = Temperature::kCold; };
  k["universal_incremental"] = [](Options& o) {
    o.compaction_style = kCompactionStyleUniversal;
    o.compaction_options_universal.incremental = o.compaction_options_universal.allow_trivial_move = true;
  };
  k["round_robin"] = [](Options& o) { o.compaction_pri = kRoundRobin, o.max_subcompactions = 8; };
  k["mixed_families"] = [](Options&) {};
  k["no_style"] = [](Options& o) { o.compaction_style = kCompactionStyleNone; };
  k["ttl"] = [](Options& o) { o.ttl = 2592000; };
  k["periodic"] = [](Options& o) { o.periodic_compaction_seconds = 1; };
  k["few_levels"] = [](Options& o) { o.num_levels = 3; };
  k["dynamic_levels"] = [](Options& o) { o.level_compaction_dynamic_level_bytes = true; };

  k["wal_dir"] = [](Options& o) { o.wal_dir = DIR + "-wal"; };
  k["wal_relative"] = [](Options& o) { o.wal_dir = "relative-wal"; };
  k["wal_inside"] = [](Options& o) { o.wal_dir = DIR + "/wal"; };
  k["wal_archive"] = [](Options& o) { o.wal_dir = DIR + "/archive"; };
  k["wal_itself"] = [](Options& o) { o.wal_dir = DIR; };
  k["wal_slash"] = [](Options& o) { o.wal_dir = DIR + "/"; };
  k["wal_dots"] = [](Options& o) { o.wal_dir = DIR + "/../" + DIR.substr(DIR.rfind('/') + 1); };
  k["wal_link"] = [](Options& o) { o.wal_dir = DIR + "-link"; };
  k["log_dir"] = [](Options& o) { o.db_log_dir = DIR + "-logs"; };
  k["db_paths"] = [](Options& o) { o.db_paths = {{DIR + "-p0", 1 << 30}, {DIR + "-p1", 1 << 30}}; };
  k["db_paths_first"] = [](Options& o) { o.db_paths = {{DIR, 1}, {DIR + "-p1", 1 << 30}}; };
  k["cf_paths"] = [](Options& o) { o.cf_paths = {{DIR + "-cold", 1 << 30}}; };

  k["stats_on_disk"] = [](Options& o) { o.persist_stats_to_disk = true, o.stats_persist_period_sec = 1; };
  k["wal_tracked"] = [](Options& o) { o.track_and_verify_wals_in_manifest = true; };
  k["wal_recycled"] = [](Options& o) { o.recycle_log_file_num = 4; };
  k["wal_kept"] = [](Options& o) { o.WAL_ttl_seconds = 3600; };
  k["checksums"] = [](Options& o) { o.file_checksum_gen_factory = GetFileChecksumGenCrc32cFactory(); };
  k["wal_manual"] = [](Options& o) { o.manual_wal_flush = true; };
  k["two_queues"] = [](Options& o) { o.two_write_queues = o.write_dbid_to_manifest = true; };
  k["small_manifest"] = [](Options& o) { o.max_manifest_file_size = 1; };
  k["direct_io"] = [](Options& o) { o.use_direct_reads = o.use_direct_io_for_flush_and_compaction = true; };
  k["mmap"] = [](Options& o) { o.allow_mmap_reads = o.allow_mmap_writes = true; };
  k["vector_memtable"] = [](Options& o) {
    o.memtable_factory.reset(new VectorRepFactory);
    o.allow_concurrent_memtable_write = false;
  };
  k["hash_memtable"] = [](Options& o) {
    o.prefix_extractor.reset(NewFixedPrefixTransform(3));
    o.memtable_factory.reset(NewHashSkipListRepFactory());
    o.allow_concurrent_memtable_write = false;
  };
  k["in_place"] = [](Options& o) { o.inplace_update_support = true, o.allow_concurrent_memtable_write = false; };
  k["auto_compactions"] = [](Options& o) { o.disable_auto_compactions = false; };
  return k;
}

static Options options() {
  Options o;
  o.create_if_missing = true;
  o.disable_auto_compactions = true;
  o.compression = kNoCompression;
  o.keep_log_file_num = 5;
  o.stats_dump_period_sec = 0;  // so that a database that is only held open does not change
  if (const char* bytes = getenv("OWNER_FILE_BYTES")) {  // many small files, in several levels
    o.target_file_size_base = atoi(bytes);
    o.max_bytes_for_level_base = 2 * atoi(bytes);
  }
  auto all = kinds();
  for (auto& each : combined()) all.at(each)(o);
  if (is("encrypted")) {
    std::shared_ptr<EncryptionProvider> provider;
    OK(EncryptionProvider::CreateFromString(ConfigOptions(), "CTR://test", &provider));
    o.env = NewEncryptedEnv(Env::Default(), provider);
  }
  return o;
}

// Databases of which one family alone is unusual.
static Options family_options(const string& name) {
  Options o = options();
  if (name == "default") return o;
  if (is("cold_family")) o.cf_paths = {{DIR + "-cold", 1ull << 40}};
  if (is("sum_family")) o.merge_operator.reset(new Sum);
  if (name == "backwards") o.comparator = ReverseBytewiseComparator();
  if (name == "counts") o.merge_operator = MergeOperators::CreateUInt64AddOperator();
  if (name == "lists") o.merge_operator = MergeOperators::CreateStringAppendOperator(",");
  if (name == "blobs") o.enable_blob_files = true, o.min_blob_size = 5;
  if (name == "universal") o.compaction_style = kCompactionStyleUniversal;
  if (is("fifo_family") && name == "one") {
    o.compaction_style = kCompactionStyleFIFO;
    o.compaction_options_fifo.max_table_files_size = 20000;
  }
  return o;
}

using Families = std::vector<ColumnFamilyHandle*>;

static DB* open_database(Families& families) {
  Options o = options();
  if (has_ttl()) {
    DBWithTTL* database;
    OK(DBWithTTL::Open(o, DIR, &database, 2592000));
    families = {database->DefaultColumnFamily()};
    return database;
  }
  std::vector<string> names;
  if (!DB::ListColumnFamilies(o, DIR, &names).ok()) names = {"default"};
  std::vector<ColumnFamilyDescriptor> descriptors;
  for (auto& name : names) descriptors.emplace_back(name, family_options(name));
  if (has_transactions()) {
    TransactionDBOptions t;
    t.write_policy = is("write_prepared")  ? WRITE_PREPARED
                     : is("write_committed") ? WRITE_COMMITTED
                                                 : WRITE_UNPREPARED;
    TransactionDB* database;
    OK(TransactionDB::Open(o, t, DIR, descriptors, &families, &database));
    return database;
  }
  DB* database;
  OK(DB::Open(o, DIR, descriptors, &families, &database));
  return database;
}

static string key(int number) {
  if (is("odd_keys")) {
    static const std::map<int, string> odd = {
        {0, ""}, {1, string(1, 0)}, {2, string(2, 0)}, {150, string("key000150\0\0", 11)},
        {151, "key000150" + string(20000, 'k')}, {297, "\xff"}, {298, string(50, '\xff')}, {299, string(10000, '\xff')}};
    if (odd.count(number)) return odd.at(number);
  }
  char text[32];
  snprintf(text, sizeof text, "key%06d", number);
  return text;
}

static void write_layer(DB* db, ColumnFamilyHandle* family, int layer, int count) {
  bool merges = family_options(family->GetName()).merge_operator != nullptr, deletes = !is("plain_table") && !is("in_place");
  string value = "value" + std::to_string(layer) + string(is("blob_files") ? 400 : 30, char('a' + layer));
  for (int i = 0; i < count; i++) {
    WriteOptions w;
    if (is("single_deletes")) {  // which may follow one Put each
      OK(layer % 2 == i % 2 ? db->Put(w, family, key(i), value) : db->SingleDelete(w, family, key(i)));
    } else if (is("timestamps")) {
      string stamp(8, 0);
      stamp[0] = char(layer + 1);
      OK(db->Put(w, family, key(i), Slice(stamp), value));
    } else if (merges && i % 2 == 0) {
      string one = is("uint64add") || is("ttl_merges") || family->GetName() == "counts" ? string("\x01\0\0\0\0\0\0\0", 8) : std::to_string(i % 10 + layer + 1);
      OK(db->Merge(w, family, key(i), one));
    } else if (is("wide") && i % 3 == 0) {
      OK(db->PutEntity(w, family, key(i), {{"", value}, {"a", "1"}, {"b", std::to_string(layer)}}));
    } else if (deletes && i % 10 == layer) {
      OK(db->Delete(w, family, key(i)));
    } else {
      OK(db->Put(w, family, key(i), merges ? "7" : value));
    }
  }
  if (is("wide_delete") && layer) OK(db->DeleteRange(WriteOptions(), family, key(layer * 70), layer == 1 ? key(200) : "z"));
  if (is("blob_levels")) OK(db->DeleteRange(WriteOptions(), family, key(layer * 50), key(layer * 50 + 20)));
  if (is("range_deletes")) OK(db->DeleteRange(WriteOptions(), family, key(layer * 50), key(layer * 50 + 20)));
}

static void flush(DB* db, const Families& families) {
  if (options().atomic_flush) return OK(db->Flush(FlushOptions(), families));
  for (auto family : families) OK(db->Flush(FlushOptions(), family));
}

static void add_families(DB* db, Families& families) {
  std::vector<string> names;
  int count = is("many_families") ? 60 : is("hundreds_of_families") ? 300 : is("families") || is("atomic_flush") || is("recreated_family") ? 3 : 0;
  for (int i = 0; i < count; i++) names.push_back("family" + std::to_string(i));
  if (is("cold_family") || is("sum_family") || is("fifo_family")) names.push_back("one");
  if (is("odd_names"))
    for (auto name : {"a \"b\"]", "a#b:c\\d\ne", "[DBOptions]", "\xc3\xa9", "x=y"}) names.push_back(name);
  if (is("mixed_families"))
    for (auto name : {"backwards", "counts", "lists", "blobs", "universal"}) names.push_back(name);
  if (is("byte_names")) names.push_back("\xc3\xa9\xff");
  for (auto& name : names) {
    ColumnFamilyHandle* family;
    OK(db->CreateColumnFamily(family_options(name), name, &family));
    families.push_back(family);
  }
}

static void write_transactions(TransactionDB* db) {
  Transaction* prepared = db->BeginTransaction(WriteOptions());
  OK(prepared->SetName("prepared"));
  for (int i = 0; i < 50; i++) OK(prepared->Put(key(i), "prepared"));
  OK(prepared->Prepare());
  Transaction* committed = db->BeginTransaction(WriteOptions());
  OK(committed->SetName("committed"));
  OK(committed->Put(key(100), "committed"));
  OK(committed->Prepare());
  OK(committed->Commit());
}

static void ingest(DB* db) {
  SstFileWriter writer(EnvOptions(), options());
  OK(writer.Open(DIR + "-new.sst"));
  for (int i = 100000; i < 100100; i++) OK(writer.Put(key(i), "ingested"));
  OK(writer.Finish());
  IngestExternalFileOptions move;
  move.move_files = true;
  OK(db->IngestExternalFile({DIR + "-new.sst"}, move));
}

// Its name belongs to another family then, and the WAL still has entries of the old one.
static void recreate(DB* db, Families& families, const string& state) {
  OK(db->DropColumnFamily(families[2]));
  OK(db->DestroyColumnFamilyHandle(families[2]));
  OK(db->CreateColumnFamily(options(), "family1", &families[2]));
  if (state != "unflushed") write_layer(db, families[2], 1, 50), flush(db, {families[2]});
  write_layer(db, families[2], 2, 20);
  OK(db->FlushWAL(true));
}

static void make(const string& state) {
  if (is("wal_link")) OK(Env::Default()->CreateDirIfMissing(DIR)), (void)!symlink(DIR.c_str(), (DIR + "-link").c_str());
  Families families;
  DB* db = open_database(families);
  add_families(db, families);
  int flushed = state == "unflushed" ? 0 : 3, count = is("many_families") || is("hundreds_of_families") ? 10 : 300;
  for (int layer = 0; layer < flushed; layer++) {
    for (auto family : families) write_layer(db, family, layer, count);
    flush(db, families);
  }
  if (is("ingested")) ingest(db);
  if (state != "flushed") {
    for (auto family : families) write_layer(db, family, flushed, count);
    if (has_transactions()) write_transactions(static_cast<TransactionDB*>(db));
    OK(db->FlushWAL(true));
  }
  if (is("recreated_family")) recreate(db, families, state);
  if (state == "killed" || has_transactions()) kill(getpid(), SIGKILL);
  for (auto family : families)
    if (!has_ttl()) OK(db->DestroyColumnFamilyHandle(family));
  delete db;
}

// Filters and indexes lead a search by key and by prefix, which a walk through all pairs does not use.
static void find(DB* db, ColumnFamilyHandle* family, const Slice& key, const Slice& value, const Slice* stamp) {
  ReadOptions r;
  r.timestamp = stamp;
  PinnableSlice found;
  OK(db->Get(r, family, key, &found));
  if (found != value) check(Status::Corruption("another value by its key", key), "find");
  if (is("plain_table") || stamp) return;
  r.prefix_same_as_start = true;
  std::unique_ptr<Iterator> it(db->NewIterator(r, family));
  it->Seek(key);
  if (!it->Valid() || it->key() != key) check(Status::Corruption("not found by its prefix", key), "find");
}

static void dump(DB* db, const Families& families) {
  string latest(8, '\xff');
  Slice stamp(latest);
  for (auto family : families) {
    ReadOptions r;
    r.total_order_seek = true;
    if (is("timestamps")) r.timestamp = &stamp;
    std::unique_ptr<Iterator> it(db->NewIterator(r, family));
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      std::cout << family->GetName() << "\t" << it->key().ToString(true) << "\t" << it->value().ToString(true);
      find(db, family, it->key(), it->value(), r.timestamp);
      if (is("wide")) std::cout << "\t" << it->columns().size();
      std::cout << "\n";
    }
    OK(it->status());
  }
}

static void print_prepared(TransactionDB* db) {
  std::vector<Transaction*> prepared;
  db->GetAllPreparedTransactions(&prepared);
  for (auto each : prepared) std::cout << "prepared\t" << each->GetName() << "\n";
}

static void load() {
  ConfigOptions strict;
  strict.ignore_unknown_options = false;
  strict.ignore_unsupported_options = true;
  DBOptions o;
  std::vector<ColumnFamilyDescriptor> families;
  OK(LoadLatestOptions(strict, DIR, &o, &families));
}

static void copy(DB* db, const string& to) {
  Checkpoint* checkpoint;
  OK(Checkpoint::Create(db, &checkpoint));
  OK(checkpoint->CreateCheckpoint(to, 1 << 30));
}

static void backup(DB* db, const string& to) {
  BackupEngine* engine;
  OK(BackupEngine::Open(BackupEngineOptions(to), Env::Default(), &engine));
  OK(engine->CreateNewBackup(db));
}

int main(int count, char** words) {
  if (count == 2) {
    for (auto& each : kinds()) std::cout << each.first << "\n";
    return 0;
  }
  KIND = words[1], DIR = words[3];
  string what = words[2];
  if (what == "make") return make(words[4]), 0;
  if (what == "load") return load(), 0;
  Families families;
  DB* db = open_database(families);
  if (what == "dump") {
    dump(db, families);
    if (has_transactions()) print_prepared(static_cast<TransactionDB*>(db));
  }
  if (what == "copy") copy(db, words[4]);
  if (what == "backup") backup(db, words[4]);
  if (what == "hold") {
    for (auto family : families) write_layer(db, family, 4, 300);
    OK(db->FlushWAL(true));
    std::cout << "held" << std::endl;
    std::cin.get();
  }
  if (has_transactions()) std::cout.flush(), _exit(0);
  for (auto family : families)
    if (!has_ttl()) OK(db->DestroyColumnFamilyHandle(family));
  delete db;
}

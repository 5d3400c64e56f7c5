"""The storage backends: embedded RocksDB (`local`) and NebulaGraph clusters (`nebula`)."""

"""What runs a task: embedded RocksDB (`local`) or a NebulaGraph cluster (`nebula`), behind one protocol."""

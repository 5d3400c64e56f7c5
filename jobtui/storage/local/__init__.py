"""Embedded RocksDB databases on this machine, with one worker process per storage host."""

"""A program that owns databases made by a Python package which embeds RocksDB (or LevelDB).

    package_owner.py PACKAGES ADAPTER make|dump|hold DIR [STATE]

PACKAGES is the directory that the package is installed in. The states are those of `owner.cc`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

LAYERS, ROWS = 2, 300  # more layers would start a compaction in a database that is only held open
Pairs = Iterable[tuple[bytes, bytes]]


class Database(NamedTuple):
    """An open database, with functions that write a layer of rows, read everything, and close it."""

    write: Callable[[Pairs], None]
    lines: Callable[[], Iterable[Any]]
    close: Callable[[], None]


def rocksdict(path: str) -> Database:
    from rocksdict import Rdict

    return _dictionary(Rdict(path))


def rocksdict_raw(path: str) -> Database:
    from rocksdict import Options, Rdict

    return _dictionary(Rdict(path, Options(raw_mode=True)))


def rocksdict_wal_dir(path: str) -> Database:
    from rocksdict import Options, Rdict

    options = Options(raw_mode=True)
    options.set_wal_dir(path + "-wal")
    return _dictionary(Rdict(path, options))


def speedict(path: str) -> Database:
    from speedict import Options, Rdict

    return _dictionary(Rdict(path, Options(raw_mode=True)))


def _dictionary(opened: Any) -> Database:
    def write(pairs: Pairs) -> None:
        for key, value in pairs:
            opened[key] = value

    return Database(write, lambda: list(opened.items()), opened.close)


def pyoxigraph(path: str) -> Database:
    from pyoxigraph import Literal, NamedNode, Quad, Store

    store = Store(path)

    def write(pairs: Pairs) -> None:
        has = NamedNode("http://example.org/has")
        store.extend(
            Quad(NamedNode(f"http://example.org/{k.decode()}"), has, Literal(v.decode())) for k, v in pairs
        )

    return Database(write, lambda: sorted(map(str, store)), lambda: None)


def cozo(path: str) -> Database:
    from cozo_embedded import CozoDbPy

    opened = CozoDbPy("rocksdb", str(Path(path).parent), "{}")  # the package creates a directory "data" in it

    def run(script: str, immutable: bool) -> Any:
        return opened.run_script(script, {}, immutable)

    def write(pairs: Pairs) -> None:
        if not run("::relations", True)["rows"]:
            run(":create rows {key: String => value: String}", False)
        rows = ", ".join(f'["{key.decode()}", "{value.decode()}"]' for key, value in pairs)
        run(f"?[key, value] <- [{rows}] :put rows {{key => value}}", False)

    return Database(write, lambda: run("?[key, value] := *rows{key, value}", True)["rows"], opened.close)


def faust(path: str) -> Database:
    import rocksdb

    return _cython(rocksdb.DB(path, rocksdb.Options(create_if_missing=True)))


def rdbpy(path: str) -> Database:
    import rdbpy

    return _cython(rdbpy.DB(path, rdbpy.Options(create_if_missing=True)))


def _cython(opened: Any) -> Database:
    def write(pairs: Pairs) -> None:
        for key, value in pairs:
            opened.put(key, value)

    def lines() -> list[Any]:
        every = opened.iteritems()
        every.seek_to_first()
        return list(every)

    return Database(write, lines, getattr(opened, "close", lambda: None))


def rocksdbpy(path: str) -> Database:
    import rocksdbpy

    opened = rocksdbpy.open_default(path)

    def write(pairs: Pairs) -> None:
        for key, value in pairs:
            opened.set(key, value)

    def lines() -> list[Any]:  # its iterator returns values up to a certain length only
        keys = sorted({key for layer in range(LAYERS + 2) for key, _ in _rows(layer)})
        return [(key, opened.get(key)) for key in keys]

    return Database(write, lines, opened.close)


def pyrex(path: str) -> Database:
    import pyrex

    opened = pyrex.PyRocksDB(path)

    def write(pairs: Pairs) -> None:
        for key, value in pairs:
            opened.put(key, value)

    def lines() -> list[Any]:
        found, every = [], opened.new_iterator()
        every.seek_to_first()
        while every.valid():
            found.append((every.key(), every.value()))
            every.next()
        return found

    return Database(write, lines, opened.close)


def amulet(path: str) -> Database:
    import rocksdb

    opened = rocksdb.RocksDB(path, create_if_missing=True)

    def write(pairs: Pairs) -> None:
        for key, value in pairs:
            opened.put(key, value)

    return Database(write, lambda: list(opened.items()), opened.close)


def rocksq(path: str) -> Database:
    from rocksq.blocking import PersistentQueueWithCapacity

    queue = PersistentQueueWithCapacity(path)

    def lines() -> list[Any]:
        return [queue.len, queue.pop(queue.len)]

    return Database(lambda pairs: queue.push([value for _, value in pairs]), lines, lambda: None)


def plyvel(path: str) -> Database:
    import plyvel

    opened = plyvel.DB(path, create_if_missing=True)

    def write(pairs: Pairs) -> None:
        for key, value in pairs:
            opened.put(key, value)

    return Database(write, lambda: list(opened), opened.close)


def _rows(layer: int) -> list[tuple[bytes, bytes]]:
    return [(b"key%06d" % row, b"value%d-%d" % (layer, row)) for row in range(layer * 50, layer * 50 + ROWS)]


def make(adapter: str, path: str, state: str) -> None:
    # not every package can flush, but opening writes what lies in the WAL into a table
    for layer in range(0 if state == "unflushed" else LAYERS):
        database = globals()[adapter](path)
        database.write(_rows(layer))
        database.close()
        del database
    database = globals()[adapter](path)
    if state == "flushed":
        database.close()
    else:
        database.write(_rows(LAYERS))
        os.kill(os.getpid(), signal.SIGKILL)


def main(packages: str, adapter: str, what: str, path: str, *words: str) -> None:
    sys.path.insert(0, packages)
    if what == "make":
        make(adapter, path, *words)
        return
    database = globals()[adapter](path)
    if what == "dump":
        for line in database.lines():
            print(line)
    else:
        database.write(_rows(LAYERS + 1))
        print("held", flush=True)
        sys.stdin.readline()
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""An OPTIONS file as its text says it: sections, options, families."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from jobtui.storage.local.rocksdb_files import Unreadable

# newer files than these may mean something else by the same words
FILE_VERSION = "1.1"
# this build of RocksDB, as its own OPTIONS files say
NEWEST = (9, 8)

_NAME = re.compile(r"OPTIONS-(\d+)")
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
    """Return the names of OPTIONS files among `names`, the newest by its number first."""
    found = [(int(match[1]), name) for name in names if (match := _NAME.fullmatch(name))]
    return [name for _, name in sorted(found, reverse=True)]


def parse_options(data: bytes) -> OptionsText:
    """Read an OPTIONS file.

    Raises:
        Unreadable: It is cut, or no OPTIONS file as RocksDB writes them.
    """
    text = data.decode("utf-8", "surrogateescape")
    if not text.startswith("# This is a RocksDB option file."):
        raise Unreadable("is no OPTIONS file")
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

"""Lines of JSON that tell whether they are whole.

Each line is an object whose first key is `crc`: the CRC-32, in eight hexadecimal digits, of everything
that follows it in the line. The same lines make up the journal, the segments, their indexes and the
manifest. JSON escapes quotes, so the beginning of a line can't occur inside one, and a reader finds its
way back after damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zlib import crc32

MAGIC: Final = b'{"crc":"'
HEAD: Final = len(MAGIC) + len('xxxxxxxx",')


def framed(payload: bytes) -> bytes:
    """A JSON object as a line, with its newline. `payload` is `{…}` and not empty."""
    rest = payload[1:]
    return b'{"crc":"%08x",%b\n' % (crc32(rest), rest)


def is_whole(line: bytes) -> bool:
    """Whether a line (without its newline) is as it was written."""
    return line.startswith(b'{"crc":"%08x",' % crc32(line[HEAD:]))


def lines(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes, bool]]:
    """The lines of `data` from `start`: offset, bytes without the newline, whether it is whole.

    Stretches of blanks are passed over. Where a newline was damaged, the lines beside it are told apart
    by how a line begins.
    """
    position, end = start, len(data)
    while position < end:
        newline = data.find(b"\n", position)
        stop = end if newline < 0 else newline
        line = data[position:stop]
        if newline >= 0 and line.startswith(b'{"crc":"%08x",' % crc32(line[HEAD:])):
            yield position, line, True
        elif line.strip(b" "):
            yield from _apart(data, position, stop, complete=newline >= 0)
        position = stop + 1


def _apart(data: bytes, start: int, stop: int, *, complete: bool) -> Iterator[tuple[int, bytes, bool]]:
    while start < stop:
        found = data.find(MAGIC, start + 1, stop)
        following = stop if found < 0 else found
        line = data[start:following]
        if found >= 0 and is_whole(line[:-1]):
            yield start, line[:-1], True
        elif line.strip(b" "):
            yield start, line, (found >= 0 or complete) and is_whole(line)
        start = following

"""A space's or host's name as the name of a directory, and back.

Small ASCII letters, digits, `_` and `-` stand for themselves; every other character is percent-encoded,
byte by byte of its UTF-8. So no name can climb out of its directory, hide, or be read as something
else, and two names that differ only in case differ on a disk that is blind to it too. A directory name
never holds a `.`: what lies beside one (`<directory>.name`, `<directory>.dropped`) can't be taken for a space.
"""

from __future__ import annotations

import re

LONGEST = 180  # characters of a directory's name: file systems allow 255 bytes, what lies beside takes a few
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
_DIRECTORY = re.compile(r"(?:[a-z0-9_-]|%[0-9a-f]{2})+(?:~[0-9a-f]{32})?")


def directory_name(name: str) -> str:
    """The directory name of `name`: one to one, but for a long one, which is cut and carries a hash."""
    encoded = _encoded(name)
    if len(encoded) <= LONGEST:
        return encoded
    return f"{encoded[: LONGEST - 33].rstrip('%')}~{_hash(name)}"


def is_cut(directory: str) -> bool:
    """Whether the directory name holds only the beginning of its name; the rest is in the file beside it."""
    return "~" in directory


def is_directory_name(text: str) -> bool:
    """Whether `text` could be what `directory_name` made; everything else in a host's directory is foreign."""
    return _DIRECTORY.fullmatch(text) is not None and len(text) <= LONGEST


def name_of(directory: str, beside: str | None = None) -> str | None:
    """The name that `directory_name` made `directory` of, None where none did.

    `beside` is the full name kept beside a cut one; it counts only if it really leads to this directory.
    """
    if is_cut(directory):
        return beside if beside is not None and directory_name(beside) == directory else None
    if not is_directory_name(directory):
        return None
    try:
        name = _decoded(directory)
    except UnicodeDecodeError:
        return None
    return name if directory_name(name) == directory else None


def _encoded(name: str) -> str:
    text = "".join(
        chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in name.encode("utf-8", "surrogatepass")
    )
    if text in _DEVICES or text.startswith("-"):
        return f"%{ord(text[0]):02x}{text[1:]}"
    return text


def _decoded(directory: str) -> str:
    raw = re.sub(rb"%([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), directory.encode("ascii"))
    return raw.decode("utf-8", "surrogatepass")


def _hash(name: str) -> str:
    import hashlib  # 4 MB in every worker, for names that are hardly ever so long

    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]

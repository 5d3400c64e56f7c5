"""A name as it must be typed."""

from __future__ import annotations

from jobtui.language.words import is_bare_name, is_name


def quoted(name: str) -> str:
    """`name` as the language reads it: bare where it may stand so, between back-quotes else.

    Raises ValueError for a name that can't be typed at all (`typeable` says so beforehand): an empty
    one, one of more than 4,096 characters, one with a back-quote, a `.` or a control character.
    """
    if is_bare_name(name):
        return name
    if not is_name(name):
        raise ValueError("no statement can hold this name")
    return f"`{name}`"


def typeable(name: str) -> bool:
    """Whether a statement can hold `name`. A cluster's own spaces can have names that none can."""
    return is_name(name)

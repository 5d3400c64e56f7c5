"""The few statements that jobtui says to graphd, as text. Pure.

Every statement names its space with a USE before it, in the same text: a session's chosen space is never
relied on. A space's name always stands between back-quotes, in which graphd reads a backslash as an escape.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from jobtui.errors import Code, StorageError

SHOW_SPACES = "SHOW SPACES"
SHOW_HOSTS = "SHOW HOSTS"
PING = "YIELD 1"
COMMANDS = {"flush": "FLUSH", "compact": "COMPACT"}

_NO_NAME = re.compile("[\x00\ud800-\udfff]")
_ESCAPES = str.maketrans(
    {
        "\\": "\\\\",
        "`": "\\`",
        ".": "\\.",
        "\n": "\\n",
        "\t": "\\t",
        "\r": "\\r",
        "\b": "\\b",
        "\f": "\\f",
    }
)


def quoted(name: str) -> str:
    """The name between back-quotes, so that graphd reads this name and nothing else.

    Raises StorageError (missing) for what no space can be called: a NUL would end the name there, and half
    a surrogate pair is no text.
    """
    if _NO_NAME.search(name):
        raise StorageError(Code.MISSING, "", name, "no space can have such a name")
    return f"`{name.translate(_ESCAPES)}`"


def show_jobs(space: str) -> str:
    """All jobs of a space."""
    return f"USE {quoted(space)}; SHOW JOBS"


def show_job(space: str, job: int) -> str:
    """One job of a space, with its tasks."""
    return f"USE {quoted(space)}; SHOW JOB {job:d}"


def submit(command: str, space: str) -> str:
    """A new job. Raises KeyError for a command that can't be submitted."""
    return f"USE {quoted(space)}; SUBMIT JOB {COMMANDS[command]}"


def stop(space: str, job: int) -> str:
    """The end of a job."""
    return f"USE {quoted(space)}; STOP JOB {job:d}"


def recover(space: str, jobs: Iterable[int]) -> str:
    """The failed and stopped jobs of a space again: those named, or all."""
    ids = ", ".join(f"{job:d}" for job in jobs)
    return f"USE {quoted(space)}; RECOVER JOB {ids}".rstrip()

"""When the dashboard itself fails: what a person is told, and the report that is kept for who mends it."""

from __future__ import annotations

import os
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from jobtui.files import foreign_owner


def report(error: BaseException, directory: Path | None) -> Path | None:
    """Write the error and its traceback to a new file; where that lies, None where it could not be written."""
    text = f"{datetime.now(UTC).isoformat()}\n{''.join(traceback.format_exception(error))}"
    try:
        if directory is not None:
            if foreign_owner(directory):
                directory = None
            else:
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=directory)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return Path(name)


def message(error: BaseException, place: Path | None) -> str:
    """What is said on the terminal once it is whole again."""
    said = str(error).split("\n")[0][:200]
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    lines = [
        f"jobtui: the dashboard failed: {what}",
        "Your jobs are safe: what was running is told the truth about at the next start.",
    ]
    if place is not None:
        lines.append(f"What happened is written in {place}")
    return "\n".join(lines)

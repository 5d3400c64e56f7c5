"""Where the style sheets lie: in the wheel beside this package, in a checkout at the top of the repository."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_FIRST = "inks.tcss"


def style_sheets() -> tuple[Path, ...]:
    """All style sheets, a file a screen or widget. Raises FileNotFoundError where they are missing."""
    for directory in (_PACKAGE / "styles", _PACKAGE.parent / "styles"):
        if (directory / _FIRST).is_file():
            return tuple(sorted(directory.glob("*.tcss")))
    raise FileNotFoundError(f"jobtui's style sheets are missing: there is no {_PACKAGE / 'styles' / _FIRST}")

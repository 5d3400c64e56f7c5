"""`jobtui doctor`: all that jobtui needs here, a line each: ok, warn or bad, and what to do about it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from jobtui.cli.asked import Examine
from jobtui.cli.exits import Exit, NoHome, UsageError
from jobtui.cli.streams import Output
from jobtui.formatting import printable_lines


class Level(enum.StrEnum):
    """How a finding is: as it should be, good enough with a limit, or in the way of work."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it isn't well."""

    level: Level
    what: str
    said: str
    advice: str = ""


def doctor(asked: Examine) -> int:
    """Look at everything, telling each finding as it comes; the answer is the exit status."""
    output = Output()
    worst = Exit.DONE
    for finding in _findings(asked):
        output.write(
            printable_lines(f"{finding.level:<4}  {finding.what:<9}  {' '.join(finding.said.split())}") + "\n"
        )
        if finding.advice:
            output.write(f"{'':17}{printable_lines(finding.advice)}\n")
        output.flush()
        if finding.level is Level.BAD:
            worst = Exit.FAILED
    return worst


def _findings(asked: Examine) -> Iterator[Finding]:
    from jobtui.cli import checks
    from jobtui.cli.config_command import dashboard_problems
    from jobtui.cli.profiles import profile_of, settings_of
    from jobtui.cli.versions import version_line

    yield Finding(Level.OK, "version", version_line())
    yield from checks.terminal()
    try:
        config = settings_of(asked)
        profile = profile_of(asked, config)
    except NoHome as error:
        yield Finding(Level.BAD, "data", str(error))
        yield checks.storage()
        return
    except UsageError as error:
        *others, last = str(error).splitlines()
        for one in others:
            yield Finding(Level.BAD, "config", one)
        yield Finding(Level.BAD, "config", last, "mend the file; jobtui config tells what may stand in it")
        yield checks.storage()
        return
    found = "can be used" if config.found else "is not there; the defaults are used"
    yield Finding(Level.OK, "config", f"{config.path} {found}; profile {profile.name}")
    for problem in dashboard_problems(config):
        yield Finding(Level.WARN, "config", str(problem), "the dashboard passes over it until it is mended")
    yield checks.data_directory(profile)
    yield from checks.access(profile)
    yield from checks.host_directories(profile)
    yield checks.owner(profile)
    yield checks.history(profile)
    if profile.cluster is None:
        yield checks.storage(profile.root, profile.root.parent)
    else:
        yield checks.cluster(profile)

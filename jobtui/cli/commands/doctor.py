"""The things that `jobtui doctor` looks at."""

from __future__ import annotations

import enum
import locale
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobtui.cli.args import DoctorCommand
from jobtui.cli.errors import Exit, NoHome, UsageError
from jobtui.cli.help import version_line
from jobtui.cli.streams import Output, is_terminal
from jobtui.engine.profile import Profile
from jobtui.errors import StorageError
from jobtui.files import foreign_owner, others_can_write, user_name
from jobtui.formatting import format_bytes, printable_lines
from jobtui.history import StoreError
from jobtui.model import ConnectionState
from jobtui.os_errors import NO_INODES, explain, has_inodes

SMALLEST = (60, 15)
LITTLE_SPACE = 1 << 30
NO_SPACE = 16 << 20
CLUSTER_SECONDS = 15.0


def terminal() -> Iterator[Finding]:
    """The terminal, its colours and its characters."""
    name = os.environ.get("TERM", "")
    if not (is_terminal(0) and is_terminal(1)):
        yield Finding(
            CheckLevel.WARN, "terminal", "none here", "the dashboard needs one; -e, -f and pipes do not"
        )
    elif name in ("", "dumb"):
        said = f"TERM is {name or 'not set'}: it can't move its cursor"
        yield Finding(CheckLevel.WARN, "terminal", said, "set TERM to what it is, xterm-256color for most")
    else:
        size = shutil.get_terminal_size()
        said = f"{name}, {size.columns} columns, {size.lines} lines"
        if size.columns < SMALLEST[0] or size.lines < SMALLEST[1]:
            advice = f"the dashboard shows more from {SMALLEST[0]} columns and {SMALLEST[1]} lines on"
            yield Finding(CheckLevel.WARN, "terminal", said, advice)
        else:
            yield Finding(CheckLevel.OK, "terminal", said)
    yield Finding(CheckLevel.OK, "colours", _colours(name))
    encoding = locale.getpreferredencoding(do_setlocale=False)
    if encoding.lower().replace("-", "") == "utf8":
        yield Finding(CheckLevel.OK, "text", encoding)
    else:
        advice = "set LC_ALL to one with UTF-8, C.UTF-8 say, to see names and pictures as they are"
        yield Finding(CheckLevel.WARN, "text", f"the locale's encoding is {encoding}", advice)


def _colours(name: str) -> str:
    if os.environ.get("NO_COLOR"):
        return "none: NO_COLOR is set; marks carry the meaning"
    if os.environ.get("COLORTERM", "") in ("truecolor", "24bit"):
        return "16 million"
    if "256color" in name:
        return "256"
    return "16: the theme ansi (T turns to it) is made for them; COLORTERM=truecolor says that it has more"


def data_directory(profile: Profile) -> Finding:
    """Whether the profile's data can be written where it belongs, and what room there is."""
    place = _nearest(profile.root)
    said = f"{profile.root}" if _is_there(profile.root) else f"{profile.root} (not there yet)"
    if not has_inodes(place):
        return Finding(
            CheckLevel.BAD, "data", f"{said}: {NO_INODES}", "delete some files there: none can be made"
        )
    inside = [part for part in (profile.history, profile.storage) if _is_there(part)]
    if problem := next(filter(None, map(_unwritable, (place, *inside))), ""):
        return Finding(
            CheckLevel.BAD, "data", f"{said} {problem}", "--data-dir or data_dir in the config names another"
        )
    free = shutil.disk_usage(place).free
    room = f"{said}, {format_bytes(free)} free"
    if free < NO_SPACE:
        return Finding(CheckLevel.BAD, "data", room, "make room: a full disk takes no new jobs")
    if free < LITTLE_SPACE:
        advice = "a compact needs as much room as the space has on that host"
        return Finding(CheckLevel.WARN, "data", room, advice)
    return Finding(CheckLevel.OK, "data", room)


def access(profile: Profile) -> Iterator[Finding]:
    """The users who own the profile's files, and those who can write its directories."""
    if not _is_there(profile.root):
        return
    place, me = shlex.quote(str(profile.root)), os.geteuid()
    paths = [profile.root, *_inside(profile.root)]
    owner, above = _owner(profile.root), _owner(profile.root.parent)
    heir = above if owner == 0 else owner  # a first run as root made the profile in a user's directory
    if heir is not None and heir != me and foreign_owner(profile.root):
        said = (
            f"{profile.root} belongs to {user_name(heir)}, who could not use what {user_name(me)} makes there"
        )
        yield Finding(
            CheckLevel.BAD, "owner", said, f"run jobtui as {user_name(heir)}, or name another --data-dir"
        )
    strange = [path for path in paths if _owner(path) not in (heir, None)]
    if heir is not None and strange:
        whose = user_name(strange[0].lstat().st_uid)
        some = (
            f"{strange[0]} belongs" if len(strange) == 1 else f"{strange[0]} and {len(strange) - 1} more belong"
        )
        said = f"{some} to {whose}, and the profile to {user_name(heir)}"
        yield Finding(CheckLevel.BAD, "owner", said, f"sudo chown -R {_account(heir)} {place}")
    if writable := [path for path in (profile.root.parent, *paths) if _is_open(path)]:
        said = f"other users can write {writable[0]}, and so change its jobs or replace its files"
        advice = f"chmod go-w {shlex.quote(str(profile.root.parent))}; chmod -R go-w {place}"
        # a group may have one member, as where each user has a group and the umask is 002
        worst = (
            CheckLevel.BAD if any(path.stat().st_mode & stat.S_IWOTH for path in writable) else CheckLevel.WARN
        )
        yield Finding(worst, "access", said, advice)


def _inside(root: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(root):
        yield from (Path(directory, name) for name in (*directories, *files))


def _owner(path: Path) -> int | None:
    """The uid of the user who owns the path, None if it is gone by now or cannot be seen."""
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _account(uid: int) -> str:
    """A user and their group, as chown takes it."""
    name = user_name(uid)
    return str(uid) if " " in name else f"{name}:"


def _is_open(path: Path) -> bool:
    try:
        return not path.is_symlink() and others_can_write(path)
    except OSError:
        return False


def host_directories(profile: Profile) -> Iterator[Finding]:
    """The directories that the config gives to embedded hosts."""
    for host, directory in profile.hosts.items():
        if directory is None:
            continue
        if problem := _unwritable(_nearest(directory)):
            advice = f"mount it, or change hosts.{host} of the profile in the config"
            yield Finding(CheckLevel.BAD, "host", f"{host}: {directory} {problem}", advice)
        else:
            free = shutil.disk_usage(_nearest(directory)).free
            yield Finding(CheckLevel.OK, "host", f"{host}: {directory}, {format_bytes(free)} free")


def owner(profile: Profile) -> Finding:
    """Who has the profile's lock, and whether it answers."""
    from jobtui.engine.health import owner_of

    try:
        found = owner_of(profile)
    except (OSError, StoreError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        advice = "see that your user may read the data; jobtui history verify reports more"
        return Finding(CheckLevel.BAD, "lock", f"can't be seen: {why}", advice)
    if found is None:
        return Finding(CheckLevel.OK, "lock", "free: no jobtui has this profile")
    who = f"process {found.pid}" if found.pid is not None else "another process"
    if not found.trouble:
        return Finding(CheckLevel.OK, "lock", f"{who} has this profile, and answers")
    if found.is_silent:
        advice = "bring it back (fg), or end it with kill; what is queued then runs at the next start"
    else:
        advice = "its jobs go on; look again in a moment: it may be starting or ending"
    return Finding(CheckLevel.WARN, "lock", f"{who} has this profile: {found.trouble}", advice)


def history(profile: Profile) -> Finding:
    """Whether the history can be read, and is whole as far as a start looks."""
    from jobtui.engine.health import kept_in

    try:
        kept = kept_in(profile)
    except StoreError as error:
        return Finding(
            CheckLevel.BAD,
            "history",
            str(error),
            "jobtui history verify reports more; keep a copy before a repair",
        )
    if kept.damage:
        more = f" (and {len(kept.damage) - 1} more)" if len(kept.damage) > 1 else ""
        advice = "jobtui history verify reports all of it, jobtui history repair repairs what it can"
        return Finding(CheckLevel.WARN, "history", f"damaged: {kept.damage[0]}{more}", advice)
    live = f", {kept.live} queued or running" if kept.live else ""
    said = f"the last job is {kept.last_id}{live}" if kept.last_id else "no jobs yet"
    return Finding(CheckLevel.OK, "history", said)


def storage(*fallbacks: Path) -> Finding:
    """Whether RocksDB does its work here."""
    from jobtui.engine.health import probe_storage
    from jobtui.errors import ProbeFailed

    advice = "pip install --force-reinstall rocksdict; its wheel must fit this Python and this system"
    try:
        probe_storage(*fallbacks)
    except FileNotFoundError as error:
        return Finding(
            CheckLevel.WARN, "rocksdb", f"not tried: {error.strerror}", "TMPDIR names such a directory"
        )
    except (StorageError, StoreError, ProbeFailed, OSError) as error:
        return Finding(CheckLevel.BAD, "rocksdb", str(error), advice)
    return Finding(CheckLevel.OK, "rocksdb", "a worker started, wrote, flushed and compacted")


def cluster(profile: Profile) -> Finding:
    """Whether the profile's cluster answers."""
    from jobtui.engine.health import try_cluster

    assert profile.cluster is not None
    where = ", ".join(map(str, profile.cluster.addresses)) or "its storage hosts"
    advice = "see the addresses, the user and the password's place: docs/nebulagraph.md, Connecting"
    try:
        link, hosts = try_cluster(profile, CLUSTER_SECONDS)
    except (StorageError, StoreError, OSError) as error:
        return Finding(CheckLevel.BAD, "cluster", f"{where}: {error}", advice)
    if link is not None and link.state is not ConnectionState.CONNECTED:
        return Finding(CheckLevel.BAD, "cluster", f"{where}: {link.state}: {link.detail}", advice)
    down = [host.name for host in hosts if not host.up]
    told = f"{where} answers, {len(hosts)} storage hosts"
    if down:
        return Finding(
            CheckLevel.WARN, "cluster", f"{told}, down: {', '.join(down)}", "start them, or wait for them"
        )
    return Finding(CheckLevel.OK, "cluster", told)


def _nearest(directory: Path) -> Path:
    """The directory, or the nearest above it that exists."""
    here = directory.absolute()
    return next(place for place in (here, *here.parents) if _is_there(place))


def _is_there(path: Path) -> bool:
    """Whether the path can be seen."""
    try:
        return path.exists()
    except OSError:
        return False


def _unwritable(place: Path) -> str:
    """Why nothing can be written there, "" where it can."""
    import tempfile

    if not place.is_dir():
        return f"can't be used: {place} is no directory"
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return f"can't be written: {explain(error, place)}"


class CheckLevel(enum.StrEnum):
    """How a finding is: as it should be, good enough with a limit, or in the way of work."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do where it isn't well."""

    level: CheckLevel
    what: str
    said: str
    advice: str = ""


def doctor(asked: DoctorCommand) -> int:
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
        if finding.level is CheckLevel.BAD:
            worst = Exit.FAILED
    return worst


def _findings(asked: DoctorCommand) -> Iterator[Finding]:
    from jobtui.cli.commands.config import dashboard_problems
    from jobtui.cli.profiles import profile_of, settings_of

    yield Finding(CheckLevel.OK, "version", version_line())
    yield from terminal()
    try:
        config = settings_of(asked)
        profile = profile_of(asked, config)
    except NoHome as error:
        yield Finding(CheckLevel.BAD, "data", str(error))
        yield storage()
        return
    except UsageError as error:
        *others, last = str(error).splitlines()
        for one in others:
            yield Finding(CheckLevel.BAD, "config", one)
        yield Finding(CheckLevel.BAD, "config", last, "correct the file; jobtui config prints every setting")
        yield storage()
        return
    found = "can be used" if config.found else "is not there; the defaults are used"
    yield Finding(CheckLevel.OK, "config", f"{config.path} {found}; profile {profile.name}")
    for problem in dashboard_problems(config):
        yield Finding(CheckLevel.WARN, "config", str(problem), "the dashboard ignores it until it is corrected")
    yield data_directory(profile)
    yield from access(profile)
    yield from host_directories(profile)
    yield owner(profile)
    yield history(profile)
    if profile.cluster is None:
        yield storage(profile.root, profile.root.parent)
    else:
        yield cluster(profile)

"""`jobtui doctor`: checks of the requirements of jobtui, each with its result and advice."""

from __future__ import annotations

import enum
import locale
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from jobtui.cli.commands.config import dashboard_problems
from jobtui.cli.errors import Exit, NoHome, UsageError
from jobtui.cli.help import version_line
from jobtui.cli.options import DoctorCommand
from jobtui.cli.profiles import read_settings, resolve_profile
from jobtui.cli.streams import StdoutWriter, is_terminal
from jobtui.engine.notify_settings import NotifySettings, UrlError
from jobtui.engine.profile import Profile, describe_autostart
from jobtui.errors import StorageError
from jobtui.files import foreign_owner, others_can_write, user_name
from jobtui.formatting import format_bytes, format_count, printable_lines
from jobtui.history import StoreError
from jobtui.model import ConnectionState
from jobtui.os_errors import NO_INODES, describe_os_error, has_inodes
from jobtui.storage.base import Host

MIN_COLUMNS, MIN_LINES = 60, 15
LOW_SPACE_BYTES = 1 << 30
MIN_SPACE_BYTES = 16 << 20
CLUSTER_SECONDS = 15.0


class CheckLevel(enum.StrEnum):
    """The level of a finding: in order, limited, or preventing work."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class Finding(msgspec.Struct, frozen=True):
    """A line of the report: what was checked, the result, and advice if it is not in order."""

    level: CheckLevel
    what: str
    result: str
    advice: str = ""


def doctor(command: DoctorCommand) -> int:
    """Check everything, print each finding at once, and return the exit status."""
    output = StdoutWriter()
    worst = Exit.DONE
    for finding in _findings(command):
        output.write(
            printable_lines(f"{finding.level:<4}  {finding.what:<9}  {' '.join(finding.result.split())}") + "\n"
        )
        if finding.advice:
            output.write(f"{'':17}{printable_lines(finding.advice)}\n")
        output.flush()
        if finding.level is CheckLevel.BAD:
            worst = Exit.FAILED
    return worst


def _findings(command: DoctorCommand) -> Iterator[Finding]:
    yield Finding(CheckLevel.OK, "version", version_line())
    yield from check_terminal()
    try:
        config = read_settings(command)
        profile = resolve_profile(command, config)
    except NoHome as error:
        yield Finding(CheckLevel.BAD, "data", str(error))
        yield check_storage()
        return
    except UsageError as error:
        *others, last = str(error).splitlines()
        for problem in others:
            yield Finding(CheckLevel.BAD, "config", problem)
        yield Finding(CheckLevel.BAD, "config", last, "correct the file; jobtui config prints every setting")
        yield check_storage()
        return
    state = "is valid" if config.found else "does not exist; the defaults are used"
    yield Finding(CheckLevel.OK, "config", f"{config.path} {state}; profile {profile.name}")
    for ignored in dashboard_problems(config):
        yield Finding(CheckLevel.WARN, "config", str(ignored), "the dashboard ignores it until it is corrected")
    yield check_data_directory(profile)
    yield from check_access(profile)
    yield from check_host_directories(profile)
    yield check_owner(profile)
    yield check_history(profile)
    if profile.cluster is None:
        yield from check_spaces(profile)
    yield from check_schedules(profile)
    yield from check_notifications(config.notify)
    if profile.cluster is None:
        yield check_storage(profile.root, profile.root.parent)
    else:
        yield check_cluster(profile)


def check_terminal() -> Iterator[Finding]:
    """Check the terminal, its colors and its characters."""
    name = os.environ.get("TERM", "")
    if not (is_terminal(0) and is_terminal(1)):
        yield Finding(
            CheckLevel.WARN, "terminal", "none here", "the dashboard needs one; -e, -f and pipes do not"
        )
    elif name in ("", "dumb"):
        result = f"TERM is {name or 'not set'}: it cannot move its cursor"
        yield Finding(CheckLevel.WARN, "terminal", result, "set TERM, in most terminals to xterm-256color")
    else:
        size = shutil.get_terminal_size()
        result = f"{name}, {size.columns} columns, {size.lines} lines"
        if size.columns < MIN_COLUMNS or size.lines < MIN_LINES:
            advice = f"the dashboard shows more from {MIN_COLUMNS} columns and {MIN_LINES} lines on"
            yield Finding(CheckLevel.WARN, "terminal", result, advice)
        else:
            yield Finding(CheckLevel.OK, "terminal", result)
    yield Finding(CheckLevel.OK, "colors", _colors(name))
    from jobtui.tui.terminal import is_ascii_locale  # late: with Rich, which no other command line needs

    encoding = locale.getpreferredencoding(do_setlocale=False)
    if is_ascii_locale():
        advice = 'set LC_ALL to a UTF-8 locale (for example C.UTF-8), or glyphs to "unicode"'
        yield Finding(CheckLevel.WARN, "text", "the locale is C: the dashboard draws ASCII", advice)
    elif encoding.lower().replace("-", "") == "utf8":
        yield Finding(CheckLevel.OK, "text", encoding)
    else:
        advice = "set LC_ALL to a UTF-8 locale (for example C.UTF-8) to see all characters"
        yield Finding(CheckLevel.WARN, "text", f"the locale's encoding is {encoding}", advice)


def _colors(name: str) -> str:
    if os.environ.get("NO_COLOR"):
        return "none: NO_COLOR is set; signs show the same"
    if os.environ.get("COLORTERM", "") in ("truecolor", "24bit"):
        return "16 million"
    if "256color" in name:
        return "256"
    return "16: the theme ansi (key T) is for these; set COLORTERM=truecolor if the terminal has more"


def check_data_directory(profile: Profile) -> Finding:
    """Check whether the profile's data can be written, and how much disk space is free."""
    directory = _nearest(profile.root)
    result = f"{profile.root}" if _exists(profile.root) else f"{profile.root} (does not exist yet)"
    if not has_inodes(directory):
        return Finding(
            CheckLevel.BAD, "data", f"{result}: {NO_INODES}", "delete some files there: none can be created"
        )
    inside = [part for part in (profile.history, profile.storage) if _exists(part)]
    if problem := next(filter(None, map(_write_problem, (directory, *inside))), ""):
        advice = "--data-dir, or data_dir in the config, names another directory"
        return Finding(CheckLevel.BAD, "data", f"{result} {problem}", advice)
    free = shutil.disk_usage(directory).free
    result = f"{result}, {format_bytes(free)} free"
    if free < MIN_SPACE_BYTES:
        return Finding(CheckLevel.BAD, "data", result, "free some disk space: no jobs are accepted without it")
    if free < LOW_SPACE_BYTES:
        advice = "a compact needs as much disk space as the space has on that host"
        return Finding(CheckLevel.WARN, "data", result, advice)
    return Finding(CheckLevel.OK, "data", result)


def check_access(profile: Profile) -> Iterator[Finding]:
    """Check the owner of the profile's files, and whether other users can write its directories."""
    if not _exists(profile.root):
        return
    root, me = shlex.quote(str(profile.root)), os.geteuid()
    paths = [profile.root, *_inside(profile.root)]
    owner, above = _owner(profile.root), _owner(profile.root.parent)
    # a first run as root may have created the profile in a user's directory
    rightful = above if owner == 0 else owner
    if rightful is not None and rightful != me and foreign_owner(profile.root):
        name = user_name(rightful)
        result = f"{profile.root} belongs to {name}, who could not use the files of {user_name(me)}"
        yield Finding(CheckLevel.BAD, "owner", result, f"run jobtui as {name}, or name another --data-dir")
    foreign = [path for path in paths if _owner(path) not in (rightful, None)]
    if rightful is not None and foreign:
        others = user_name(foreign[0].lstat().st_uid)
        some = (
            f"{foreign[0]} belongs" if len(foreign) == 1 else f"{foreign[0]} and {len(foreign) - 1} more belong"
        )
        result = f"{some} to {others}, and the profile to {user_name(rightful)}"
        yield Finding(CheckLevel.BAD, "owner", result, f"sudo chown -R {_account(rightful)} {root}")
    if writable := [path for path in (profile.root.parent, *paths) if _is_open(path)]:
        result = f"other users can write {writable[0]}, and so change its jobs or replace its files"
        advice = f"chmod go-w {shlex.quote(str(profile.root.parent))}; chmod -R go-w {root}"
        # a group may have one member: some systems have a group for each user, and the umask 002
        worst = (
            CheckLevel.BAD if any(path.stat().st_mode & stat.S_IWOTH for path in writable) else CheckLevel.WARN
        )
        yield Finding(worst, "access", result, advice)


def _inside(root: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(root):
        yield from (Path(directory, name) for name in (*directories, *files))


def _owner(path: Path) -> int | None:
    """Return the uid of the path's owner, None if the path is gone or cannot be read."""
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _account(uid: int) -> str:
    """Return a user and their group in the form of chown."""
    name = user_name(uid)
    return str(uid) if " " in name else f"{name}:"


def _is_open(path: Path) -> bool:
    try:
        return not path.is_symlink() and others_can_write(path)
    except OSError:
        return False


def check_host_directories(profile: Profile) -> Iterator[Finding]:
    """Check the directories of embedded hosts in the config."""
    for host, directory in profile.hosts.items():
        if directory is None:
            continue
        if problem := _write_problem(_nearest(directory)):
            advice = f"mount it, or change hosts.{host} of the profile in the config"
            yield Finding(CheckLevel.BAD, "host", f"{host}: {directory} {problem}", advice)
        else:
            free = shutil.disk_usage(_nearest(directory)).free
            yield Finding(CheckLevel.OK, "host", f"{host}: {directory}, {format_bytes(free)} free")


def check_owner(profile: Profile) -> Finding:
    """Check which process has the profile's lock, and whether it answers."""
    # late, here and below: the engine (100 ms), so that the first results appear at once
    from jobtui.engine.health import owner_of

    try:
        found = owner_of(profile)
    except (OSError, StoreError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        advice = "allow your user to read the data; jobtui history verify reports more"
        if isinstance(error, FileExistsError):  # something else is in its place
            advice = "jobtui history repair moves it to the quarantine"
        return Finding(CheckLevel.BAD, "lock", f"cannot be read: {why}", advice)
    if found is None:
        return Finding(CheckLevel.OK, "lock", "free: no jobtui process uses this profile")
    process = f"process {found.pid}" if found.pid is not None else "another process"
    if not found.problem:
        return Finding(CheckLevel.OK, "lock", f"{process} owns this profile, and answers")
    if found.is_silent:
        advice = "continue it (fg), or end it with kill; queued jobs then run at the next start"
    else:
        advice = "its jobs continue; run doctor again in a moment: it may be starting or ending"
    return Finding(CheckLevel.WARN, "lock", f"{process} owns this profile: {found.problem}", advice)


def check_history(profile: Profile) -> Finding:
    """Check whether the history can be read, and whether what a start reads of it is undamaged."""
    from jobtui.engine.health import summarize_history

    try:
        kept = summarize_history(profile)
    except StoreError as error:
        return Finding(
            CheckLevel.BAD,
            "history",
            str(error),
            "jobtui history verify reports more; make a copy before a repair",
        )
    if kept.damage:
        more = f" (and {len(kept.damage) - 1} more)" if len(kept.damage) > 1 else ""
        advice = "jobtui history verify reports all of it, jobtui history repair repairs what it can"
        return Finding(CheckLevel.WARN, "history", f"damaged: {kept.damage[0]}{more}", advice)
    live = f", {kept.live} queued or running" if kept.live else ""
    if kept.interrupted:
        live += f", {kept.interrupted} interrupted when its jobtui ended, which the next start records"
    result = f"the last job is {kept.last_id}{live}" if kept.last_id else "no jobs yet"
    return Finding(CheckLevel.OK, "history", result)


def check_spaces(profile: Profile) -> Iterator[Finding]:
    """Check whether the list of spaces can be read, and whether their databases exist. Opens none."""
    from jobtui.engine.health import check_catalog

    try:
        count, damage, missing = check_catalog(profile)
    except StorageError as error:
        advice = "let your user read it, or move it away: the next start then lists the spaces on the hosts"
        yield Finding(CheckLevel.BAD, "spaces", str(error), advice)
        return
    if damage:
        advice = "the next start lists the spaces on the hosts again; adopt others again (CREATE SPACE … AT)"
        yield Finding(CheckLevel.WARN, "spaces", damage, advice)
    for problem in missing:
        advice = "mount its disk or bring a backup back, or remove the space with DROP SPACE"
        yield Finding(CheckLevel.BAD, "spaces", problem, advice)
    if count and not damage and not missing:
        yield Finding(CheckLevel.OK, "spaces", format_count(count, "space"))


def check_schedules(profile: Profile) -> Iterator[Finding]:
    """Check whether the profile's schedules can be read, and whether a process runs them."""
    from jobtui.engine.reader import is_owned
    from jobtui.engine.schedules import FILE, load_schedules

    loaded = load_schedules(profile.history)
    if loaded.refusal or loaded.damage:
        problem = loaded.refusal or f"{FILE}: {loaded.damage}"
        advice = "the next owner of the profile keeps a copy in quarantine/, and what is left"
        yield Finding(CheckLevel.WARN, "schedules", problem, "" if loaded.refusal else advice)
    if loaded.warning:
        yield Finding(CheckLevel.WARN, "schedules", loaded.warning, "RESUME SCHEDULE then lets it run again")
    active = [schedule for schedule in loaded.schedules.values() if not schedule.paused]
    if not active:
        return
    count = format_count(len(active), "active schedule")
    if is_owned(profile):
        yield Finding(CheckLevel.OK, "schedules", count)
        return
    result = f"{count}, and no process runs this profile: none will start"
    yield Finding(CheckLevel.WARN, "schedules", result, describe_autostart(profile))


def check_notifications(settings: NotifySettings) -> Iterator[Finding]:
    """Check whether the targets of the notifications can be used. Nothing is sent."""
    if settings == NotifySettings():
        return
    if not settings.targets:
        advice = "set command or url in the table [notify]"
        yield Finding(CheckLevel.WARN, "notify", "neither a command nor a url is set: nothing is sent", advice)
        return
    if not settings.on:
        advice = 'name events, like on = ["failed"], or delete the line for the default'
        yield Finding(CheckLevel.WARN, "notify", "on is empty: nothing is sent", advice)
        return
    problems = []
    if settings.command and shutil.which(settings.command[0]) is None:
        found = "cannot be executed" if _exists(Path(settings.command[0])) else "does not exist"
        problems.append(f"the command {settings.command[0]} {found}")
    if settings.url is not None:
        try:
            settings.url.read()
        except UrlError as error:
            problems.append(str(error))
    for problem in problems:
        advice = "correct the table [notify]; jobtui notify test then sends a message"
        yield Finding(CheckLevel.BAD, "notify", problem, advice)
    if not problems:
        result = f"{settings.shown_targets}; jobtui notify test sends a message"
        yield Finding(CheckLevel.OK, "notify", result)


def check_storage(*fallbacks: Path) -> Finding:
    """Check whether RocksDB works here."""
    from jobtui.engine.health import probe_storage
    from jobtui.errors import ProbeFailed

    advice = "pip install --force-reinstall rocksdict; its wheel must match this Python and this system"
    try:
        probe_storage(*fallbacks)
    except FileNotFoundError as error:
        return Finding(
            CheckLevel.WARN, "rocksdb", f"not tested: {error.strerror}", "TMPDIR can name a directory for it"
        )
    except (StorageError, StoreError, ProbeFailed, OSError) as error:
        return Finding(CheckLevel.BAD, "rocksdb", str(error), advice)
    return Finding(CheckLevel.OK, "rocksdb", "a worker started, wrote, flushed and compacted")


def check_cluster(profile: Profile) -> Finding:
    """Check whether the profile's cluster answers."""
    from jobtui.engine.health import find_dead_graphds, probe_cluster

    assert profile.cluster is not None
    where = ", ".join(map(str, profile.cluster.addresses)) or "its storage hosts"
    advice = "check the addresses, the user and the password: docs/nebulagraph.md, Connecting"
    try:
        link, hosts = probe_cluster(profile, CLUSTER_SECONDS)
    except (StorageError, StoreError, OSError) as error:
        return Finding(CheckLevel.BAD, "cluster", f"{where}: {error}", advice)
    if link is not None and link.state is not ConnectionState.CONNECTED:
        return Finding(CheckLevel.BAD, "cluster", f"{where}: {link.state}: {link.detail}", advice)
    dead = find_dead_graphds(profile)
    answering = link.address if dead and link is not None else where
    result = f"{answering} answers, {format_count(len(hosts), 'storage host')}{_describe_hosts(hosts)}"
    result += "".join(f"; graphd {address} does not answer: {problem}" for address, problem in dead.items())
    is_any_down = bool(dead) or any(not host.up for host in hosts)
    steps = ["start those that are offline, or wait for them"] if is_any_down else []
    unconfigured = [host.name for host in hosts if host.unconfigured]
    if unconfigured:
        entries = ", ".join(f'"{name}" = "{name.rpartition(":")[0]}:PORT"' for name in unconfigured)
        steps.append(f"storaged = {{ {entries} }} in the profile gives their HTTP ports")
    return Finding(CheckLevel.WARN if steps else CheckLevel.OK, "cluster", result, "; ".join(steps))


def _describe_hosts(hosts: Sequence[Host]) -> str:
    """Return the state of each host that is not online, with the reason, and the number of the others."""
    states = [f"{host.name}: {_describe_state(host)}" for host in hosts if not host.up or host.unconfigured]
    return "".join(f"; {state}" for state in [*states, f"{len(hosts) - len(states)} online"] if hosts)


def _describe_state(host: Host) -> str:
    if host.unconfigured or not host.detail:
        return host.state
    return host.detail if host.detail.startswith(host.state) else f"{host.state} ({host.detail})"


def _nearest(directory: Path) -> Path:
    """Return the directory, or its nearest parent that exists."""
    here = directory.absolute()
    return next(path for path in (here, *here.parents) if _exists(path))


def _exists(path: Path) -> bool:
    """Return whether the path exists; False also if its directory cannot be read."""
    try:
        return path.exists()
    except OSError:
        return False


def _write_problem(directory: Path) -> str:
    """Return why a directory cannot be written, "" if it can."""
    if not directory.is_dir():
        return f"cannot be used: {directory} is not a directory"
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return f"cannot be written: {describe_os_error(error, directory)}"

"""The parsers of the settings' values, from TOML to the program's types.

A parser gets the value and the directory of the config file, from which relative directories start. Its
InvalidValue completes the sentence "task_timeout must be …".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from jobtui.engine.advice import AdviceThresholds
from jobtui.engine.notify_settings import NotifyOn, NotifyUrl, url_problem
from jobtui.model import DiskReserve
from jobtui.suggest import did_you_mean

MIN_STEP_SIZE = 16 << 20  # the size of one file of jobtui's own databases
DEFAULT_ADVICE = '{ gain = "20%", deletions = "20%", l0_files = 8, memtable = 67108864 }'
SettingParser = Callable[[object, Path], object]


PROFILE_COLORS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple")
PROFILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"
PROFILE_NAME_RULE = "a profile is named with at most 64 ASCII letters, digits, '_' and '-'"
PASSWORD_RULE = (
    'where the password is: "env:VARIABLE", "keyring" or "keyring:SERVICE". The password itself does not '
    "belong in a file that is copied and shown"
)
TLS_FILES = ("ca", "certificate", "key")
_URL_VARIABLE = r"env:[A-Za-z_][A-Za-z0-9_]*"
_PASSWORD = r"env:[A-Za-z_][A-Za-z0-9_]*|keyring(?::[^\x00-\x1f\x7f]{1,255})?"
_HEX_COLOR = r"#[0-9a-fA-F]{6}"
_HOST_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"


class InvalidValue(Exception):
    """A value that a setting does not accept; the text completes "… must be"."""


def parse_profile(value: object, base: Path) -> str:
    """Return a name that is safe as a directory's name."""
    if isinstance(value, str) and re.fullmatch(PROFILE_NAME, value):
        return value
    if isinstance(value, dict):  # [profile.prod]
        meant = next((name for name in value if re.fullmatch(PROFILE_NAME, name)), "NAME")
        raise InvalidValue(f"the name of a profile in quotes; did you mean [profiles.{meant}]?")
    raise InvalidValue(f"the name of a profile in quotes ({PROFILE_NAME_RULE})")


def parse_directory(value: object, base: Path) -> Path | None:
    """Return a directory, which may begin with `~`; None for the empty text."""
    if not isinstance(value, str) or "\0" in value:
        raise InvalidValue('a directory in quotes, or "" for the default')
    try:
        return base / Path(value).expanduser() if value else None
    except RuntimeError:
        raise InvalidValue(
            f"a directory that can be found: no user has the home {value.split('/')[0]}"
        ) from None


def parse_text(value: object, base: Path) -> str:
    """Return a text."""
    if isinstance(value, str):
        return value
    raise InvalidValue("a text in quotes")


def parse_bool(value: object, base: Path) -> bool:
    """Return true or false."""
    if isinstance(value, bool):
        return value
    raise InvalidValue("true or false")


def choice_parser(*words: str, convert: Callable[[str], object] = str) -> SettingParser:
    """Return a parser of one of some words, which `convert` turns into the setting's value."""

    def read(value: object, base: Path) -> object:
        if isinstance(value, str) and value in words:
            return convert(value)
        raise InvalidValue(" or ".join(f'"{word}"' for word in words))

    return read


def parse_keymap(value: object, base: Path) -> dict[str, str]:
    """Return the keys of commands by id."""
    rule = 'a table of commands and their keys, like { stop = "s,delete" }'
    if not isinstance(value, dict):
        raise InvalidValue(rule)
    for command, keys in value.items():
        if not (isinstance(keys, str) and keys):
            raise InvalidValue(f"{rule}: {command!r} is given no keys in quotes")
    return value


def parse_views(value: object, base: Path) -> dict[str, str]:
    """Return filters by the names that the palette shows."""
    if isinstance(value, dict) and all(isinstance(text, str) and text for text in value.values()):
        return value
    raise InvalidValue('a table of names and filters, like { "slow" = "took:>1h" }')


def parse_themes(value: object, base: Path) -> dict[str, dict[str, str]]:
    """Return the colors of themes by the themes' names."""
    if isinstance(value, dict) and all(
        isinstance(colors, dict) and all(isinstance(color, str) for color in colors.values())
        for colors in value.values()
    ):
        return value
    raise InvalidValue('a table of themes, like { mine = { base = "light", accent = "#9b5300" } }')


def parse_color(value: object, base: Path) -> str:
    """Return the color of a profile, "" for none."""
    if value in ("", *PROFILE_COLORS) or (isinstance(value, str) and re.fullmatch(_HEX_COLOR, value)):
        return str(value)
    raise InvalidValue(f'{", ".join(PROFILE_COLORS)} or a color like "#c01f3a", in quotes')


def integer_parser(low: int, high: int) -> Callable[[object, Path], int]:
    """Return a parser of whole numbers from `low` to `high`, both included."""

    def read(value: object, base: Path) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise InvalidValue(f"a whole number from {low} to {high}")

    return read


def parse_seconds(value: object, base: Path) -> float | None:
    """Return a duration in seconds, None for 0."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value) or None
    if isinstance(value, str):
        from jobtui.language.quantities import QuantityError, parse_duration  # late: rarely used

        with suppress(QuantityError):
            return float(parse_duration(value)) or None
    raise InvalidValue('a number of seconds, or a text like "90 s", "15 min" or "2 h"')


def parse_rate(value: object, base: Path) -> int | None:
    """Return bytes per second, None for 0."""
    size = _size(value)
    if size is None:
        raise InvalidValue('a number of bytes per second, or a text like "50 MiB"')
    return size or None


def parse_step_size(value: object, base: Path) -> int:
    """Return the bytes of a compaction's step."""
    size = _size(value)
    if size is None or size < MIN_STEP_SIZE:
        raise InvalidValue(f'a size of at least {MIN_STEP_SIZE >> 20} MiB, like "80 MiB"')
    return size


def parse_min_free(value: object, base: Path) -> DiskReserve:
    """Return the part of a disk that stays free."""
    if (share := _share(value)) is not None:
        return DiskReserve(share=share)
    if (size := _size(value)) is not None:
        return DiskReserve(bytes=size)
    raise InvalidValue('a share of the disk or a size, like "5%" or "10 GiB"')


def parse_advice(value: object, base: Path) -> AdviceThresholds:
    """Return the thresholds of the advice; one that the table does not name keeps its default."""
    if not isinstance(value, dict):
        raise InvalidValue(f"a table like {DEFAULT_ADVICE}")
    read: dict[str, Any] = {}
    for name, one in value.items():
        match name:
            case "gain" | "deletions":
                # a threshold of 0 % would recommend every compaction
                read[name], rule = _share(one) or None, 'a share above 0%, like "20%"'
            case "l0_files":
                is_count = isinstance(one, int) and not isinstance(one, bool) and one > 0
                read[name], rule = one if is_count else None, "a whole number from 1 on"
            case "memtable":
                read[name], rule = _size(one), 'a size, like "64 MiB"'
            case _:
                raise InvalidValue(f"a table of gain, deletions, l0_files and memtable: there is no {name!r}")
        if read[name] is None:
            raise InvalidValue(f"a table in which {name} is {rule}")
    return AdviceThresholds(**read)


def parse_notify_on(value: object, base: Path) -> tuple[NotifyOn, ...]:
    """Return the kinds of notifications."""
    kinds = [str(kind) for kind in NotifyOn]
    if not isinstance(value, list):
        raise InvalidValue('a list like ["failed", "slow"]')
    for word in value:
        if word not in kinds:
            near = did_you_mean(str(word), kinds)
            hint = f"did you mean '{near}'?" if near else f"there are {', '.join(kinds)}"
            raise InvalidValue(f"a list of events: there is no {word!r}; {hint}")
    return tuple(NotifyOn(word) for word in dict.fromkeys(value))


def parse_command(value: object, base: Path) -> tuple[str, ...]:
    """Return a program and its arguments; the path of a program starts from the config's directory.

    An invalid value is not repeated in a message: an argument may be a token.
    """
    import shlex  # late: 2 ms, and few configs have a command

    rule = 'a program and its arguments, like "/usr/local/bin/page --team storage"'
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:
        raise InvalidValue(f"{rule}: a quote is not closed") from None
    if not isinstance(words, list) or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise InvalidValue(f"{rule}, or a list of these words")
    if not words:
        return ()
    if not words[0]:
        raise InvalidValue(rule)
    try:
        program = Path(words[0]).expanduser()
    except RuntimeError:
        raise InvalidValue("a program that can be found: there is no home directory for its ~") from None
    # a bare name is looked up in PATH
    return (str(base.absolute() / program) if "/" in words[0] else words[0], *words[1:])


def parse_notify_url(value: object, base: Path) -> NotifyUrl | None:
    """Return the address of a web hook.

    A message never repeats an invalid value: it may hold a token.
    """
    if value == "":
        return None
    if not isinstance(value, str):
        raise InvalidValue('a URL in quotes, like "https://hooks.example.com/…", or "env:VARIABLE"')
    if value.startswith("env:"):
        if not re.fullmatch(_URL_VARIABLE, value):
            raise InvalidValue('a URL, or "env:" and the name of an environment variable')
        return NotifyUrl(variable=value.removeprefix("env:"))
    if problem := url_problem(value):
        raise InvalidValue(f"a URL that can be used: {problem}")
    return NotifyUrl(value)


def _size(value: object) -> int | None:
    """Return bytes from a whole number or a text like "50 MiB", None from anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    if isinstance(value, str):
        from jobtui.language.quantities import QuantityError, parse_size  # late, here and below: rarely used

        with suppress(QuantityError):
            return parse_size(value)
    return None


def _share(value: object) -> float | None:
    """Return a share, 0..1, from a text like "5%", None from anything else."""
    if isinstance(value, str):
        from jobtui.language.quantities import QuantityError, parse_share

        with suppress(QuantityError):
            return parse_share(value)
    return None


def parse_hosts(value: object, base: Path) -> dict[str, Path | None]:
    """Return storage hosts with their directories, None for one in the profile's directory."""
    if not isinstance(value, dict):
        raise InvalidValue('a table of hosts and their directories, like { local0 = "/disk0", local1 = "" }')
    read: dict[str, Path | None] = {}
    for name, place in value.items():
        if not re.fullmatch(_HOST_NAME, name):
            raise InvalidValue(
                f"a table whose hosts are named with ASCII letters, digits, '.', '_', '-', not {name!r}"
            )
        try:
            read[name] = parse_directory(place, base)
        except InvalidValue as error:
            raise InvalidValue(f"a table in which {name} has {error}") from None
    given = [place for place in read.values() if place is not None]
    if len(set(given)) < len(given):
        raise InvalidValue("a table in which no two hosts share a directory")
    return read


def parse_wal_directories(value: object, base: Path) -> dict[str, Path]:
    """Return the WAL directories of adopted databases, by the database's directory."""
    if not isinstance(value, dict):
        raise InvalidValue('a table of databases and their WAL directories, like { "/srv/db" = "/fast/wal" }')
    read: dict[str, Path] = {}
    for database, place in value.items():
        found, wal = parse_directory(database, base), parse_directory(place, base)
        if found is None or wal is None:
            raise InvalidValue("a table without an empty directory")
        read[os.path.normpath(found)] = wal
    return read


def parse_directories(value: object, base: Path) -> tuple[str, ...]:
    """Return directories, which may begin with `~`."""
    if not isinstance(value, list):
        raise InvalidValue('a list of directories, like ["/srv/db"]')
    read = [parse_directory(one, base) for one in value]
    if None in read:
        raise InvalidValue("a list without an empty directory")
    return tuple(os.path.normpath(one) for one in read if one is not None)


# The settings of a cluster are validated and stay as in the file, so that a config without a cluster imports
# nothing of it; `build_cluster_settings` converts them for the engine.


def parse_cluster(value: object, base: Path) -> str:
    """Return the kind of a cluster, "" for none."""
    if value in ("", "nebula"):
        return str(value)
    raise InvalidValue('"nebula", or "" for embedded storage')


def parse_user(value: object, base: Path) -> str:
    """Return a user's name."""
    if not isinstance(value, str) or not value:
        raise InvalidValue("a user's name in quotes")
    if ":" in value:  # user:password, as other tools accept it: the message must not repeat it
        raise InvalidValue("a user's name alone, without a password")
    return value


def parse_password(value: object, base: Path) -> str:
    """Return the source of a password.

    No message repeats an invalid value: it may be the password itself.
    """
    if isinstance(value, str) and re.fullmatch(_PASSWORD, value):
        return value
    raise InvalidValue(PASSWORD_RULE)


def parse_addresses(value: object, base: Path) -> tuple[str, ...]:
    """Return the addresses of graphds."""
    if not isinstance(value, list):
        raise InvalidValue('a list of addresses, like ["10.0.0.1:9669", "10.0.0.2:9669"]')
    return tuple(check_address(one) for one in value)


def parse_storaged(value: object, base: Path) -> dict[str, str]:
    """Return the HTTP addresses of storage hosts that do not use the default port."""
    if not isinstance(value, dict):
        raise InvalidValue('a table of hosts and their HTTP addresses, like { host5 = "10.0.0.5:19789" }')
    return {host: check_address(one) for host, one in value.items()}


def parse_spaces(value: object, base: Path) -> dict[str, tuple[str, ...]]:
    """Return the hosts of each space."""
    rule = 'a table of spaces and the hosts of each, like { nba = ["10.0.0.5", "10.0.0.6"] }'
    if not isinstance(value, dict):
        raise InvalidValue(rule)
    for hosts in value.values():
        if (
            not isinstance(hosts, list)
            or not hosts
            or not all(isinstance(host, str) and host for host in hosts)
        ):
            raise InvalidValue(rule)
    return {space: tuple(hosts) for space, hosts in value.items()}


def parse_tls(value: object, base: Path) -> bool | dict[str, Path | str]:
    """Return whether TLS is used, or its files; a relative path starts from the config's directory."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
        raise InvalidValue('true, false, or a table like { ca = "ca.pem" }')
    if unknown := sorted(value.keys() - {*TLS_FILES, "server_name"}):
        raise InvalidValue(f"a table of ca, certificate, key and server_name: there is no {unknown[0]}")
    if "key" in value and "certificate" not in value:
        raise InvalidValue("a table with a certificate for its key")
    try:
        return {
            name: base / Path(one).expanduser() if name in TLS_FILES else one for name, one in value.items()
        }
    except RuntimeError:
        raise InvalidValue("files that can be found: there is no home directory for their ~") from None


def parse_address_list(words: str) -> tuple[str, ...]:
    """Return the addresses of graphds from the form of the command line: `10.0.0.1,10.0.0.2:9669`."""
    # late, here and below: only a cluster needs the NebulaGraph backend
    from jobtui.storage.nebula.settings import Address

    return tuple(str(Address.parse(check_address(one))) for one in words.split(","))


def check_address(value: object) -> str:
    """Return an address. Raises InvalidValue, without the value: it may contain a password."""
    from jobtui.storage.nebula.settings import Address

    if not isinstance(value, str) or "@" in value:
        raise InvalidValue('addresses in quotes, like "10.0.0.1:9669", without a user\'s name or a password')
    try:
        Address.parse(value)
    except ValueError as error:
        raise InvalidValue(f"addresses that can be used: {error}") from None
    return value

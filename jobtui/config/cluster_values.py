"""The kinds of values that a cluster's settings take; see values.py.

They are kept as the file writes them, once it is sure that they can be used, so that a file without a
cluster costs nothing; clusters.py makes of them what the engine needs.
"""

from __future__ import annotations

import re
from pathlib import Path

from jobtui.config.values import UnsuitableError

PASSWORD_RULE = (
    'where the password is: "env:VARIABLE", "keyring" or "keyring:SERVICE". The password itself has no place '
    "in a file that is copied and shown"
)
TLS_FILES = ("ca", "certificate", "key")
_PASSWORD = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|keyring(?::[^\x00-\x1f\x7f]{1,255})?")


def cluster(value: object, base: Path) -> str:
    """What kind of cluster, "" for none."""
    if value in ("", "nebula"):
        return str(value)
    raise UnsuitableError('"nebula", or "" for embedded storage')


def run(value: object, base: Path) -> str:
    """Who runs the jobs."""
    if value in ("cluster", "storaged"):
        return str(value)
    raise UnsuitableError('"cluster" or "storaged"')


def user(value: object, base: Path) -> str:
    """A user's name."""
    if not isinstance(value, str) or not value:
        raise UnsuitableError("a user's name in quotes")
    if ":" in value:  # user:password, as other tools take it: what follows is never repeated
        raise UnsuitableError("a user's name alone, without a password")
    return value


def password(value: object, base: Path) -> str:
    """Where a password is. What was written instead is never repeated: it may be the password."""
    if isinstance(value, str) and _PASSWORD.fullmatch(value):
        return value
    raise UnsuitableError(PASSWORD_RULE)


def addresses(value: object, base: Path) -> tuple[str, ...]:
    """Addresses of graphds."""
    if not isinstance(value, list):
        raise UnsuitableError('a list of addresses, like ["10.0.0.1:9669", "10.0.0.2:9669"]')
    return tuple(address(one) for one in value)


def storaged(value: object, base: Path) -> dict[str, str]:
    """The HTTP address of each storage host that needs one of its own."""
    if not isinstance(value, dict):
        raise UnsuitableError('a table of hosts and their HTTP addresses, like { host5 = "10.0.0.5:19789" }')
    return {host: address(one) for host, one in value.items()}


def spaces(value: object, base: Path) -> dict[str, tuple[str, ...]]:
    """The hosts of each space."""
    rule = 'a table of spaces and the hosts of each, like { nba = ["10.0.0.5", "10.0.0.6"] }'
    if not isinstance(value, dict):
        raise UnsuitableError(rule)
    for hosts in value.values():
        if (
            not isinstance(hosts, list)
            or not hosts
            or not all(isinstance(host, str) and host for host in hosts)
        ):
            raise UnsuitableError(rule)
    return {space: tuple(hosts) for space, hosts in value.items()}


def tls(value: object, base: Path) -> bool | dict[str, Path | str]:
    """Whether TLS is spoken, and with which files; a relative one starts from the config's directory."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, dict) or not all(isinstance(one, str) and one for one in value.values()):
        raise UnsuitableError('true, false, or a table like { ca = "ca.pem" }')
    if unknown := sorted(value.keys() - {*TLS_FILES, "server_name"}):
        raise UnsuitableError(f"a table of ca, certificate, key and server_name: there is no {unknown[0]}")
    if "key" in value and "certificate" not in value:
        raise UnsuitableError("a table with a certificate for its key")
    try:
        return {
            name: base / Path(one).expanduser() if name in TLS_FILES else one for name, one in value.items()
        }
    except RuntimeError:
        raise UnsuitableError("files that can be found: there is no home directory for their ~") from None


def addresses_with_ports(words: str) -> tuple[str, ...]:
    """The addresses of graphds as the command line has them: `10.0.0.1,10.0.0.2:9669`."""
    from jobtui.storage.nebula.settings import Address

    return tuple(str(Address.parse(address(one))) for one in words.split(","))


def address(value: object) -> str:
    """One address. Raises UnsuitableError, which doesn't repeat what may hold a password."""
    from jobtui.storage.nebula.settings import Address

    if not isinstance(value, str) or "@" in value:
        raise UnsuitableError('addresses in quotes, like "10.0.0.1:9669", without a user\'s name or a password')
    try:
        Address.parse(value)
    except ValueError as error:
        raise UnsuitableError(f"addresses that can be used: {error}") from None
    return value

"""What has to be known of a NebulaGraph cluster to work on it. Plain data: nothing is connected or imported.

A password is never a field that could be printed: it is named by its source, read when a session is
opened, and wrapped in a `Secret` until the moment it is sent.
"""

from __future__ import annotations

import enum
import importlib
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from jobtui.errors import ErrorCode, StorageError
from jobtui.os_errors import reason_of

PASSWORD_VARIABLE = "JOBTUI_NEBULA_PASSWORD"
GRAPHD_PORT = 9669
STORAGED_HTTP_PORT = 19779


class RunMode(enum.StrEnum):
    """Who runs a job: the cluster's own job manager, or our engine through each storaged's HTTP port."""

    CLUSTER = "cluster"
    STORAGED = "storaged"


class Secret:
    """A text that no repr, log or error shows. Only `reveal` gives it out."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def hidden_in(self, words: str) -> str:
        """The words without the secret, should somebody have repeated it."""
        return words.replace(self._text, "…") if self._text else words

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


class PasswordSource(Protocol):
    """Where a password comes from. `read` may block and raises StorageError (access) where there is none."""

    def read(self) -> Secret:
        """The password as it is now."""
        ...


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """The value of an environment variable."""

    variable: str = PASSWORD_VARIABLE

    def read(self) -> Secret:
        """See `PasswordSource.read`."""
        try:
            return Secret(os.environ[self.variable])
        except KeyError:
            raise _no_password(f"the environment variable {self.variable} is not set") from None


@dataclass(frozen=True, slots=True)
class FromKeyring:
    """An entry of the system's keyring, read with the package `keyring` where that is installed."""

    service: str
    user: str

    def read(self) -> Secret:
        """See `PasswordSource.read`."""
        try:
            keyring = importlib.import_module("keyring")
        except ImportError:
            raise _no_password("reading the system's keyring needs the package 'keyring'") from None
        try:
            password = keyring.get_password(self.service, self.user)
        except keyring.errors.KeyringError as error:
            raise _no_password(f"the keyring can't be read: {error}") from None
        if password is None:
            raise _no_password(f"the keyring has no entry for '{self.user}' of '{self.service}'")
        return Secret(password)


@dataclass(frozen=True, slots=True)
class LiteralPassword:
    """A password that was handed over, by a prompt for instance."""

    password: Secret

    def read(self) -> Secret:
        """See `PasswordSource.read`."""
        return self.password


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A server's host and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, port: int = GRAPHD_PORT) -> Address:
        """`host`, `host:port`, `[::1]` or `[::1]:port`. Raises ValueError that says what is wrong."""
        match = _ADDRESS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"'{_shown(text)}' is no address: write host:port, like 10.0.0.1:{port}")
        number = int(match["port"]) if match["port"] else port
        if not 0 < number < 65536:
            raise ValueError(f"'{text}' has a port that is not between 1 and 65535")
        return cls(match["six"] or match["host"], number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _shown(text: str) -> str:
    """What is no address, without what stands where a password may: after a colon, or before an @."""
    host, colon, rest = text.rpartition("@")[2].partition(":")
    return f"{host}{colon}{rest if rest.isdigit() else '…' if rest else ''}"


_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/@]+))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS with graphd.

    `ca`: the file of certificates to trust (None: the system's). `certificate` and `key`: our own, where
    graphd asks for one. `server_name`: the name in graphd's certificate, where it is not the address's host.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """The settings as Python's ssl takes them. Raises StorageError (access) where a file can't be used."""
        trusted = "the system's certificates" if self.ca is None else str(self.ca)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise StorageError(
                ErrorCode.ACCESS, "", "", f"TLS: {trusted} can't be used: {reason_of(error)}"
            ) from None
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
            except (OSError, _NeedsPassphrase) as error:
                text = f"TLS: {self.certificate} can't be used: {reason_of(error)}"
                raise StorageError(ErrorCode.ACCESS, "", "", text) from None
        return context


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """A NebulaGraph cluster and how to work on it. Raises ValueError where the parts don't fit together.

    `name` is what a job's origin is recorded under. `addresses` are the graphds', tried in turn; they may
    be missing only where `run` is STORAGED and `spaces` says which hosts hold each space: so it is with a
    1.x cluster, whose graphd can't be spoken to. A storage host's HTTP port is `storaged_port`, or the
    address that `storaged` gives for it. Timeouts are in seconds: `connect_timeout` for a connection
    and its greeting, `answer_timeout` for an answer of graphd (a storaged's has none: it comes when the work
    is done).
    """

    name: str = "nebula"
    addresses: tuple[Address, ...] = ()
    user: str = "root"
    password: PasswordSource = field(default_factory=FromEnvironment)
    tls: Tls | None = None
    run: RunMode = RunMode.CLUSTER
    storaged_port: int = STORAGED_HTTP_PORT
    storaged: Mapping[str, Address] = field(default_factory=dict)
    spaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    connect_timeout: float = 5.0
    answer_timeout: float = 30.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the cluster needs a name")
        if self.run is RunMode.CLUSTER and self.spaces:
            raise ValueError('spaces can be given only with run = "storaged": the cluster tells its own')
        if not self.addresses and not self.spaces:
            raise ValueError('the address of a graphd is missing, or, with run = "storaged", the spaces')
        for space, hosts in self.spaces.items():
            if not hosts or len(set(hosts)) < len(hosts):
                raise ValueError(f"the space '{space}' needs hosts, each named once")
        if self.connect_timeout <= 0 or self.answer_timeout <= 0:
            raise ValueError("a timeout must be more than 0 seconds")


class _NeedsPassphrase(Exception):
    pass


def _no_passphrase() -> NoReturn:
    # without this OpenSSL would ask for the key's passphrase on the terminal, in the middle of the screen
    raise _NeedsPassphrase("its key has a passphrase, which can't be given here")


def _no_password(detail: str) -> StorageError:
    return StorageError(ErrorCode.ACCESS, "", "", f"no password: {detail}")

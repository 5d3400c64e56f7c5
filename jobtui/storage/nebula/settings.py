"""The settings of a NebulaGraph cluster as plain data.

Nothing is connected or imported here.

A password is never a field that could be printed. The settings name its source; it is read when a session is
opened, and wrapped in a `Secret` until it is sent.
"""

from __future__ import annotations

import enum
import importlib
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Protocol

import msgspec

from jobtui.errors import ErrorCode, StorageError
from jobtui.os_errors import bare_reason

PASSWORD_VARIABLE = "JOBTUI_NEBULA_PASSWORD"
GRAPHD_PORT = 9669
STORAGED_HTTP_PORT = 19779


class RunMode(enum.StrEnum):
    """The runner of jobs: the cluster's job manager, or the engine over each storaged's port."""

    CLUSTER = "cluster"
    STORAGED = "storaged"


class Secret:
    """A text that no repr, log or error shows. Only `reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the code that sends it."""
        return self._text

    def hide_in(self, message: str) -> str:
        """Return a message without the secret, in case a server has repeated it."""
        return message.replace(self._text, "…") if self._text else message

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


class PasswordSource(Protocol):
    """A source of a password."""

    def read(self) -> Secret:
        """Return the current password. May block. Raises StorageError (access) if there is none."""
        ...


class EnvironmentPassword(msgspec.Struct, frozen=True):
    """A password in an environment variable."""

    variable: str = PASSWORD_VARIABLE

    def read(self) -> Secret:
        """Return the value of the variable. Raises StorageError (access)."""
        try:
            return Secret(os.environ[self.variable])
        except KeyError:
            raise _no_password(f"the environment variable {self.variable} is not set") from None


class KeyringPassword(msgspec.Struct, frozen=True):
    """A password in the system's keyring, read with the optional package `keyring`."""

    service: str
    user: str

    def read(self) -> Secret:
        """Return the password of the entry; the keyring may ask the user.

        Raises StorageError (access).
        """
        try:
            keyring = importlib.import_module("keyring")
        except ImportError:
            raise _no_password("reading the system's keyring needs the package 'keyring'") from None
        try:
            password = keyring.get_password(self.service, self.user)
        except keyring.errors.KeyringError as error:
            raise _no_password(f"the keyring cannot be read: {error}") from None
        if password is None:
            raise _no_password(f"the keyring has no entry for '{self.user}' of '{self.service}'")
        return Secret(password)


class LiteralPassword(msgspec.Struct, frozen=True):
    """A password that was given as text, for instance at a prompt."""

    password: Secret

    def read(self) -> Secret:
        """Return the password."""
        return self.password


class Address(msgspec.Struct, frozen=True, order=True):
    """A server's host and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, port: int = GRAPHD_PORT) -> Address:
        """Parse `host`, `host:port`, `[::1]` or `[::1]:port`. Raises ValueError with the reason."""
        match = _ADDRESS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"'{_shown(text)}' is not an address: write host:port, like 10.0.0.1:{port}")
        number = int(match["port"]) if match["port"] else port
        if not 0 < number < 65536:
            raise ValueError(f"'{text}' has a port that is not between 1 and 65535")
        return cls(match["six"] or match["host"], number)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _shown(text: str) -> str:
    """Return an invalid address without the parts that could be a password."""
    host, colon, rest = text.rpartition("@")[2].partition(":")
    return f"{host}{colon}{rest if rest.isdigit() else '…' if rest else ''}"


_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/@]+))(?::(?P<port>\d{1,5}))?")


class Tls(msgspec.Struct, frozen=True):
    """The TLS settings for graphd.

    Attributes:
        ca: The file of certificates to trust, None for the system's.
        certificate: The client certificate, if graphd requires one.
        key: The certificate's private key, None if it is in the same file.
        server_name: The name in graphd's certificate, "" if it is the host of the address.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """Return an SSL context with these settings.

        Raises StorageError (access) if a file cannot be used.
        """
        trusted = "the system's certificates" if self.ca is None else str(self.ca)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise StorageError(
                ErrorCode.ACCESS, "", "", f"TLS: {trusted} cannot be used: {bare_reason(error)}"
            ) from None
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
            except (OSError, _NeedsPassphrase) as error:
                text = f"TLS: {self.certificate} cannot be used: {bare_reason(error)}"
                raise StorageError(ErrorCode.ACCESS, "", "", text) from None
        return context


class ClusterSettings(msgspec.Struct, frozen=True):
    """A NebulaGraph cluster and how jobtui uses it.

    Raises ValueError if the fields contradict each other.

    Attributes:
        name: The name that a job's `ClusterRef` records.
        addresses: The graphds, tried in turn. They may be empty only if `run` is STORAGED and `spaces` is
            given, as for a cluster of 1.x, whose graphd has another protocol.
        run: What runs the jobs.
        storaged_port: The HTTP port of the storage hosts.
        storaged: The HTTP addresses of storage hosts with another one.
        spaces: The hosts of each space.
        connect_timeout: Seconds for a connection and its first answer.
        answer_timeout: Seconds for an answer of graphd. An answer of storaged has no limit: it comes when the
            work is done.
    """

    name: str = "nebula"
    addresses: tuple[Address, ...] = ()
    user: str = "root"
    password: PasswordSource = msgspec.field(default_factory=EnvironmentPassword)
    tls: Tls | None = None
    run: RunMode = RunMode.CLUSTER
    storaged_port: int = STORAGED_HTTP_PORT
    storaged: Mapping[str, Address] = msgspec.field(default_factory=dict)
    spaces: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    connect_timeout: float = 5.0
    answer_timeout: float = 30.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("the cluster needs a name")
        if self.run is RunMode.CLUSTER and self.spaces:
            raise ValueError('spaces can be given only with run = "storaged": the cluster has its own')
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
    # without this, OpenSSL would ask for the key's passphrase on the terminal, in the middle of the screen
    raise _NeedsPassphrase("its key has a passphrase, which jobtui cannot ask for")


def _no_password(detail: str) -> StorageError:
    return StorageError(ErrorCode.ACCESS, "", "", f"no password: {detail}")

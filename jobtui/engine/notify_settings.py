"""The settings of the notifications: which events are reported, and to whom."""

from __future__ import annotations

import enum
import os
import re

import msgspec

SLOW_AFTER = 3600.0
TIMEOUT = 30.0


class NotifyOn(enum.StrEnum):
    """The kinds of notifications."""

    FAILED = "failed"
    STOPPED = "stopped"
    FINISHED = "finished"
    SLOW = "slow"
    SKIPPED = "skipped"
    PAUSED = "paused"


NOTIFY_ON = (NotifyOn.FAILED, NotifyOn.STOPPED, NotifyOn.SLOW, NotifyOn.SKIPPED, NotifyOn.PAUSED)
"""The kinds that are notified if the settings name none: those that an operator should look at."""


class UrlError(ValueError):
    """A URL that cannot be used. The text does not contain it: it may hold a token."""


class NotifyUrl(msgspec.Struct, frozen=True):
    """The address of a web hook, or the environment variable that holds it.

    It is never printed in full.
    """

    text: str = ""
    variable: str = ""

    def read(self) -> str:
        """Return the URL. Raises UrlError if the variable is not set, or holds no usable URL."""
        if not self.variable:
            return self.text
        if not (text := os.environ.get(self.variable, "")):
            raise UrlError(f"the environment variable {self.variable} is not set")
        if problem := url_problem(text):
            raise UrlError(
                f"the environment variable {self.variable} holds a URL that cannot be used: {problem}"
            )
        return text

    @property
    def shown(self) -> str:
        """The server's address, without what may be secret."""
        return f"the URL in ${self.variable}" if self.variable else server_of(self.text)

    def __repr__(self) -> str:
        return f"NotifyUrl({self.shown!r})"


def server_of(url: str) -> str:
    """Return `https://hooks.example.com`: the path of a web hook is its password."""
    from urllib.parse import urlsplit  # late, here and below: only a profile with a web hook needs it

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def url_problem(url: str) -> str:
    """Return why a URL cannot be used, without repeating it; "" if it can."""
    from urllib.parse import urlsplit

    if not re.fullmatch(r"[!-~]+", url):
        return "it has blanks, control characters or letters that are not ASCII"
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
        # the resolver raises UnicodeError, not OSError, for an empty label or one of more than 63 characters
        (parts.hostname or "").encode("idna")
    except ValueError:
        return "its host or port is not valid"
    if parts.scheme not in ("https", "http") or not parts.hostname or not port_is_valid:
        return 'it must begin like "https://host/"'
    if "@" in parts.netloc:
        return "it must not contain a user's name or a password before the host"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "it must begin with https: others could read and change what http sends over a network"
    return ""


def is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


class NotifySettings(msgspec.Struct, frozen=True):
    """The settings of the notifications.

    Attributes:
        on: The kinds of notifications.
        command: A program and its arguments, none if it is empty.
        url: The web hook, None if there is none.
        slow_after: The seconds after which a running job is slow, None for never.
        timeout: The seconds for the command, and for each attempt to reach the web hook.
    """

    on: tuple[NotifyOn, ...] = NOTIFY_ON
    command: tuple[str, ...] = ()
    url: NotifyUrl | None = None
    slow_after: float | None = SLOW_AFTER
    timeout: float | None = TIMEOUT

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that are set: `command`, `url`."""
        return (*(["command"] if self.command else []), *(["url"] if self.url is not None else []))

    @property
    def shown_targets(self) -> str:
        """The targets as text, without their secrets: arguments and paths may contain tokens."""
        url = [] if self.url is None else [self.url.shown]
        return ", ".join([*(f"the command {word}" for word in self.command[:1]), *url])

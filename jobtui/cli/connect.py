"""Opening and closing an engine for one command, and its errors as plain lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.cli.args import ConfigCommand, ProfileOptions, ServeCommand
from jobtui.cli.errors import CommandError, NoHome, UsageError, profile_error
from jobtui.cli.streams import is_terminal, print_error
from jobtui.config import Config, ConfigError, HomeError, ProfileSettings, chosen_profile, read_config
from jobtui.engine.admission import RunPolicy
from jobtui.engine.client import EngineEvent
from jobtui.engine.local import LocalClient
from jobtui.engine.profile import Profile
from jobtui.engine.queries import no_such_space
from jobtui.engine.reader import ReadOnlyClient
from jobtui.engine.remote import RemoteClient
from jobtui.errors import OwnerUnavailable, StorageError
from jobtui.formatting import printable_lines
from jobtui.history import StoreError
from jobtui.model import Notice

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import ClusterSettings


@contextmanager
def opened(profile: Profile, run: RunPolicy) -> Iterator[LocalClient | RemoteClient]:
    """The profile's engine until the block ends; what its owner lets us do where another process has it.

    Raises CommandError where the profile can't be used, and for what the storage says in the block.
    """
    from jobtui.engine.failover import connect_or_start
    from jobtui.errors import OwnerUnreachable

    try:
        desk = connect_or_start(profile, run=run)
    except OwnerUnreachable as error:
        raise CommandError(f"{error}; nothing was done") from None
    except (StoreError, StorageError) as error:
        raise profile_error(error) from None
    try:
        yield desk
        if isinstance(desk, LocalClient):
            wait_for_remote_jobs(desk)
    except (StoreError, StorageError, OwnerUnavailable) as error:
        raise CommandError(str(error)) from None
    finally:
        desk.close()


def wait_for_remote_jobs(engine: LocalClient) -> None:
    """Stay for jobs that other processes handed in meanwhile: they count on this one."""
    from jobtui.cli.wait import WaitAborted, counted_jobs, waiting_for

    with waiting_for(engine) as waiting:
        try:
            while jobs := waiting.result(engine.leave_if_idle()):
                print_error(
                    f"Staying for {counted_jobs(jobs)}: handed in meanwhile by another jobtui; ctrl+c stops"
                )
                waiting.until_ended(jobs)
        except WaitAborted:
            return


@contextmanager
def notices_told(engine: LocalClient | RemoteClient) -> Iterator[None]:
    """Say on stderr, once the block ends, what the engine had to say meanwhile."""
    notices: SimpleQueue[Notice] = SimpleQueue()

    def hear(messages: Sequence[EngineEvent]) -> None:
        for message in messages:
            if isinstance(message, Notice):
                notices.put(message)

    leave = engine.subscribe(hear)
    try:
        yield
    finally:
        leave()
        while not notices.empty():
            print_error(notices.get().text)


def require_space(engine: LocalClient | ReadOnlyClient, space: str) -> None:
    """Refuse a space that isn't there, with the near miss. Raises CommandError."""
    known = engine.spaces()
    if space not in known:
        raise CommandError(no_such_space(space, known))


# ---- merged from jobtui.cli.profiles: ----
# The settings and the profile that a command line names.
def settings_of(place: ProfileOptions) -> Config:
    """The settings of the config that the command line names, or of the usual one. Raises UsageError."""
    try:
        return read_config(place.config)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def profile_of(place: ProfileOptions, config: Config) -> Profile:
    """The profile that the command line names, or the config's choice; a cluster's password is seen to.

    Raises UsageError.
    """
    if place.nebula is not None:
        profile = _cluster_on(place, place.nebula, config)
    else:
        try:
            name = chosen_profile(config, place.profile)
        except ConfigError as error:
            raise UsageError(str(error)) from None
        profile = _in_a_home(lambda: config.open_profile(name, place.data_dir))
        _must_be_text(profile)
    connects_elsewhere = isinstance(place, ServeCommand) and place.background
    if profile.cluster is None or connects_elsewhere or isinstance(place, ConfigCommand):
        return profile
    return replace(profile, cluster=_with_password(profile.cluster))


def must_be_embedded(profile: Profile) -> None:
    """Refuse a cluster. Raises CommandError."""
    if profile.cluster is not None:
        raise CommandError("pairs are loaded into and dumped from embedded storage only, not a cluster")


def _must_be_text(profile: Profile) -> None:
    """Refuse directories that no record could name. Raises UsageError."""
    for directory in (profile.root, *profile.hosts.values()):
        try:
            str(directory).encode()
        except UnicodeEncodeError:
            raise UsageError(f"the name of the directory {directory} is not UTF-8; take another one") from None


def _cluster_on(place: ProfileOptions, addresses: str, config: Config) -> Profile:
    """A cluster that no config names, in a profile of its own."""
    from jobtui.config.schema import InvalidValue, addresses_with_ports, tls, user

    here = Path.cwd()
    trusted: object = {"ca": place.tls} if place.tls not in (None, "system") else place.tls is not None
    try:
        settings = ProfileSettings(
            cluster="nebula",
            graphd=addresses_with_ports(addresses),
            user=user("root" if place.user is None else place.user, here),
            tls=tls(trusted, here),
        )
    except InvalidValue as error:
        raise UsageError(f"--nebula, -u and --tls must be {error}") from None
    return _in_a_home(lambda: config.open_cluster(settings, place.data_dir))


def _in_a_home(find: Callable[[], Profile]) -> Profile:
    """Return the profile that needs the user's home, unless its data lies elsewhere. Raises NoHome."""
    try:
        return find()
    except HomeError as error:
        raise NoHome(str(error)) from None


def _with_password(cluster: ClusterSettings) -> ClusterSettings:
    """The same cluster; where its password is nowhere, and a person is there, they are asked for it."""
    from jobtui.storage.nebula.settings import FromEnvironment, LiteralPassword, Secret

    source = cluster.password
    is_known = not isinstance(source, FromEnvironment) or source.variable in os.environ
    if is_known or not cluster.addresses or not is_terminal(0):
        return cluster
    import dataclasses
    from getpass import getpass

    try:
        password = getpass(printable_lines(f"Password of {cluster.user} on {cluster.name}: "))
    except EOFError:
        raise UsageError("no password was given") from None
    return dataclasses.replace(cluster, password=LiteralPassword(Secret(password)))

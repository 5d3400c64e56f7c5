"""The settings and the profile that the options of a command name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from jobtui.cli.errors import CommandError, NoHome, UsageError
from jobtui.cli.options import (
    ConfigCommand,
    HistoryCommand,
    LoadCommand,
    ProfileOptions,
    ServeCommand,
    WebCommand,
)
from jobtui.cli.streams import is_terminal
from jobtui.config import Config, ConfigError, HomeError, ProfileSettings, choose_profile, read_config
from jobtui.config.parsers import InvalidValue, parse_address_list, parse_tls, parse_user
from jobtui.engine.profile import Profile
from jobtui.formatting import printable_lines

if TYPE_CHECKING:
    from jobtui.storage.nebula.settings import ClusterSettings


def require_embedded(profile: Profile) -> None:
    """Reject a cluster. Raises CommandError."""
    if profile.cluster is not None:
        raise CommandError("pairs are loaded into and dumped from embedded storage only, not a cluster")


def read_settings(options: ProfileOptions) -> Config:
    """Return the settings of the config file that the options name, or the default.

    Raises UsageError.
    """
    try:
        return read_config(options.config)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def resolve_profile(options: ProfileOptions, config: Config) -> Profile:
    """Return the profile that the options name, or the config's default.

    The user is asked for a cluster's password if the command needs it and it is stored nowhere.

    Raises:
        UsageError: there is no such profile, or it cannot be used.
    """
    if options.nebula is not None:
        profile = _unnamed_cluster(options, options.nebula, config)
    else:
        try:
            name = choose_profile(config, options.profile)
        except ConfigError as error:
            raise UsageError(str(error)) from None
        profile = _with_home(lambda: config.build_profile(name, options.data_dir))
        _require_utf8(profile)
    if options.read_only:
        profile = replace(profile, read_only=True)
    if profile.read_only and (isinstance(options, ServeCommand | LoadCommand) or _repairs(options)):
        raise UsageError(f"{profile.read_only_reason}; nothing was done")
    connects_elsewhere = isinstance(options, WebCommand) or (
        isinstance(options, ServeCommand) and options.background
    )
    if profile.cluster is None or connects_elsewhere or isinstance(options, ConfigCommand):
        return profile
    return replace(profile, cluster=_with_password(profile.cluster))


def _repairs(options: ProfileOptions) -> bool:
    return isinstance(options, HistoryCommand) and options.action == "repair"


def _require_utf8(profile: Profile) -> None:
    """Reject directories whose name cannot be stored in a record. Raises UsageError."""
    for directory in (profile.root, *profile.hosts.values()):
        try:
            str(directory).encode()
        except UnicodeEncodeError:
            raise UsageError(f"the name of the directory {directory} is not UTF-8; take another one") from None


def _unnamed_cluster(options: ProfileOptions, addresses: str, config: Config) -> Profile:
    """Return a profile for a cluster that the config does not name. Raises UsageError."""
    here = Path.cwd()
    trusted: object = {"ca": options.tls} if options.tls not in (None, "system") else options.tls is not None
    try:
        settings = ProfileSettings(
            cluster="nebula",
            graphd=parse_address_list(addresses),
            user=parse_user("root" if options.user is None else options.user, here),
            tls=parse_tls(trusted, here),
        )
    except InvalidValue as error:
        raise UsageError(f"--nebula, -u and --tls must be {error}") from None
    return _with_home(lambda: config.build_cluster_profile(settings, options.data_dir))


def _with_home(find: Callable[[], Profile]) -> Profile:
    """Return the profile that `find` returns.

    Raises NoHome if it needs a home directory and has none.
    """
    try:
        return find()
    except HomeError as error:
        raise NoHome(str(error)) from None


def _with_password(cluster: ClusterSettings) -> ClusterSettings:
    """Return the cluster; if its password is stored nowhere, ask for it on a terminal."""
    # the NebulaGraph backend: only for a cluster
    from jobtui.storage.nebula.settings import EnvironmentPassword, LiteralPassword, Secret

    source = cluster.password
    is_known = not isinstance(source, EnvironmentPassword) or source.variable in os.environ
    if is_known or not cluster.addresses or not is_terminal(0):
        return cluster
    from getpass import getpass  # as above

    try:
        password = getpass(printable_lines(f"Password of {cluster.user} on {cluster.name}: "))
    except EOFError:
        raise UsageError("no password was given") from None
    return replace(cluster, password=LiteralPassword(Secret(password)))


def profile_options(profile: Profile, command: ProfileOptions) -> list[str]:
    """Return the options of the command line that name this profile in any working directory."""
    words = ["--profile", profile.name] if command.nebula is None else ["--nebula", command.nebula]
    if command.user is not None:
        words += ["-u", command.user]
    if command.tls is not None:
        words += ["--tls", command.tls if command.tls == "system" else str(Path(command.tls).absolute())]
    if command.data_dir is not None:
        words += ["--data-dir", str(command.data_dir.absolute())]
    if command.config is not None:
        words += ["--config", str(command.config.absolute())]
    return words

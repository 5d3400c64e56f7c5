"""From what the file, or the command line, says of a cluster to the settings that the engine takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobtui.config.settings import ProfileSettings
    from jobtui.storage.nebula.settings import ClusterSettings, PasswordSource, Tls


def cluster_of(name: str, said: ProfileSettings) -> ClusterSettings | None:
    """The cluster of the profile `name`, None where it works on embedded storage.

    Raises ValueError where what is said does not fit together.
    """
    if not said.cluster:
        if said.graphd or said.spaces or said.storaged:
            raise ValueError('graphd, storaged and spaces are a cluster\'s: cluster = "nebula" is missing')
        return None
    if said.hosts:
        raise ValueError("hosts are the embedded storage's: a cluster has its own")
    from jobtui.storage.nebula.settings import Address, ClusterSettings, RunMode

    return ClusterSettings(
        name=name,
        addresses=tuple(map(Address.parse, said.graphd)),
        user=said.user,
        password=_password(name, said),
        tls=_tls(said.tls),
        run=RunMode(said.run),
        storaged_port=said.storaged_port,
        storaged={host: Address.parse(one, said.storaged_port) for host, one in said.storaged.items()},
        spaces={space: tuple(hosts) for space, hosts in said.spaces.items()},
    )


def profile_name(cluster: str) -> str:
    """The name of the profile, and of its directory, of a cluster that no config names."""
    return f"nebula-{re.sub(r'[^A-Za-z0-9-]', '_', cluster)}"


def _password(name: str, said: ProfileSettings) -> PasswordSource:
    from jobtui.storage.nebula.settings import FromEnvironment, FromKeyring

    kind, _, where = said.password.partition(":")
    if kind == "env":
        return FromEnvironment(where)
    return FromKeyring(where or f"jobtui {name}", said.user)


def _tls(said: bool | Mapping[str, Path | str]) -> Tls | None:
    from jobtui.storage.nebula.settings import Tls

    if isinstance(said, bool):
        return Tls() if said else None
    files = {key: Path(one) for key, one in said.items() if key != "server_name"}
    return Tls(**files, server_name=str(said.get("server_name", "")))

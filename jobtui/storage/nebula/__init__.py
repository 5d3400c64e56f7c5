"""A NebulaGraph cluster: two ways to run flush and compact jobs on it.

    settings.py   what has to be known of a cluster; where its password comes from
    mirror.py     `GraphdMirror`: the cluster's own job manager, through graphd
    follow.py     `Follower`: a mirror's jobs as a stream of news
    storaged.py   `StoragedRunner`: our engine's tasks, through each storaged's HTTP port
    translate.py  graphd's tables to our model; ngql.py the statements; table.py the border
    link.py       connecting, connected, lost, retrying; courier.py the threads
    wire.py       one connection to graphd, the only importer of nebula3-python; admin.py one HTTP call

Importing the package imports none of it; nebula3-python is imported when a connection is first made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobtui.storage.nebula.job_manager import GraphdJobManager
    from jobtui.storage.nebula.poller import JobPoller, JobUpdate, UpdateKind
    from jobtui.storage.nebula.storaged import StoragedRunner

__all__ = ["GraphdJobManager", "JobPoller", "JobUpdate", "StoragedRunner", "UpdateKind"]

_HOMES = {
    "Follower": "follow",
    "News": "follow",
    "Sighting": "follow",
    "GraphdMirror": "mirror",
    "StoragedRunner": "storaged",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"jobtui.storage.nebula.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Embedded RocksDB: spaces on this machine, a worker process for each storage host.

`LocalStorage` is what the engine is given. It is imported when first asked for, because the worker
and whoever only reads the catalogue need neither it nor asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobtui.storage.local.backend import LocalStorage

__all__ = ["LocalStorage"]


def __getattr__(name: str) -> object:
    if name == "LocalStorage":
        from jobtui.storage.local.backend import LocalStorage

        return LocalStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

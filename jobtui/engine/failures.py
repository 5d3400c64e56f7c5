"""What can go wrong when a profile is opened or asked, for the rooms above the engine."""

from jobtui.history import StoreError, StoreLocked
from jobtui.storage.base import Code, StorageError

__all__ = ["Code", "StorageError", "StoreError", "StoreLocked"]

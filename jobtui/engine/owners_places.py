"""A cluster's spaces and hosts as the owner of the profile told them last: only the owner is connected."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from jobtui.engine.desk import Overview
from jobtui.engine.wire import NoAnswer
from jobtui.errors import StorageError

FRESH_SECONDS = 5.0


class OwnersPlaces:
    """See the module. `look` asks the owner and waits; it raises StorageError and NoAnswer. Any thread."""

    def __init__(self, look: Callable[[], Overview]) -> None:
        self._look = look
        self._asking = threading.Lock()
        self._asked = -FRESH_SECONDS
        self._told: Overview | None = None

    @property
    def told(self) -> Overview | None:
        """What was told last, None for nothing yet; never waits. What is old is asked for anew beside it."""
        if time.monotonic() - self._asked >= FRESH_SECONDS and self._asking.acquire(blocking=False):
            self._asked = time.monotonic()
            threading.Thread(target=self._ask, name="jobtui-places", daemon=True).start()
        return self._told

    def now(self) -> Overview:
        """As they are now, waited for. Raises StorageError and NoAnswer."""
        self._told = told = self._look()
        return told

    def _ask(self) -> None:
        try:
            self.now()
        except (StorageError, NoAnswer):
            pass  # why there is no connection is told as such: what was told last still stands
        finally:
            self._asking.release()

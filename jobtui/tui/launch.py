"""How the dashboard starts: what must be so before Textual is imported, then Textual, then the app."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobtui.config.settings import TuiSettings
    from jobtui.engine.client import Client


def load() -> None:
    """Import what `run` needs: most of a start, and it can be done before there is a client."""
    # read once, when textual is imported: twice the frames make a key visible sooner
    os.environ.setdefault("TEXTUAL_FPS", "120")
    # how long an esc may yet become another key: those of a terminal come in one piece
    os.environ.setdefault("ESCDELAY", "50")
    # a third of a start is collecting garbage among modules that will never be any
    gc.disable()
    import jobtui.tui.app  # noqa: F401


def run(client: Client, settings: TuiSettings, forsaken: Callable[[], bool] = lambda: False) -> int:
    """Show the client until one leaves; the exit status: 0, 1 where the dashboard failed, 128 + n for a signal.

    `forsaken` tells whether whoever waits for the dashboard has gone: it then leaves as if hung up.

    The client stays open: who opened it closes it.
    """
    load()
    from jobtui.tui.app import DashboardApp

    app = DashboardApp(client, settings, painted=_collect_from_here, forsaken=forsaken)
    status = app.run(mouse=settings.mouse)
    return status if status is not None else app.return_code or 0


def explain(what: str, why: str, advice: Sequence[str], theme: str = "") -> bool:
    """Say on a screen of its own that something can't be opened; whether the user wants it tried again.

    `what` in a few words, `why` in full, `advice` a line for each thing that can be done about it.
    """
    from jobtui.tui.screens.dialog import FailureApp

    return FailureApp(what, why, advice, theme).run() is True


def _collect_from_here() -> None:
    gc.freeze()
    gc.enable()

"""The start of the dashboard: the environment and the import of Textual, and the app."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from jobtui.config.settings import TuiSettings
    from jobtui.engine.client import Client


# what Textual calls the colors of a terminal, by their number
_COLOR_SYSTEMS = {1: "standard", 16: "standard", 256: "256", 1 << 24: "truecolor"}


class DashboardEnd(msgspec.Struct, frozen=True):
    """The end of a dashboard: its exit status, and the profile to open next, "" for none."""

    status: int
    profile: str = ""


def import_dashboard() -> None:
    """Import what `run` needs.

    This is most of a start, and a caller can do it before it has a client.
    """
    # Textual reads it once, when it is imported: with twice the frames a key has its effect sooner
    os.environ.setdefault("TEXTUAL_FPS", "120")
    # milliseconds in which an esc may become another key: a terminal sends the bytes of a key together
    os.environ.setdefault("ESCDELAY", "50")
    from jobtui.tui.terminal import ColorDepth, color_depth

    depth = color_depth()
    if depth is ColorDepth.NONE:
        os.environ.setdefault("NO_COLOR", "1")
    os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", _COLOR_SYSTEMS[depth.value])
    # a third of a start would be spent on collecting garbage among modules, which never are garbage
    gc.disable()
    import jobtui.tui.app  # noqa: F401


def run(
    client: Client, settings: TuiSettings, is_abandoned: Callable[[], bool] = lambda: False
) -> DashboardEnd:
    """Show the dashboard until the user leaves.

    Args:
        client: The engine's client. It stays open: the caller closes it.
        settings: The dashboard's settings.
        is_abandoned: Returns whether a signal arrived before the dashboard handled signals itself.

    Returns:
        The status is 0, 1 if the dashboard failed, or 128 + n after signal n.
    """
    import_dashboard()
    from jobtui.tui.app import DashboardApp
    from jobtui.tui.terminal import color_depth

    app = DashboardApp(
        client,
        settings,
        on_first_frame=_enable_collection,
        is_abandoned=is_abandoned,
        depth=color_depth(),
    )
    status = app.run(mouse=settings.mouse)
    if status is None:
        return DashboardEnd(app.return_code or 0)
    return DashboardEnd(status, app.next_profile)


def show_open_error(why: str, advice: Sequence[str], theme: str = "") -> bool:
    """Show on its own screen that the profile cannot be opened; return whether to try again.

    Args:
        why: The reason in full.
        advice: What the user can do about it, a line for each.
        theme: The theme's name, "" for the dark one.
    """
    from jobtui.tui.screens.dialog import FailureApp

    return FailureApp("This profile cannot be opened", why, advice, theme).run() is True


def _enable_collection() -> None:
    gc.freeze()
    gc.enable()

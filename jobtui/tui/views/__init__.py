"""The views of keys `1` to `7`, and the log."""

from __future__ import annotations

from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.views.base import DashboardView


def make_view(name: str, context: Context, host: DashboardHost) -> DashboardView:
    """Return a new view by its name: its id, and the argument of its key's action."""
    return _view_class(name)(context, host, id=name)


def _view_class(name: str) -> type[DashboardView]:
    # each is imported when it is first shown: a start is mostly imports
    match name:
        case "spaces":
            from jobtui.tui.views.inventory import SpacesView

            return SpacesView
        case "hosts":
            from jobtui.tui.views.inventory import HostsView

            return HostsView
        case "archive":
            from jobtui.tui.views.jobs import ArchiveView

            return ArchiveView
        case "advice":
            from jobtui.tui.views.advice import AdviceView

            return AdviceView
        case "schedules":
            from jobtui.tui.views.schedules import SchedulesView

            return SchedulesView
        case "overview":
            from jobtui.tui.views.overview import OverviewView

            return OverviewView
        case "log":
            from jobtui.tui.views.log import LogView

            return LogView
    raise ValueError(f"no view is named {name}")

"""The views of keys `1` to `7`, and the log."""

from __future__ import annotations

from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.views.base import DashboardView


def make_view(name: str, context: Context, host: DashboardHost) -> DashboardView:
    """Return a new view: named by the action of its key; each is imported when it is first shown."""
    if name == "archive":
        from jobtui.tui.views.jobs import JobsView

        return JobsView(context, host, archived=True, id="archive")
    if name == "log":
        from jobtui.tui.views.log import LogView

        return LogView(context, host, id="log")
    if name == "advice":
        from jobtui.tui.views.advice import AdviceView

        return AdviceView(context, host, id="advice")
    if name == "overview":
        from jobtui.tui.views.overview import OverviewView

        return OverviewView(context, host, id="overview")
    if name == "schedules":
        from jobtui.tui.views.schedules import SchedulesView

        return SchedulesView(context, host, id="schedules")
    from jobtui.tui.views.inventory import HostsView, SpacesView

    if name == "spaces":
        return SpacesView(context, host, id="spaces")
    return HostsView(context, host, id="hosts")

"""The places of the dashboard that `1` to `4` lead to: jobs, spaces, hosts, archive."""

from __future__ import annotations

from jobtui.tui.context import Context
from jobtui.tui.views.base import DashboardView


def make_view(name: str, context: Context) -> DashboardView:
    """A place by its name (spaces, hosts or archive); each is imported when it is first gone to."""
    if name == "archive":
        from jobtui.tui.views.jobs import JobsView

        return JobsView(context, archived=True, id="archive")
    from jobtui.tui.views.inventory import HostsView, SpacesView

    return SpacesView(context, id="spaces") if name == "spaces" else HostsView(context, id="hosts")

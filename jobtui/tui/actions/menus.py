"""The actions of the views' keys, and their menus: copy, columns, export, space."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jobtui.background import run_in_thread
from jobtui.config.settings import SAVED_VIEWS
from jobtui.formatting import format_count, format_duration, format_local_time, printable
from jobtui.language import quote_name, unparse
from jobtui.language.ast import Submit
from jobtui.model import Job, JobCommand, Status
from jobtui.os_errors import describe_os_error
from jobtui.tui.actions.export import export_jobs, new_export_path
from jobtui.tui.actions.jobs import JobActions
from jobtui.tui.commands import KeyScope
from jobtui.tui.context import AppControl, Context, DashboardHost
from jobtui.tui.data.job_rows import JOB_COLUMNS, default_columns
from jobtui.tui.data.search import Filter
from jobtui.tui.screens.dialog import Choice, Question
from jobtui.tui.text.spans import TextRole

if TYPE_CHECKING:
    from jobtui.tui.views.advice import AdviceView
    from jobtui.tui.views.base import DashboardView
    from jobtui.tui.views.inventory import HostsView
    from jobtui.tui.views.jobs import JobsView
    from jobtui.tui.widgets.job_table import JobList


NO_FILTER = Filter()
_NAMED_HOSTS = 4


def command_line(profile: str, statement: str) -> str:
    """Return the command that runs a statement in a shell and waits for its jobs."""
    return f"jobtui --profile {shlex.quote(profile)} --wait -e {shlex.quote(statement)}"


def marked_choices(profile: str, ids: Sequence[int]) -> list[tuple[str, str, str]]:
    """Return a key, a title and a command for what can be done with marked jobs."""
    listed = ", ".join(map(str, sorted(ids)))
    return [
        ("r", "command that runs them again", command_line(profile, f"RECOVER JOB {listed}")),
        ("s", "command that stops them", command_line(profile, f"STOP JOB {listed}")),
        ("i", "ids", listed),
    ]


def filter_statement(wanted: Filter) -> str:
    """Return the statement that lists what a filter shows, "" if there is none for it."""
    if wanted != Filter(statuses=wanted.statuses, spaces=wanted.spaces):
        return ""
    if len(wanted.statuses) > 1 or len(wanted.spaces) > 1:
        return ""
    status = f"{next(iter(wanted.statuses)).upper()} " if wanted.statuses else ""
    try:
        space = f" IN {quote_name(next(iter(wanted.spaces)))}" if wanted.spaces else ""
    except ValueError:
        return ""  # no statement can hold the name
    return f"SHOW {status}JOBS{space}"


def copy_choices(job: Job, profile: str = "local", shown: Filter = NO_FILTER) -> list[tuple[str, str, str]]:
    """Return a key, a title and a text for all that can be copied of a job and the filter."""
    offers = [("i", "id", str(job.id)), ("r", "row", row_text(job))]
    statement = statement_of(job)
    if statement:
        offers.append(("s", "statement", statement))
        offers.append(("w", "shell command", command_line(profile, statement)))
    reason = job.reason or next((task.reason for task in job.tasks if task.reason), "")
    if reason:
        offers.insert(2, ("e", "reason", reason))
    if job.status in (Status.FAILED, Status.STOPPED):
        offers.append(("c", "recovery", f"RECOVER JOB {job.id}"))
    if not shown.is_empty and (listing := filter_statement(shown)):
        offers.append(("f", "command that lists the filter", command_line(profile, listing)))
    return offers


def statement_of(job: Job) -> str:
    """Return the statement that makes such a job, `ADMIN COMPACT nba`; "" if there is none."""
    if job.command not in set(JobCommand):
        return ""  # a cluster has jobs of other kinds, too
    try:
        return unparse(Submit(job.command, job.space))
    except ValueError:
        return ""  # no statement can hold the name


def row_text(job: Job) -> str:
    """Return the job's row as one line of tab-separated text, for a spreadsheet."""
    fields = (
        str(job.id),
        job.label,
        job.status.value,
        format_local_time(job.start),
        format_local_time(job.stop),
        format_duration(job.took),
        job.reason,
    )
    return "\t".join(map(printable, fields))


def palette_choices(
    context: Context, control: AppControl, host: DashboardHost, jobs: JobList
) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """Yield the palette's saved views, profiles, themes and orders of jobs."""
    for name, text in {**SAVED_VIEWS, **context.settings.views}.items():
        # the coroutine is made when it is chosen: the palette is also built without a choice
        yield f"View: {name}", text, lambda text=text: host.start_action(host.show_filtered(text))  # type: ignore[misc]
    for name in context.other_profiles:
        yield f"Profile: {name}", "Switch to this profile", partial(host.switch_profile, name)
    for theme in control.themes:
        yield f"Theme: {theme.name}", "Colors", partial(control.set_theme, theme.name)
    for column in JOB_COLUMNS:
        if column.sorts:
            run = partial(jobs.sort_by, column.key)
            yield f"Sort by {column.label}", "Sort the jobs by this column; again reverses the order", run


def _can_recover_part(job: Job) -> bool:
    """Return whether only some hosts of an ended job finished; clusters rerun whole jobs."""
    finished = [task.status is Status.FINISHED for task in job.tasks]
    return job.status.ended and any(finished) and not all(finished) and job.origin is None


class ViewActions:
    """The actions of the views' keys, by command id; they run in a worker (`start_action`)."""

    def __init__(self, context: Context, host: DashboardHost) -> None:
        self.context = context
        self._host = host
        self._actions = JobActions(context, host)

    async def run(self, action: str, ids: Sequence[int], view: JobsView) -> None:
        """Run an action of the jobs view on these jobs."""
        match action:
            case "stop":
                await self._actions.stop(ids, view.list.count_unseen(ids))
            case "recover" if view.archived:
                await self._actions.recover_archived(ids, view.list.count_unseen(ids))
            case "restore":
                await self._actions.restore(ids, view.list.count_unseen(ids))
            case "recover":
                job = self.context.client.job(ids[0]) if len(ids) == 1 else None
                if job is not None and _can_recover_part(job):
                    await self._recover_part(job)
                else:
                    await self._actions.recover(ids, view.list.count_unseen(ids))
            case "archive":
                await self._actions.archive(ids, view.list.count_unseen(ids))
            case "hold":
                await self._actions.pause_or_resume(ids)
            case "faster" | "slower":
                await self._actions.change_rate(ids, faster=action == "faster")
            case "flush" | "compact":
                await self._submit(action, view.space_in_view())
            case "copy":
                await self._copy(view.list.job, view.list.rows.marks, view.list.filter)
            case "columns":
                await self._columns(view)
            case "export":
                await self._export(view)

    async def _submit(self, command: str, space: str | None) -> None:
        if space is None:
            self._host.show_toast(
                "No space is in view: choose one with USE in the command bar, or filter by space:", "warning"
            )
        elif command == "flush":
            await self._actions.flush(space)
        else:
            await self._actions.compact(space)

    async def _recover_part(self, job: Job) -> None:
        rest = [task.host for task in job.tasks if task.status is not Status.FINISHED]
        named = ", ".join(rest[:_NAMED_HOSTS]) + (" …" if len(rest) > _NAMED_HOSTS else "")
        count = "host" if len(rest) == 1 else format_count(len(rest), "host")
        question = Question[bool](
            f"Run job {job.id} again?",
            # the text is wrapped, an answer is not
            [((job.label, TextRole.STRONG),), ((f"It did not finish on {named}", TextRole.MUTED),)],
            [
                Choice("f", f"only on the {count} that did not finish", True),
                Choice("a", f"on all {len(job.tasks)} hosts", False),
            ],
        )
        failed_only = await self._host.ask(question)
        if failed_only is not None:
            await self._actions.recover_hosts(job.id, failed_only=failed_only)

    async def _copy(self, job: Job | None, marked: Iterable[int], shown: Filter) -> None:
        if job is None:
            return
        profile, ids = self.context.client.profile, [*marked]
        offers = marked_choices(profile, ids) if ids else copy_choices(job, profile, shown)
        choices = [Choice(key, title, text) for key, title, text in offers]
        text = await self._host.ask(Question[str]("Copy", (), choices))
        if text is not None:
            self._host.copy(text)
            self._host.show_toast(f"copied: {text}")

    async def _columns(self, view: JobsView) -> None:
        saved = self.context.saved
        at = 0
        while True:
            shown = set(saved.columns or default_columns(self.context.client))
            # in place of keys, which fourteen columns do not have: whether each is shown
            choices = [
                Choice("✔" if column.key in shown else "·", column.label, index)
                for index, column in enumerate(JOB_COLUMNS)
            ]
            index = await self._host.ask(Question[int]("Columns: enter shows or hides one", (), choices, at))
            if index is None:
                return
            at = index
            key = JOB_COLUMNS[index].key
            if key != "id":
                saved.columns = [
                    column.key for column in JOB_COLUMNS if (column.key in shown) != (column.key == key)
                ]
            view.list.set_columns(saved.columns)

    async def _export(self, view: JobsView) -> None:
        found = view.list.view
        if found is None or not len(found):
            self._host.show_toast("There is nothing in view to export", "warning")
            return
        directory, now = Path.cwd(), self.context.now()
        question = Question[str](
            f"Export {format_count(len(found), 'job')}",
            [((f"to a new file in {directory}", TextRole.MUTED),)],
            [Choice("c", "CSV, for a spreadsheet", ".csv"), Choice("j", "JSON, with full values", ".json")],
        )
        suffix = await self._host.ask(question)
        if suffix is None:
            return
        place = new_export_path(directory, suffix, now)
        try:
            count = await run_in_thread(lambda: export_jobs(found, place))
        except OSError as error:
            self._host.show_toast(f"Not exported: {describe_os_error(error)}: {place}", "error")
        else:
            self._host.show_toast(f"{format_count(count, 'job')} written to {place}")

    async def run_inventory(self, action: str, name: str, view: DashboardView) -> None:
        """Run an action of the spaces or hosts view."""
        match action:
            case "jobs":
                kind = "host" if view.scope is KeyScope.HOSTS else "space"
                await self._host.show_jobs_of(kind, name)
            case "new":
                await self._host.focus_bar("CREATE SPACE ")
            case "use":
                await self._actions.use(name)
                self._host.refresh_space()
            case "drop":
                adopted = self.context.overview_cache.adopted(name)
                await self._actions.drop(name, adopted)
                self._host.refresh_space()  # it may have been the chosen one
                self.context.overview_cache.request()
            case "compact" if view.scope is KeyScope.ADVICE:
                await self._actions.compact(name, cast("AdviceView", view).statement(name))
            case _:
                hosts = view.scope is KeyScope.HOSTS
                space = await self._space_of(name, cast("HostsView", view)) if hosts else name
                if space is not None:
                    await self._submit(action, space)

    async def _space_of(self, host: str, view: HostsView) -> str | None:
        spaces = view.spaces_of(host)
        if len(spaces) <= 1:
            if not spaces:
                self._host.show_toast("This host holds no space", "warning")
            return spaces[0] if spaces else None
        choices = [
            Choice(str(number) if number < 10 else "", name, name) for number, name in enumerate(spaces, 1)
        ]
        return await self._host.ask(Question[str]("Which space?", (), choices))

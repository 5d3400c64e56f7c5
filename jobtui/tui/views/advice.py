"""The view of the advice (key `5`): which spaces need a compaction, and on which hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from typing_extensions import override

from jobtui.engine.advice import Verdict, statement_for
from jobtui.engine.client import ExecuteResult
from jobtui.formatting import format_bytes, format_recent_time
from jobtui.language.results import Row
from jobtui.tui.commands import KeyCommand, KeyScope, bindings
from jobtui.tui.context import Context, DashboardHost
from jobtui.tui.data.caches import StatementAnswered, StatementQuery
from jobtui.tui.data.feed import Batch
from jobtui.tui.data.inventory_rows import VERDICT_ROLE
from jobtui.tui.text.notices import describe_no_space
from jobtui.tui.text.spans import Line, TextRole, fit, progress_bar, width_of, wrapped
from jobtui.tui.views.base import TableView
from jobtui.tui.widgets.table import Table
from jobtui.tui.widgets.table_layout import Column, Sorting

ADVICE_COLUMNS = (
    Column("space", "Space", 8, 40, sorts=True),
    Column("verdict", "Verdict", 9, 9, sorts=True),
    Column("gain", "Gives Back", 11, 14, right=True, sorts=True),
    Column("share", "Of Its Size", 16, 16, hide_order=2, sorts=True),
    Column("deletions", "Deletions", 16, 16, hide_order=1, sorts=True),
    Column("l0", "L0 Files", 8, 8, right=True, hide_order=3, sorts=True),
    Column("memory", "In Memory", 10, 10, right=True, hide_order=4, sorts=True),
)
_BY_URGENCY = [verdict.value for verdict in Verdict]
_ROLES = {**VERDICT_ROLE, Verdict.UNKNOWN.value: TextRole.MUTED}
_BAR = 10
Values = Mapping[str, object]


class AdviceView(TableView):
    """The view of the advice. It is fetched when the view is shown, and after jobs."""

    scope = KeyScope.ADVICE
    title = "advice"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(KeyScope.ADVICE)]
    COLUMNS = ADVICE_COLUMNS
    SORTING = Sorting("gain", True)
    ROW_COMMANDS = frozenset(("advice_compact",))
    MAIN_KEYS = ("advice_compact",)
    WRITING_ACTIONS = frozenset(("compact",))

    def __init__(self, context: Context, host: DashboardHost, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(context, host, id=id)
        self._query = StatementQuery(context.client, "SHOW ADVICE", self.post_message)
        self._hosts: dict[str, list[Values]] = {}
        self._is_outdated = False
        self._is_measured = False

    def on_mount(self) -> None:
        """Ask for the advice."""
        self.action_refresh()
        self.fill()

    @override
    def on_batch(self, batch: Batch) -> None:
        self._is_outdated = self._is_outdated or bool(batch.ended)
        if batch.statuses_changed and self.display:
            self.action_refresh()

    def on_show(self) -> None:
        """Measure again if a job ended while another view was shown."""
        if self._is_outdated:
            self.action_refresh()

    def action_refresh(self) -> None:
        """Measure again, unless that is under way."""
        if self._query.request():
            self._is_outdated = False

    def on_statement_answered(self, message: StatementAnswered) -> None:
        """Show the advice."""
        message.stop()
        self.set_problem(message.problem)
        self._is_measured = True
        if message.result is not None and message.result.failure is None:
            self._hosts = _by_space(message.result.results[-1].rows)
            self.context.replace_verdicts(verdicts_of(message.result))
        self.fill()
        self.post_message(self.StatusChanged())  # the key's title depends on the verdict
        if self._is_outdated and self.display:  # a job ended during the measurement
            self.action_refresh()

    @override
    def fill(self) -> None:
        nothing = describe_no_space(self.context) if self._is_measured else "Measuring …"
        self.show_rows(_space_rows(self._hosts, self.table.sorting), self._problem or nothing)
        self.show_detail()

    @override
    def show_detail(self) -> None:
        space = self.current
        self.title_line.show(f"space {space}" if space is not None else "no space")
        width = max(20, self.body.inner_width)  # it is 0 before the first layout
        hosts = self._hosts.get(space or "", [])
        self.body.show(_host_lines(hosts, [self._last_compacted(host) for host in hosts], width))

    def _last_compacted(self, host: Values) -> str:
        """Return when the space was last compacted on a host."""
        if not host["Last Compact"]:
            return "never compacted by jobtui"
        last = datetime.fromisoformat(str(host["Last Compact"]))
        order = self.context.settings.date_order
        return f"last compacted by jobtui: {format_recent_time(last, self.context.now(), order)}"

    def statement(self, space: str) -> str:
        """Return the advised statement for the space, "" if it needs none."""
        return advised_statement(self._hosts.get(space, ()))

    @override
    def footer_title(self, command: KeyCommand) -> str | None:
        statement = self.statement(self.current or "")
        if command.id == "open":
            return "edit statement" if statement else None
        if command.id == "advice_compact" and statement.startswith("ADMIN FLUSH "):
            return "flush"
        if command.id == "advice_refresh" and not self._hosts and not self.context.client.space_names():
            return None  # without a space there is nothing to measure
        return super().footer_title(command)

    async def on_table_opened(self, message: Table.Opened) -> None:
        """Put the statement into the command bar."""
        message.stop()
        statement = self.statement(self.current or "")
        if statement:
            await self._host.focus_bar(statement)
        else:
            self._host.show_toast(_reason_for_nothing(self._hosts.get(self.current or "", ())))

    def action_compact(self) -> None:
        """Confirm and run the advised statement, or a compaction if the space needs nothing."""
        if self.current is not None:
            self._host.run_inventory_action("compact", self.current)


def _host_lines(hosts: Sequence[Values], times: Sequence[str], width: int) -> list[Line]:
    """Return the advice for each host: a line in columns if `width` has room, else several.

    Figures of each host are in a last column if there is room for it as well. `times`: when each host's part
    was last compacted.
    """
    rows = [
        (str(host["Host"]), str(host["Verdict"]), str(host["reason"]), when)
        for host, when in zip(hosts, times, strict=True)
    ]
    sizes = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    needed = 1 + sum(sizes) + 2 * (len(sizes) - 1)
    are_columns = needed <= width
    figures = _figures(hosts)
    if needed + 2 + max(map(width_of, figures), default=0) <= width:
        rows = [
            (host, verdict, reason, f"{fit(when, sizes[3])}  {text}".rstrip())
            for (host, verdict, reason, when), text in zip(rows, figures, strict=True)
        ]
    lines: list[Line] = []
    for host, verdict, reason, when in rows:
        role = _ROLES.get(verdict, TextRole.FINISHED)
        if are_columns:
            cells = [fit(text, size) for text, size in zip((host, verdict, reason), sizes, strict=False)]
            roles = (TextRole.STRONG, role, TextRole.PLAIN)
            head = tuple((f"{cell}  ", each) for cell, each in zip(cells, roles, strict=True))
            lines.append(((" ", TextRole.PLAIN), *head, (when, TextRole.MUTED)))
            continue
        lines.append(((f" {host}  ", TextRole.STRONG), (verdict, role)))
        lines += wrapped(((f"   {reason}", TextRole.PLAIN),), width, hang=3)
        lines += wrapped(((f"   {when}", TextRole.MUTED),), width, hang=3)
    return lines


def _figures(hosts: Sequence[Values]) -> list[str]:
    """Return the figures of each host, aligned: `34% deletions  6 L0 files  3 MiB in memory`."""
    forms: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("Deletions", "deletions", lambda share: f"{share * 100:.0f}%"),
        ("L0 Files", "L0 files", lambda count: f"{count:.0f}"),
        ("In Memory", "in memory", lambda size: format_bytes(int(size))),
    )
    columns: list[list[str]] = []
    for key, noun, write in forms:
        known = [value for host in hosts if isinstance(value := host[key], int | float)]
        size = max((len(write(value)) for value in known), default=0)
        texts = (
            f"{write(value):>{size}} {noun}" if isinstance(value := host[key], int | float) else ""
            for host in hosts
        )
        columns.append([fit(text, size + 1 + len(noun)) for text in texts] if known else [""] * len(hosts))
    return ["  ".join(filter(None, row)) for row in zip(*columns, strict=True)]


def share_bar(share: float | None) -> str:
    """Return a share as a bar with its figure, `▇▇▇▇▇▇▇░░░  66%`; `–` if it is not known."""
    if share is None:
        return "–".rjust(_BAR + 5)
    return f"{progress_bar(share, _BAR)} {share * 100:3.0f}%"


def worst_verdict(hosts: Sequence[Values]) -> str:
    """Return the verdict of the host that needs a job most."""
    return min((str(host["Verdict"]) for host in hosts), key=_BY_URGENCY.index)


def verdicts_of(answer: ExecuteResult) -> dict[str, str]:
    """Return the verdict on each space in the answer to SHOW ADVICE, which has not failed."""
    return {space: worst_verdict(hosts) for space, hosts in _by_space(answer.results[-1].rows).items()}


def _reason_for_nothing(hosts: Sequence[Values]) -> str:
    """Return why there is no statement for the hosts of a space."""
    verdict = worst_verdict(hosts) if hosts else Verdict.FINE
    if verdict == Verdict.UNKNOWN:
        return "It is not known whether a job is needed: a host of this space reports no figures"
    return (
        "Nothing to do: this space is fine" if verdict == Verdict.FINE else "No statement can contain this name"
    )


def advised_statement(hosts: Sequence[Values]) -> str:
    """Return one statement for the hosts of a space that need a job, "" if none does.

    If a host needs a compaction, which flushes first, hosts that need only a flush are left out.
    """
    for verdict in (Verdict.COMPACT, Verdict.FLUSH):
        needed = [host for host in hosts if host["Verdict"] == verdict]
        if needed:
            on = () if len(needed) == len(hosts) else tuple(str(host["Host"]) for host in needed)
            return statement_for(verdict, str(needed[0]["Space"]), on)
    return ""


def _by_space(rows: Sequence[Row]) -> dict[str, list[Values]]:
    found: dict[str, list[Values]] = {}
    for row in rows:
        found.setdefault(str(row.values["Space"]), []).append(row.values)
    return found


def _total(hosts: Sequence[Values], column: str) -> int | None:
    known = [value for host in hosts if isinstance(value := host[column], int)]
    return sum(known) if known else None


def _most(hosts: Sequence[Values], column: str) -> float | None:
    known = [float(value) for host in hosts if isinstance(value := host[column], int | float)]
    return max(known, default=None)


def _space_rows(hosts: Mapping[str, list[Values]], sorting: Sorting) -> list[tuple[str, Mapping[str, Line]]]:
    figures: dict[str, dict[str, float | str | None]] = {}
    for space, found in hosts.items():
        gain, size = _total(found, "Gives Back"), _total(found, "size")
        size = None if size is None else size + (_total(found, "flushed") or 0)
        figures[space] = {
            "space": space,
            "verdict": worst_verdict(found),
            "gain": gain,
            "share": None if gain is None or size is None else gain / max(1, size),
            "deletions": _most(found, "Deletions"),
            "l0": _most(found, "L0 Files"),
            "memory": _total(found, "In Memory"),
        }

    def key(space: str) -> tuple[bool, object]:
        value = figures[space][sorting.key]
        if sorting.key == "verdict":
            return True, -_BY_URGENCY.index(str(value))
        return value is not None, value if value is not None else 0

    ordered = sorted(sorted(figures), key=key, reverse=sorting.descending)
    return [(space, _cells(figures[space])) for space in ordered]


def _cells(figures: Mapping[str, float | str | None]) -> Mapping[str, Line]:
    verdict = str(figures["verdict"])

    def plain(text: str) -> Line:
        return ((text, TextRole.PLAIN),)

    def number(column: str, write: Callable[[int], str]) -> Line:
        value = figures[column]
        return plain("–" if not isinstance(value, int | float) else write(int(value)))

    def share(column: str) -> Line:
        value = figures[column]
        return plain(share_bar(value if isinstance(value, int | float) else None))

    return {
        "space": ((str(figures["space"]), TextRole.STRONG),),
        "verdict": ((verdict, _ROLES.get(verdict, TextRole.FINISHED)),),
        "gain": number("gain", lambda size: f"≈ {format_bytes(size)}"),
        "share": share("share"),
        "deletions": share("deletions"),
        "l0": number("l0", str),
        "memory": number("memory", format_bytes),
    }

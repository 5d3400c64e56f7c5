from datetime import UTC, datetime

import pytest
from rich.cells import cell_len

from jobtui.formatting import format_change, single_cells
from jobtui.model import Job, Level, SpaceStats, Status, Task
from jobtui.tui.text.notices import describe_end, job_lines, nothing_found
from jobtui.tui.text.spans import cause_of, fit, fit_host, plain, size_sparkline, width_of, wrap, wrapped

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)

HOSTILE = [
    "[/nope]",
    "\x1b[31mred\x1b[0m",
    "\x1b]52;c;aGk=\x07",
    "a\u202ebc",
    "e" + "\u0301" * 10_000,
    "图谱" * 5000,
    "a\nb\tc\rd",
    "zero\u200bwidth",
    "x" * 10_000,
    "\ud800",
    "👩‍👩‍👧‍👦",
    "\u2066isolate\u2069",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_cleaned_text_has_no_terminal_controls(text: str) -> None:
    shown = single_cells(text)
    assert all(character.isprintable() for character in shown)
    assert "\n" not in shown
    shown.encode()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [0, 1, 2, 7, 80])
def test_fitted_text_takes_exactly_its_cells(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


def test_plain_text_stays_as_it_is() -> None:
    for text in ("flush nba", "été", "हिन्दी", "图谱", "Ελλάδα", "[b]not bold[/b]"):
        assert single_cells(text) == text


def test_control_character_is_shown_by_its_sign() -> None:
    assert single_cells("a\x1bb\x00\x7f") == "a␛b␀␡"


def test_pile_of_marks_is_cut_to_a_few() -> None:
    assert len(single_cells("e" + "\u0301" * 10_000)) == 5


@pytest.mark.parametrize("text", HOSTILE)
def test_wrapped_lines_fit_and_are_not_many(text: str) -> None:
    lines = wrap(text, 20, most=5)
    assert 1 <= len(lines) <= 6
    assert all(width_of(line) <= 20 for line in lines)


def test_wrapping_breaks_at_blanks() -> None:
    assert wrap("no space left on device (needs 1.1 GiB)", 20) == [
        "no space left on",
        "device (needs 1.1",
        "GiB)",
    ]


def test_wrapping_keeps_every_word() -> None:
    text = " ".join(f"word{number}" for number in range(60))
    assert " ".join(wrap(text, 33, most=40)).split() == text.split()


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("width", [0, 1, 2, 7, 80])
def test_host_takes_exactly_its_cells(text: str, width: int) -> None:
    assert cell_len(fit_host(text, width)) == width
    assert cell_len(fit_host(f"/srv/{text}/rdb", width, right=True)) == width


def test_long_paths_keep_their_end_other_hosts_their_start() -> None:
    assert fit_host("/srv/data/of/b/rdb 1", 10) == "…/b/rdb 1 "
    assert fit_host("storage0.example:9779", 10) == "storage0.…"
    assert fit_host("/a/b", 10) == "/a/b      "


def test_sizes_are_aligned_if_there_is_room_and_shortened_if_not() -> None:
    assert format_change(28 << 20, 1 << 20, 40) == "  28 MiB →    1 MiB"
    assert format_change(28 << 20, 1 << 20, 18) == "28 → 1 MiB"
    assert format_change(28 << 20, 1 << 10, 18) == "28 MiB → 1 KiB"


@pytest.mark.parametrize(
    ("sizes", "bars"), [([100.0, 100.2], "▄▄"), ([1000.0, 1100.0, 1200.0], "▁▄▇"), ([0.0, 0.0], "▄▄")]
)
def test_curve_of_sizes_shows_their_change(sizes: list[float], bars: str) -> None:
    assert size_sparkline(sizes, len(sizes)) == bars


@pytest.mark.parametrize(("command", "reclaimed"), [("compact", ", 1 KiB reclaimed"), ("flush", "")])
def test_end_of_a_flush_reclaims_nothing(command: str, reclaimed: str) -> None:
    sizes = SpaceStats((Level(1, 2048),)), SpaceStats((Level(1, 1024),))
    task = Task(0, "h1", Status.FINISHED, before=sizes[0], after=sizes[1])
    job = Job(3, command, "nba", NOW, Status.FINISHED, tasks=(task,))
    assert describe_end(job) == (f"✔ job 3 {command} nba finished{reclaimed}", "information")


def test_cause_of_a_failure_comes_before_its_path() -> None:
    task = Task(0, "h1", Status.FAILED, reason="/data/h1/nba: the disk is full")
    job = Job(
        3, "compact", "nba", NOW, Status.FAILED, reason="h1: /data/h1/nba: the disk is full", tasks=(task,)
    )
    assert cause_of(job) == "h1: the disk is full"
    assert describe_end(job) == ("✖ job 3 compact nba failed: h1: the disk is full", "error")


class TestJobLines:
    def test_statuses_are_in_a_column(self) -> None:
        jobs = {number: Job(number, "compact", "n" * number, NOW, Status.RUNNING) for number in (2, 9, 12)}
        lines = [plain(line) for line in job_lines({**jobs, 3: None})]
        assert len({line.index("▶") for line in lines[:3]}) == 1
        assert lines[3].rstrip() == "job 3"

    def test_long_name_breaks_no_other_line_of_a_narrow_dialog(self) -> None:
        names = {1: "nba", 2: "n" * 50}
        jobs = {number: Job(number, "compact", name, NOW, Status.FINISHED) for number, name in names.items()}
        short, long = job_lines(jobs)
        assert len(wrapped(short, 54)) == 1
        assert len(wrapped(long, 54)) > 1


def test_empty_table_names_no_key_that_types_a_character() -> None:
    *_, line = nothing_found("sta")
    assert plain(line) == "  esc removes it."

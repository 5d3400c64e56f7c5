from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import _page
from benchmarks.__main__ import main
from benchmarks._plot import plot
from benchmarks._published import read_machines
from benchmarks.figures import Figure, Outcome, Run, at_most

_OUTCOME_OF_A_CORE = Outcome(1.0, 1.0, 1.0, 1, "twenty spaces", absolute=2.5)


def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def broken(run: Run) -> Outcome:
        raise TimeoutError("it never came:\na whole\nscreen")

    several = [
        Figure("soon | now", at_most(1.3), "×", lambda run: Outcome.of([1.1, 1.2, 1.25], limit="1× at best")),
        Figure("late", at_most(100), "ms", lambda run: Outcome.of([1234.5])),
        Figure("advice", at_most(6), "×", lambda run: Outcome.ratio([0.9], [0.3]), at_most(1)),
        Figure("idle", at_most(4), "×", lambda run: _OUTCOME_OF_A_CORE, at_most(2), "% of a core"),
        Figure("broken", at_most(1), "ms", broken),
    ]
    monkeypatch.setattr("benchmarks.__main__.FIGURES", several)
    file = tmp_path / "figures.json"
    main(["--json", str(file), "--dir", str(tmp_path)])
    return file


def test_page_shows_each_figure_with_its_goal_and_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = report(tmp_path, monkeypatch)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{_page.BEGIN}\nold\n{_page.END}\nafter\n")
    for _ in range(2):
        _page.write_figures(file, "A fast machine", page)
    text = page.read_text()
    assert "| soon \\| now | 1.2× | 1.1 to 1.25 | ≤ 1.3 | met |  | 1× at best | whole |" in text
    assert "| late | 1,234 ms | 1,234 to 1,234 | ≤ 100 | **short** |  |  | whole |" in text
    assert "| broken | – | – | ≤ 1 |  | not measured: TimeoutError: it never came |  | whole |" in text
    assert "| met | 900 ms (≤ 1.00 s: met); 900 ms; yardstick 300 ms |  | whole |" in text
    assert "| met | **2.5 % of a core (≤ 2 % of a core: short)**; twenty spaces |  | whole |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert text.count("### A fast machine\n") == 1
    assert "old" not in text
    picture = ElementTree.parse(page.with_name("performance-a-fast-machine.svg"))
    kinds = [bar.get("class") for bar in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert kinds == ["ground", "met", "short", "met", "met"]


def test_each_machine_has_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = report(tmp_path, monkeypatch)
    page = tmp_path / "page.md"
    page.write_text(f"{_page.BEGIN}\n{_page.END}\n")
    for machine in ("one", "two", "one"):
        _page.write_figures(file, machine, page)
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == ["### one", "### two"]
    assert text.count("| broken |") == 2
    assert {path.name for path in tmp_path.glob("*.svg")} == {"performance-one.svg", "performance-two.svg"}


def test_some_figures_update_their_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = report(tmp_path, monkeypatch)
    page = tmp_path / "page.md"
    page.write_text(f"{_page.BEGIN}\n{_page.END}\n")
    _page.write_figures(file, "one", page)
    before = _rows(page)
    picture = page.with_name("performance-one.svg").read_text()
    main(["--only", "soon", "--only", "advice", "--quick", "--json", str(file), "--dir", str(tmp_path)])
    _page.write_figures(file, "one", page)
    after = _rows(page)
    assert [new == old for old, new in zip(before, after, strict=True)] == [False, True, False, True, True]
    assert [row.split(" | ")[-1] for row in after] == ["quick |", "whole |", "quick |", "whole |", "whole |"]
    assert page.with_name("performance-one.svg").read_text() == picture
    _page.write_figures(file, "one", page, names=["soon | now", "late"])
    assert _rows(page) == after[:2]


def _rows(page: Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith("| ")][2:]


def test_markdown_needs_a_machine(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--markdown", str(tmp_path / "figures.json")])


def test_unmeasured_figures_are_listed_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report(tmp_path, monkeypatch)
    printed = capsys.readouterr()
    assert "not measured: TimeoutError: it never came\n" in printed.out
    assert "screen" not in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


def test_page_shows_the_figures_of_its_json_file() -> None:
    text = _page.PAGE.read_text(encoding="utf-8")
    machines = read_machines(_page.PAGE.with_suffix(".json"))
    assert _page.render(text, machines) == text
    for name, machine in machines.items():
        chart = _page.PAGE.with_name(_page.picture_of(name)).read_text(encoding="utf-8")
        assert chart == plot(machine.figures)

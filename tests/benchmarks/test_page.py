from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import _page, figures
from benchmarks.__main__ import main
from benchmarks.figures import Figure, Outcome, Run, at_most


def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def broken(run: Run) -> Outcome:
        raise TimeoutError("it never came:\na whole\nscreen")

    several = [
        Figure("soon | now", at_most(1.3), "×", lambda run: Outcome.of([1.1, 1.2, 1.25])),
        Figure("late", at_most(100), "ms", lambda run: Outcome.of([1234.5])),
        Figure("broken", at_most(1), "ms", broken),
    ]
    monkeypatch.setattr(figures, "FIGURES", several)
    monkeypatch.setattr("benchmarks.__main__.FIGURES", several)
    file = tmp_path / "figures.json"
    main(["--json", str(file), "--dir", str(tmp_path)])
    return file


def test_the_page_says_each_figure_its_spread_and_whether_it_met_its_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = report(tmp_path, monkeypatch)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{_page.BEGIN}\nold\n{_page.END}\nafter\n")
    _page.write_figures(file, page)
    _page.write_figures(file, page)
    told = page.read_text()
    assert "| soon \\| now | 1.2× | 1.1 to 1.25 | ≤ 1.3 | met |" in told
    assert "| late | 1,234 ms | 1,234 to 1,234 | ≤ 100 | **short** |" in told
    assert "| broken | – | – | ≤ 1 | not measured: TimeoutError: it never came |" in told
    assert told.startswith("before\n")
    assert told.endswith("after\n")
    assert "old" not in told
    picture = ElementTree.parse(page.with_name(_page.PICTURE))
    kinds = [bar.get("class") for bar in picture.iter("{http://www.w3.org/2000/svg}rect")]
    assert kinds == ["ground", "met", "short"]


def test_what_could_not_be_measured_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report(tmp_path, monkeypatch)
    printed = capsys.readouterr()
    assert "not measured: TimeoutError: it never came\n" in printed.out
    assert "screen" not in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


def test_the_page_of_this_house_has_a_place_for_them() -> None:
    text = _page.PAGE.read_text(encoding="utf-8")
    assert text.index(_page.BEGIN) < text.index(_page.END)

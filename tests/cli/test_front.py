import pytest

from jobtui.cli import _open_the_dashboard, front


@pytest.mark.parametrize(
    ("words", "opens"),
    [
        ("", True),
        ("--data-dir x", True),
        ("--data-dir=x --profile y", True),
        ("--nebula 10.0.0.1 -u root --tls system", True),
        ("-e SHOW", False),
        ("serve", False),
        ("--data-dir x serve", False),
        ("--data-dir=x serve", False),
        ("--demo", False),
        ("--version", False),
        ("--profile --help", False),
    ],
)
def test_only_what_leads_to_the_dashboard_is_stepped_behind_for_at_a_glance(words: str, opens: bool) -> None:
    assert _open_the_dashboard(words.split()) is opens


def test_who_is_not_a_person_at_a_terminal_is_not_stepped_behind_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front.os, "isatty", lambda descriptor: descriptor == 0)
    monkeypatch.setattr(front, "step_behind", lambda: pytest.fail("a process was started"))
    front.step_behind_early()


def test_who_is_behind_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    here = front.Front(1)
    monkeypatch.setattr(front, "_front", here)
    monkeypatch.setattr(front.os, "fork", lambda: pytest.fail("a process was started"))
    assert front.step_behind() is here

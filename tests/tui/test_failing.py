import asyncio
from pathlib import Path

from textual.worker import WorkerFailed

from jobtui.tui.base_app import crash_message, write_crash_report
from jobtui.tui.screens.dialog import FailureApp
from jobtui.tui.text.spans import plain
from jobtui.tui.widgets.base import LinesView

WHY = "The history in /data/[/nope] cannot be opened: Permission denied"
ADVICE = ["Have the directory belong to you: sudo chown …", "Or use another one: jobtui --data-dir DIR"]


def test_failure_screen_shows_reason_and_advice() -> None:
    async def run() -> None:
        app = FailureApp("The history cannot be opened", WHY, ADVICE)
        async with app.run_test(size=(60, 16)) as pilot:
            await pilot.pause()
            text = "\n".join(plain(line) for line in app.screen.query_one(LinesView).lines)
            assert "✖ The history cannot be opened" in text
            assert "[/nope]" in text
            assert "· Or use another one: jobtui --data-dir DIR" in text
            await pilot.press("q")
        assert app.return_value is False

    asyncio.run(run())


def test_it_can_be_tried_again() -> None:
    async def run(*keys: str) -> bool | None:
        app = FailureApp("What", WHY, ADVICE)
        async with app.run_test() as pilot:
            await pilot.press(*keys)
        return app.return_value

    assert asyncio.run(run("r")) is True
    assert asyncio.run(run("enter")) is True
    assert asyncio.run(run("down", "enter")) is False
    assert asyncio.run(run("escape")) is False


def test_failure_of_a_worker_is_reported_as_its_cause(tmp_path: Path) -> None:
    try:
        Path(tmp_path, "missing").stat()
    except OSError as error:
        failed = WorkerFailed(error)
    assert "failed: FileNotFoundError: " in crash_message(failed, None)
    report = write_crash_report(failed, tmp_path)
    assert report is not None
    assert "Traceback" in report.read_text("utf-8")

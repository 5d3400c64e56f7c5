"""Fixtures and options for all tests: a user's command, and `--long` for the long form of suites."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import fork_server
from tests.support.commands import CommandLine
from tests.support.rewritten_tests import compile_ahead

for _one in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_one) is signal.SIG_IGN:
        # a shell without job control ignores them behind `&`; the tests need their default
        signal.signal(_one, signal.default_int_handler if _one is signal.SIGINT else signal.SIG_DFL)

# container images often set it, and each process that a test starts then compiles all of jobtui
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the suites in their long form (minutes to hours)")


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers: two more than cores, since many tests wait for processes and terminals."""
    return (os.cpu_count() or 1) + 2


LONGEST = (
    "tests/engine/test_races.py",
    "tests/e2e/test_cities.py",
    "tests/engine/test_schedule_machine.py",
    "tests/history/test_power_loss.py",
    "tests/history/test_attacks.py",
)
"""The modules whose tests take longest. The last test to end decides how long a run takes."""
LONG_FORM_SECONDS = 4 * 3600  # on a busy machine; the short form's timeout ended the long forms of three suites


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest tests first: one that begins late keeps one process busy while the others have ended."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    if config.getoption("--long"):
        for item in items:
            item.add_marker(pytest.mark.timeout(LONG_FORM_SECONDS), append=False)


def pytest_collection_finish() -> None:
    """Spend less on garbage collection, which took a tenth of a dashboard test's time.

    The modules and the 8,000 tests are exempt, and a collection comes after 10,000 new objects instead of 700.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    compile_ahead(config, Path(__file__).parent)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long"):
        fork_server.disable()


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture
def jobtui(tmp_path: Path) -> CommandLine:
    """Return the command of a user without any data."""
    return CommandLine(tmp_path)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Restore the process's umask: the command line makes it strict, and some tests run it in this process."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)

"""What every test may use: the `--long` option, which runs each suite in its long form."""

from __future__ import annotations

import signal

import pytest

for _one in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_one) is signal.SIG_IGN:
        # a shell without job control has them ignored behind `&`; the tests are about people who press keys
        signal.signal(_one, signal.default_int_handler if _one is signal.SIGINT else signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the suites in their long form (minutes to hours)")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))

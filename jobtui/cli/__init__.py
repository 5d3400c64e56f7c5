"""The command line: `jobtui` and everything that follows it on a line.

    arguments.py       the words of a line, taken apart; asked.py  what was asked for, one frozen struct a verb
    headless.py        -e, -f and piped statements: run a text, print, wait for its jobs
    waiting.py         staying until jobs have ended; ctrl+c stops them honestly
    handing.py         the same where another process owns the profile; ctrl+c leaves its jobs alone
    serve.py           the owner without a screen; front.py lets a dashboard become one
    verdicts.py        how jobs ended, in words and as an exit status
    formats.py         a text's answer as box, JSON, JSON lines or CSV
    bars.py            progress on stderr: bars on a terminal (rich, imported there alone), else a line at times
    load.py, dump.py   key-value pairs into a space and out of it; pairs/ holds their file formats
    dashboard.py       the dashboard, and --demo
    config_command.py  `jobtui config`; history_command.py  `jobtui history`
    doctor.py          `jobtui doctor`, and in checks.py what it looks at
    help_command.py    --help and `jobtui help`; help_texts.py holds the pages
    completing/        shell completion
    streams.py         stdout, stderr and stdin: closed pipes, full disks, foreign characters
    exits.py           the exit statuses and the errors that lead to them

`main` is the entry point. Nothing is imported before it is needed: `--help` and `--version` import no
pyparsing, asyncio, dataclasses, rich or textual.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_PLACE_OPTIONS = ("--profile", "--data-dir", "--config", "--nebula", "-u", "--tls")


def main(argv: Sequence[str] | None = None) -> int:
    """Run jobtui with these arguments (None: the process's own); the answer is the exit status."""
    # ctrl+c amid an import would be a traceback: the C module is there without one, and has no stub
    import _signal  # type: ignore[import-not-found]

    os.umask(0o077)  # what jobtui and its workers make is its user's alone, whichever command comes first
    raises = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
    if argv is None and _open_the_dashboard(sys.argv[1:]):
        if raises and os.isatty(0) and os.isatty(1):
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        import gc

        from jobtui.cli.commands.foreground import step_behind_early

        gc.disable()  # a tenth of a start; the dashboard enables it again with its first frame
        step_behind_early()
    elif raises:
        _signal.signal(_signal.SIGINT, end_at_once)
    from jobtui.cli.main import start

    return start(argv)


def end_at_once(*_: object) -> None:
    """What ctrl+c does until there is something to stop: end with its exit status, and without a word."""
    os._exit(130)


def _open_the_dashboard(words: Sequence[str]) -> bool:
    """Whether these words do so as far as can be told at a glance."""
    named = True
    for word in words:
        is_option = word.startswith("-")
        if (word.split("=")[0] not in _PLACE_OPTIONS) if is_option else named:
            return False
        named = not is_option or "=" in word
    return True

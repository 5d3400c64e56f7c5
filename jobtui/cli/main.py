"""The entry point of the command line: runs a command, and reports its errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from jobtui.cli import streams
from jobtui.cli.errors import SIGNAL_STATUS, CommandError, Exit, SignalInterrupt, exit_interrupted

if TYPE_CHECKING:
    from jobtui.cli.options import CliCommand, DashboardCommand, OpenDemo

# with Python's default of 5 ms, which a busy thread may take at each system call of a commit or a frame, the
# slowest acknowledgments took three times as long
SWITCH_SECONDS = 0.0005

_EXTRAS = {"aiohttp": "web", "textual_serve": "web"}
"""The packages that are installed only on request, and the extras that require them."""


def main(argv: Sequence[str]) -> int:
    """Run the command that the arguments name and return the exit status."""
    os.umask(0o077)  # files of jobtui and its workers are for its user alone, whichever command comes first
    streams.secure_streams()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        return _run(argv)
    except CommandError as error:
        streams.print_error(f"jobtui: {error}")
        return error.status
    except SignalInterrupt as interrupt:
        return SIGNAL_STATUS + interrupt.number
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except ModuleNotFoundError as error:
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        extra = _EXTRAS.get(error.name or "")
        advice = (
            f"pip install 'jobtui[{extra}]' installs it (in a clone: pip install '.[{extra}]')"
            if extra
            else "pip install jobtui installs everything that it needs"
        )
        streams.print_error(f"jobtui: the Python package {error.name} is missing; {advice}")
        return Exit.FAILED
    except Exception as error:
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        streams.print_error(f"jobtui: {_explain(error)}")
        return Exit.FAILED


def _run(argv: Sequence[str]) -> int:
    if list(argv) == ["--version"]:
        # before any package is imported: a bug report about a broken installation needs the versions
        from jobtui.cli.help import show_version

        return show_version()
    # late imports: each command imports only the layers that it uses
    if argv[:1] == ["__complete"] and len(argv) > 2:
        from jobtui.cli.commands.completion import print_candidates

        return print_candidates(argv[1:])
    from jobtui.cli.args import parse_arguments

    command = parse_arguments(argv, piped=streams.stdin_is_piped())
    action = _load(command)
    _raise_interrupts(command)
    return action()


def _load(command: CliCommand) -> Callable[[], int]:
    """Import what the command needs, and return a function that runs it."""
    from jobtui.cli import options

    match command:
        case options.ShowHelp(verb):
            from jobtui.cli.help import show_help

            return partial(show_help, verb)
        case options.ShowVersion():
            from jobtui.cli.help import show_version

            return show_version
        case options.HelpCommand(words):
            from jobtui.cli.help import show_statement_help

            return partial(show_statement_help, words)
        case options.ShowCompletion(shell):
            from jobtui.cli.commands.completion import print_script

            return partial(print_script, shell)
        case options.RunCommand():
            from jobtui.cli.commands.run import run_text

            return partial(run_text, command)
        case options.LoadCommand():
            from jobtui.cli.commands.data import load

            return partial(load, command)
        case options.DumpCommand():
            from jobtui.cli.commands.data import dump

            return partial(dump, command)
        case options.ServeCommand():
            from jobtui.cli.commands.serve import serve

            return partial(serve, command)
        case options.WebCommand():
            from jobtui.cli.commands.web import serve_browsers

            return partial(serve_browsers, command)
        case options.ConfigCommand():
            from jobtui.cli.commands.config import config_command

            return partial(config_command, command)
        case options.HistoryCommand():
            from jobtui.cli.commands.history import history_command

            return partial(history_command, command)
        case options.MetricsCommand():
            from jobtui.cli.commands.metrics import metrics_command

            return partial(metrics_command, command)
        case options.NotifyCommand():
            from jobtui.cli.commands.notify import notify_command

            return partial(notify_command, command)
        case options.DoctorCommand():
            from jobtui.cli.commands.doctor import doctor

            return partial(doctor, command)
        case options.DashboardCommand() | options.OpenDemo():
            return _load_dashboard(command)


def _load_dashboard(command: DashboardCommand | OpenDemo) -> Callable[[], int]:
    import gc

    gc.disable()  # a tenth of the start; the dashboard enables it again with its first frame
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, exit_interrupted):
        # until a loop handles it, since an exception by ctrl+c during an import, or while C code creates a
        # class, would be reported as a defect or worse
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jobtui.cli.commands.dashboard import open_dashboard

    return partial(open_dashboard, command)


def _raise_interrupts(command: CliCommand) -> None:
    """Make ctrl+c an exception from here on, so that a command can clean up.

    Statements (-e) have nothing to clean up before they handle signals themselves, and much to import.
    """
    from jobtui.cli import options

    if signal.getsignal(signal.SIGINT) is exit_interrupted and not isinstance(command, options.RunCommand):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _explain(error: Exception) -> str:
    """Return a message for an unexpected error: the missing resource, or the location of the defect."""
    from jobtui.os_errors import explain_shortage

    shortage = explain_shortage(error)
    if shortage:
        # an object that was only partly created (asyncio's loop, for example) fails again when it is deleted
        sys.unraisablehook = lambda _: None
        return shortage
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "jobtui" in frame.filename]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return (
        f"this is a defect of jobtui: {type(error).__name__}: {error}{place}; "
        "JOBTUI_DEBUG=1 shows the traceback"
    )

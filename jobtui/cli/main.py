"""From the process's arguments to a verb, and from whatever went wrong to a plain line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from jobtui.cli import streams
from jobtui.cli.errors import CommandError, Exit

TYPE_CHECKING = False  # typing's own costs --version a tenth of its time
if TYPE_CHECKING:
    from jobtui.cli import args

SWITCH_SECONDS = 0.0005
"""How long a busy thread may keep the others waiting: Python's own 5 ms, at each system call of a commit or
a frame, made the slowest acknowledgements three times as slow."""


def start(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for (None: the process's own); the answer is the exit status."""
    streams.secure_streams()
    sys.setswitchinterval(SWITCH_SECONDS)
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["__complete"] and len(words) > 2:
            from jobtui.cli.commands.completion import answer

            return answer(words[1:])
        if list(words) == ["--version"]:
            return _show_version()
        wanted = _asked(words, piped=streams.stdin_is_piped())
        work = _work(wanted)
        _hear_interrupts(wanted)
        return work()
    except CommandError as error:
        streams.print_error(f"jobtui: {error}")
        return error.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except ModuleNotFoundError as error:
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        streams.print_error(
            f"jobtui: the Python package {error.name} is missing; pip install jobtui brings all that it needs"
        )
        return Exit.FAILED
    except Exception as error:
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        from jobtui.os_errors import explain_shortage

        shortage = explain_shortage(error)
        if shortage:  # what could only half be made, asyncio's loop for one, fails again as it is discarded
            sys.unraisablehook = lambda _: None
        streams.print_error(
            f"jobtui: {shortage}" if shortage else f"jobtui: this is a defect of jobtui: {_in_short(error)}"
        )
        return Exit.FAILED


def _asked(words: Sequence[str], *, piped: bool) -> args.CliCommand:
    """What the words ask for. Raises UsageError."""
    from jobtui.cli.args import plainly_asked

    plain = None if piped else plainly_asked(words)
    if plain is not None:
        return plain
    from jobtui.cli.args import parse_arguments

    return parse_arguments(words, piped=piped)


def _work(wanted: args.CliCommand) -> Callable[[], int]:
    """What is to be done, with all that it needs imported."""
    from functools import partial

    from jobtui.cli import args

    match wanted:
        case args.ShowHelp(verb):
            from jobtui.cli.help import show_help

            return partial(show_help, verb)
        case args.HelpCommand(words):
            from jobtui.cli.help import teach

            return partial(teach, words)
        case args.ShowCompletion(shell):
            from jobtui.cli.commands.completion import SCRIPTS

            return partial(_print, SCRIPTS[shell])
        case args.ShowVersion():
            return _show_version
        case args.RunCommand():
            from jobtui.cli.commands.run import run_text

            return partial(run_text, wanted)
        case args.LoadCommand():
            from jobtui.cli.commands.data import load

            return partial(load, wanted)
        case args.DumpCommand():
            from jobtui.cli.commands.data import dump

            return partial(dump, wanted)
        case args.ServeCommand():
            from jobtui.cli.commands.serve import serve

            return partial(serve, wanted)
        case args.ConfigCommand():
            from jobtui.cli.commands.config import config_command

            return partial(config_command, wanted)
        case args.HistoryCommand():
            from jobtui.cli.commands.history import history_command

            return partial(history_command, wanted)
        case args.DoctorCommand():
            from jobtui.cli.commands.doctor import doctor

            return partial(doctor, wanted)
        case args.DashboardCommand() | args.OpenDemo():
            import gc

            gc.disable()  # a tenth of a start; the dashboard enables it again with its first frame
            from jobtui.cli.commands.dashboard import open_dashboard

            return partial(open_dashboard, wanted)


def _hear_interrupts(wanted: args.CliCommand) -> None:
    """From here on ctrl+c is an exception, so that what was begun is put in order.

    A text has nothing to put in order before it listens by itself, and much to import.
    """
    import _signal  # type: ignore[import-not-found]

    from jobtui.cli import args, end_at_once

    if _signal.getsignal(_signal.SIGINT) is end_at_once and not isinstance(wanted, args.RunCommand):
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def _show_version() -> int:
    """Imports nothing that could be missing: what is installed is what it is asked for."""
    from jobtui.cli.commands.doctor import version_line

    return _print(f"{version_line()}\n")


def _print(text: str) -> int:
    output = streams.Output()
    output.write(text)
    output.flush()
    return Exit.DONE


def _in_short(error: Exception) -> str:
    """The error and the place in our code that it came from."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "jobtui" in frame.filename]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}; JOBTUI_DEBUG=1 shows all of it"

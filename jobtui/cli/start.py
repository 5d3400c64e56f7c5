"""From the process's arguments to a verb, and from whatever went wrong to a plain line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from jobtui.cli import streams
from jobtui.cli.exits import CommandError, Exit

TYPE_CHECKING = False  # typing's own costs --version a tenth of its time
if TYPE_CHECKING:
    from jobtui.cli import arguments


def start(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for (None: the process's own); the answer is the exit status."""
    streams.secure_streams()
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == ["__complete"] and len(words) > 2:
            from jobtui.cli.completing.answering import answer

            return answer(words[1:])
        if list(words) == ["--version"]:
            return _show_version()
        from jobtui.cli.arguments import parse_arguments

        return _carry_out(parse_arguments(words, piped=streams.is_fed()))
    except CommandError as error:
        streams.complain(f"jobtui: {error}")
        return error.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except ModuleNotFoundError as error:
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        streams.complain(
            f"jobtui: the Python package {error.name} is missing; pip install jobtui brings all that it needs"
        )
        return Exit.FAILED
    except Exception as error:
        if os.environ.get("JOBTUI_DEBUG"):
            raise
        streams.complain(f"jobtui: this is a defect of jobtui: {_in_short(error)}")
        return Exit.FAILED


def _carry_out(asked: arguments.Asked) -> int:
    from jobtui.cli import arguments

    match asked:
        case arguments.ShowHelp(verb):
            from jobtui.cli.help_command import show_help

            return show_help(verb)
        case arguments.Teach(words):
            from jobtui.cli.help_command import teach

            return teach(words)
        case arguments.ShowCompletion(shell):
            from jobtui.cli.completing.scripts import SCRIPTS

            return _print(SCRIPTS[shell])
        case arguments.ShowVersion():
            return _show_version()
        case arguments.RunText():
            from jobtui.cli.headless import run_text

            return run_text(asked)
        case arguments.Load():
            from jobtui.cli.load import load

            return load(asked)
        case arguments.Dump():
            from jobtui.cli.dump import dump

            return dump(asked)
        case arguments.Serve():
            from jobtui.cli.serve import serve

            return serve(asked)
        case arguments.ConfigCommand():
            from jobtui.cli.config_command import config_command

            return config_command(asked)
        case arguments.HistoryCommand():
            from jobtui.cli.history_command import history_command

            return history_command(asked)
        case arguments.Examine():
            from jobtui.cli.doctor import doctor

            return doctor(asked)
        case arguments.OpenDashboard() | arguments.OpenDemo():
            import gc

            gc.disable()  # a tenth of a start; the dashboard enables it again with its first frame
            from jobtui.cli.dashboard import open_dashboard

            return open_dashboard(asked)


def _show_version() -> int:
    """Imports nothing that could be missing: what is installed is what it is asked for."""
    from jobtui.cli.versions import version_line

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

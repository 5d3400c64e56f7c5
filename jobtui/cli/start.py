"""From the process's arguments to a verb, and from whatever went wrong to a plain line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from jobtui.cli import streams
from jobtui.cli.exits import CommandError, Exit

TYPE_CHECKING = False  # typing's own costs --version a tenth of its time
if TYPE_CHECKING:
    from jobtui.cli import asked


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
        return _carry_out(_asked(words, piped=streams.is_fed()))
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


def _asked(words: Sequence[str], *, piped: bool) -> asked.Asked:
    """What the words ask for. Raises UsageError."""
    from jobtui.cli.asked import plainly_asked

    plain = None if piped else plainly_asked(words)
    if plain is not None:
        return plain
    from jobtui.cli.arguments import parse_arguments

    return parse_arguments(words, piped=piped)


def _carry_out(wanted: asked.Asked) -> int:
    from jobtui.cli import asked

    match wanted:
        case asked.ShowHelp(verb):
            from jobtui.cli.help_command import show_help

            return show_help(verb)
        case asked.Teach(words):
            from jobtui.cli.help_command import teach

            return teach(words)
        case asked.ShowCompletion(shell):
            from jobtui.cli.completing.scripts import SCRIPTS

            return _print(SCRIPTS[shell])
        case asked.ShowVersion():
            return _show_version()
        case asked.RunText():
            from jobtui.cli.headless import run_text

            return run_text(wanted)
        case asked.Load():
            from jobtui.cli.load import load

            return load(wanted)
        case asked.Dump():
            from jobtui.cli.dump import dump

            return dump(wanted)
        case asked.Serve():
            from jobtui.cli.serve import serve

            return serve(wanted)
        case asked.ConfigCommand():
            from jobtui.cli.config_command import config_command

            return config_command(wanted)
        case asked.HistoryCommand():
            from jobtui.cli.history_command import history_command

            return history_command(wanted)
        case asked.Examine():
            from jobtui.cli.doctor import doctor

            return doctor(wanted)
        case asked.OpenDashboard() | asked.OpenDemo():
            import gc

            gc.disable()  # a tenth of a start; the dashboard enables it again with its first frame
            from jobtui.cli.dashboard import open_dashboard

            return open_dashboard(wanted)


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

"""The process's entry point: `python -m jobtui` and the installed command `jobtui`."""

import signal
import sys

from jobtui.cli.errors import exit_interrupted


def main() -> int:
    """Run jobtui with the process's arguments and return the exit status."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, exit_interrupted)
    # imported only now: ctrl+c during an import would print a traceback
    from jobtui.cli.main import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())

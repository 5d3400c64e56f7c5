"""The texts of `--help`, `jobtui help` and `--version`, and the functions that print them.

The texts are written by hand, so that each fits a small screen and teaches; tests compare them with the parser.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from jobtui import __version__
from jobtui.cli.errors import Exit
from jobtui.cli.streams import Output, print_error

_REPORTED_PACKAGES = ("textual", "rocksdict", "msgspec", "pyparsing")


def show_help(verb: str | None) -> int:
    """Print the page of --help, or of a verb, and return the exit status."""
    return _print(HELP if verb is None else VERB_HELP[verb])


def show_statement_help(words: Sequence[str]) -> int:
    """Print help for the statement or verb that begins with these words (none: for all statements)."""
    if words and words[0] in VERB_HELP:
        return show_help(words[0])
    from jobtui.language.help import begins_a_statement, help_for  # the language: only for this command

    typed = " ".join(words)
    text = help_for(typed)
    if begins_a_statement(typed):
        return _print(f"{text}\n")
    print_error(text)
    return Exit.USAGE


def show_version() -> int:
    """Print the versions that a bug report needs, and return the exit status."""
    return _print(f"{version_line()}\n")


def version_line() -> str:
    """Return `jobtui 0.1.0 (Python 3.11.7, textual 8.2.8, …, Linux 6.1.0)`."""
    system = os.uname()
    packages = [f"{name} {_installed_version(name)}" for name in _REPORTED_PACKAGES]
    parts = [f"Python {sys.version.split()[0]}", *packages, f"{system.sysname} {system.release}"]
    return f"jobtui {__version__} ({', '.join(parts)})"


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _print(text: str) -> int:
    output = Output()
    output.write(text)
    output.flush()
    return Exit.DONE


HELP = """\
jobtui: a dashboard and command bar for a storage cluster's flush and compact

  jobtui                       open the dashboard (--demo: on throw-away data)
  jobtui -e "USE nba; ADMIN COMPACT; SHOW JOBS"
                               run statements; stay until their jobs have ended
  jobtui -f nightly.ngql       the same from a file, or piped on stdin (-f -)
  jobtui load SPACE FILE…      put key-value pairs in; dump SPACE prints them
  jobtui serve                 run the jobs without a screen (--background)
  jobtui config, history, doctor   settings; the stored jobs; what is wrong here
  jobtui help [STATEMENT]      the statements; VERB --help tells of a verb
  jobtui completion bash|zsh|fish   what a shell needs to complete all of it

  --format box|json|jsonl|csv  of results; load and dump have jsonl, csv and tsv
  --detach, --wait             leave the jobs queued; stay for handed-in ones
  --quiet, -q; --raw           say only what went wrong; guard nothing in CSV
  --profile NAME               a profile of the config; each has its own data
  --nebula HOST:PORT [-u USER] [--tls system|CA_FILE]
                               a NebulaGraph cluster; its password is asked for
  --data-dir DIR, --config FILE   where the data lies; another config file
  --version, --help

Exit status: 0 done, 1 a statement failed, 2 usage or syntax,
3 a job failed or was stopped, 130 interrupted (after an honest stop).
Beside an open jobtui, -e hands its jobs in and ends with 0, unless --wait.
"""

VERB_HELP = {
    "load": """\
jobtui load SPACE FILE… [--format jsonl|csv|tsv] [--delete-keys] [--quiet]

Puts key-value pairs into an embedded space that is there already, spread over
its hosts by the key. A file's name tells its format; - is stdin. All of it is
read through first: where a line can't be read it is named, and nothing is
loaded. A pipe is kept meanwhile beside the profile's data.

  printf 'player,Tim Duncan\\nteam,Spurs\\n' | jobtui load nba - --format csv
  jobtui load nba players.jsonl teams.csv

  jsonl   {"key": "k", "value": "v"}    "value": null deletes the key
  csv     k,v                           k,\\N or k alone deletes the key
  tsv     the same with a tab; \\t, \\n, \\r and \\\\ are escapes

Pairs loaded and keys deleted are reported apart. A file that seems to use
another separator or format is refused, and so is one of keys alone, unless
--delete-keys says that deletions are meant.
""",
    "dump": """\
jobtui dump SPACE [--format jsonl|csv|tsv]

Prints an embedded space's key-value pairs in the order of their keys. What was
dumped loads again to the byte. Of an adopted database it is the default column
family alone; where there are others, that is said.

  jobtui dump nba > nba.jsonl
  jobtui dump nba --format csv | head
""",
    "serve": """\
jobtui serve [--background]

Runs the profile's jobs without a screen: the queue, and what dashboards and
jobtui -e of the same profile hand in. What happens is told on stderr. The
first SIGTERM or ctrl+c stops what runs and leaves the queue for the next
start; the second leaves at once.

  --background   go on without this terminal, once the server has the profile;
                 it then writes serve.log beside the profile's data
""",
    "config": """\
jobtui config [print|path|check]

  print   every setting with its value, default and meaning; the output is a
          config file (the default)
  path    where the config file belongs
  check   whether it can be used: each problem with its line and a near miss

  jobtui config > new.toml && jobtui config check --config new.toml
""",
    "history": """\
jobtui history verify
jobtui history repair
jobtui history export [FILE] [--format jsonl|json|csv] [--raw] [--quiet]

The jobs that a profile keeps on disk, archived ones included.

  verify   read every record and check it; changes nothing, and may be run
           beside a jobtui at work. Status 1 where something is damaged
  repair   mend what can be mended; what can't be read is kept in quarantine/.
           Needs the profile for itself
  export   every job, on stdout or into a new FILE: full records as JSON, or a
           row each as CSV; changes nothing. Of damage it tells what is missing,
           with status 1. In CSV an apostrophe keeps a text such as =1+1 from
           being computed by a spreadsheet; --raw leaves it out

  jobtui history export --format csv > jobs.csv
""",
    "doctor": """\
jobtui doctor

Looks at all that jobtui needs here, a line each: ok, warn or bad, and what to
do. Your data is not touched: storage is tried on a throw-away database.
The status is 1 where a line is bad, else 0.

  jobtui doctor --profile prod
""",
    "completion": """\
jobtui completion bash|zsh|fish

Prints what the shell needs to complete verbs, options, profiles and, after -e,
statements with their spaces and job ids.

  bash   source <(jobtui completion bash)      in ~/.bashrc
  zsh    source <(jobtui completion zsh)       in ~/.zshrc, after compinit
  fish   jobtui completion fish | source       in ~/.config/fish/config.fish
""",
    "help": """\
jobtui help              every statement in a line
jobtui help STATEMENT    one at length, by its first words: jobtui help recover
jobtui help VERB         the same as jobtui VERB --help
""",
}

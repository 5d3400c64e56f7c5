"""The texts of `--help`, `jobtui help` and `--version`, and the functions that print them.

The texts are written by hand, so that each fits a small screen and teaches; tests compare them with the parser.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from jobtui import __version__
from jobtui.cli.errors import Exit
from jobtui.cli.streams import StdoutWriter, print_error

_REPORTED_PACKAGES = ("textual", "rocksdict", "msgspec", "pyparsing")


def show_help(verb: str | None) -> int:
    """Print the page of --help, or of a verb, and return the exit status."""
    return _print(HELP if verb is None else VERB_HELP[verb])


def show_statement_help(words: Sequence[str]) -> int:
    """Print help for the statement, term or verb that these words begin (none: for all statements)."""
    if words and words[0] in VERB_HELP:
        return show_help(words[0])
    from jobtui.language.help import has_help, help_for  # the language: only for this command

    typed = " ".join(words)
    text = help_for(typed)
    if has_help(typed):
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
    from importlib.metadata import PackageNotFoundError, version  # 40 ms, which --help need not wait for

    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _print(text: str) -> int:
    output = StdoutWriter()
    output.write(text)
    output.flush()
    return Exit.DONE


HELP = """\
jobtui: a dashboard and command bar for a storage cluster's flush and compact

  jobtui                       open the dashboard (--demo: on temporary data)
  jobtui -e "USE nba; ADMIN COMPACT; SHOW JOBS"
                               run statements and wait for their jobs
  jobtui -f nightly.ngql       the same from a file, or piped on stdin (-f -)
  jobtui load SPACE FILE…      load key-value pairs; dump SPACE prints them
  jobtui serve, jobtui web     run jobs without a screen; show them in a browser
  jobtui config, history, doctor   settings; stored jobs; check the setup
  jobtui help [STATEMENT]      the statements; VERB --help explains a verb
  jobtui metrics, notify, completion   for Prometheus; a test; your shell

  --format box|json|jsonl|csv  of results; load and dump: jsonl, csv, tsv
  --detach, --wait             only queue the jobs; always wait for their end
  --quiet, -q; --raw           print errors only; do not escape formulas in CSV
  --profile NAME               a profile from the config; each has its own data
  --nebula HOST:PORT [-u USER] [--tls system|CA_FILE]
                               a NebulaGraph cluster; asks for the password
  --data-dir DIR, --config FILE   the data directory; the config file
  --read-only                  refuse every change (others: --version, --help)

Exit status: 0 done, 1 a statement or a command failed, 2 usage or syntax,
3 a job failed or was stopped, 130 interrupted, after its jobs were stopped.
With another jobtui open, -e submits its jobs there and returns; see --wait.
"""

VERB_HELP = {
    "load": """\
jobtui load SPACE FILE… [--format jsonl|csv|tsv] [--delete-keys] [--quiet]

Loads key-value pairs into an existing embedded space, distributed over its
hosts by key. The file name's extension selects the format; - is stdin. All
input is checked first: if a line is invalid, its number is reported and nothing
is loaded. Piped input is stored in a temporary file in the profile's directory.

  printf 'player,Tim Duncan\\nteam,Spurs\\n' | jobtui load nba - --format csv
  jobtui load nba players.jsonl teams.csv

  jsonl   {"key": "k", "value": "v"}    "value": null deletes the key
  csv     k,v                           k,\\N or k alone deletes the key
  tsv     the same with a tab; \\t, \\n, \\r and \\\\ are escapes

Loaded pairs and deleted keys are counted separately. A file that seems to use
another separator or format is refused. So is a file that has only keys, unless
--delete-keys confirms the deletions.
""",
    "dump": """\
jobtui dump SPACE [--format jsonl|csv|tsv]

Prints the key-value pairs of an embedded space in key order. Loading a dump
restores every byte. Of an adopted database only the default column family is
dumped; if it has others, jobtui reports them.

  jobtui dump nba > nba.jsonl
  jobtui dump nba --format csv | head
""",
    "serve": """\
jobtui serve [--background] [--until-idle] [--metrics HOST:PORT]

Runs the profile's jobs without a screen: queued ones, and those that
dashboards and jobtui -e of the same profile submit. Events are reported on
stderr. The first SIGTERM or ctrl+c stops the running jobs and leaves the queued
ones for the next start; the second exits immediately.

  --background   continue without this terminal, once the server owns the
                 profile; writes serve.log in the profile's directory
  --until-idle   exit when no job is left to run; paused jobs stay paused
  --metrics HOST:PORT   serve metrics for Prometheus, like 127.0.0.1:9477
""",
    "web": """\
jobtui web [--port N] [--url URL] [--tabs N] [--writable]

Shows the dashboard in a browser on this machine, until SIGTERM or ctrl+c. The
address that is printed contains a secret: anyone who has it can see the jobs.
Each tab is a dashboard of its own. It needs the extra:
pip install 'jobtui[web]'

  --writable   accept statements and keys that change something; otherwise
               every tab is read-only
  --port N     the port on 127.0.0.1 (default: 9478; 0: a free one)
  --url URL    the address under which browsers reach jobtui through a proxy
  --tabs N     the maximum number of open tabs (default: 16)

  ssh -t -L 9478:127.0.0.1:9478 host jobtui web    then open the address here
""",
    "config": """\
jobtui config [print|path|check]

  print   every setting with its value, default and meaning; the output is a
          config file (the default)
  path    the path of the config file
  check   validate it: each problem with its line and a suggestion

  jobtui config > new.toml && jobtui config check --config new.toml
""",
    "history": """\
jobtui history verify
jobtui history repair
jobtui history export [FILE] [--format jsonl|json|csv] [--raw] [--quiet]

The jobs that a profile keeps on disk, archived ones included.

  verify   read and check every record; changes nothing, also works while
           jobtui runs. Status 1 if something is damaged
  repair   repair what can be repaired, and move unreadable data to quarantine/.
           No other jobtui may use the profile
  export   write every job to stdout or a new FILE: full records as JSON, or
           one row per job as CSV. If jobs are damaged it reports which are
           missing, with status 1. In CSV an apostrophe prevents a spreadsheet
           from running text such as =1+1 as a formula; --raw omits it

  jobtui history export --format csv > jobs.csv
""",
    "metrics": """\
jobtui metrics [--output FILE]

Prints the profile's metrics as OpenMetrics text: jobs, spaces, hosts, schedules
and the history's health. What only the process that runs the profile can
measure is left out without one. docs/metrics.md lists them, with alert rules.

  --output FILE   replace FILE as a whole, readable by every user: for the
                  textfile collector of Prometheus' node_exporter

  jobtui metrics --output /var/lib/node_exporter/jobtui.prom
  jobtui serve --metrics 127.0.0.1:9477
""",
    "notify": """\
jobtui notify test

Sends a message to the command and the web hook of the table [notify] in the
config, once each and from this process, and reports the results. The
status is 1 if one of them failed, otherwise 0.

  [notify]
  on = ["failed", "slow"]
  command = "/usr/local/bin/page --team storage"
  url = "env:JOBTUI_HOOK"
""",
    "doctor": """\
jobtui doctor

Checks everything that jobtui needs, one line each: ok, warn or bad, and what to
do. Your data is not changed: storage is tested on a temporary database.
The status is 1 if a line is bad, otherwise 0.

  jobtui doctor --profile prod
""",
    "completion": """\
jobtui completion bash|zsh|fish

Prints a script with which the shell completes verbs, options, profiles and,
after -e, statements with their spaces and job ids.

  bash   source <(jobtui completion bash)      in ~/.bashrc
  zsh    source <(jobtui completion zsh)       in ~/.zshrc, after compinit
  fish   jobtui completion fish | source       in ~/.config/fish/config.fish
""",
    "help": """\
jobtui help              every statement, one line each
jobtui help STATEMENT    one in detail, by its first words: jobtui help recover
jobtui help VERB         the same as jobtui VERB --help
""",
}

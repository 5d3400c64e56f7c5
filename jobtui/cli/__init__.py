"""The command line: `jobtui` and its arguments.

    main.py            the entry point: imports and runs the command that the arguments name
    args.py            the argument parser
    options.py         a record of the options of each command
    help.py            the texts of --help and `jobtui help`; --version
    errors.py          the exit statuses, and the errors and signals that lead to them
    streams.py         stdout, stderr and stdin: closed pipes, full disks, foreign characters
    output.py          results as box, JSON, JSON lines or CSV; how jobs ended, in words and as a status
    progress.py        progress on stderr: bars on a terminal, otherwise a line every 30 seconds
    profiles.py        the settings and the profile that the options of a command name
    connect.py         the client of a command: an engine in this process, or a connection to the owner
    wait.py            waiting for jobs: ctrl+c stops those that run here, and leaves those of another process
    pair_format.py     the text formats of key-value pairs, and signs that a file uses another separator
    pair_files.py      text to pairs, and pairs to text
    commands/          a module for each command

`--help` and `--version` import no pyparsing, asyncio, Rich or Textual.
"""

"""`jobtui dump SPACE`: a space's key-value pairs on stdout, in key order."""

from __future__ import annotations

from jobtui.cli.asked import Dump
from jobtui.cli.engines import must_exist, notices_told, opened
from jobtui.cli.exits import Exit
from jobtui.cli.pairs import PairFormat, write_pairs
from jobtui.cli.profiles import must_be_embedded, profile_of, settings_of
from jobtui.cli.streams import Output
from jobtui.engine.profile import Run


def dump(asked: Dump) -> int:
    """Print the pairs; the answer is the exit status. Raises CommandError, also midway."""
    profile = profile_of(asked, settings_of(asked))
    must_be_embedded(profile)
    output = Output()
    with opened(profile, Run.NONE) as engine, notices_told(engine):
        must_exist(engine, asked.space)
        for line in write_pairs(engine.dump(asked.space), PairFormat(asked.format)):
            output.write_bytes(line)
            if output.closed:
                break
        output.flush()
    return Exit.DONE

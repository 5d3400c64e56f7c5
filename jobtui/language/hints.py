"""The error of a wrong statement, with a hint at what was probably meant.

Each hint function knows one kind of mistake and returns None for all others. The first hint that applies is
used. A proposed statement is parsed before it is proposed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

from jobtui.formatting import printable
from jobtui.language.errors import StatementError
from jobtui.language.grammar import Punctuation, expected_at, match
from jobtui.language.hint_context import (
    MAX_TYPO_LENGTH,
    Hint,
    HintContext,
    describe_expected,
    expected_keywords,
    join_alternatives,
)
from jobtui.language.identifiers import (
    BLANKS,
    describe_character,
    is_host_name,
    is_name,
    quote_name,
    quote_text,
    to_keyword,
    to_reserved_keyword,
)
from jobtui.language.lexer import (
    BAD,
    DECIMAL,
    MEASURE,
    NAME,
    NAMES,
    NUMBER,
    STRING,
    SYMBOLS,
    LexError,
    Tokens,
    to_ascii,
)
from jobtui.language.parts import (
    JOB_OPTIONS,
    PAUSE_OPTIONS,
    QUANTITIES,
    RECOVER_OPTIONS,
    SCHEDULE_OPTIONS,
    Placeholder,
    PlaceholderKind,
)
from jobtui.language.syntax import STATUSES, SYNTAX
from jobtui.suggest import did_you_mean

_MAX_WORDS: Final = 12
_VERBS: Final = frozenset(form.verb for form in SYNTAX)
_SOLID: Final = re.compile(r"[^\s;,'\"]{1,40}(?![^\s;,])")
_DOTTED: Final = re.compile(r"\d+(?:\.\d+){2}|[^\W\d]\w*\.\w")  # an address or a host name, not a fraction
_HOST: Final = re.compile(r"[^\s;,'\"`]{1,60}")
_NAMES: Final = (
    PlaceholderKind.SPACE,
    PlaceholderKind.NEW_SPACE,
    PlaceholderKind.HOST,
    PlaceholderKind.SCHEDULE,
    PlaceholderKind.NEW_SCHEDULE,
)
_STRINGS: Final = (
    PlaceholderKind.DIRECTORY,
    PlaceholderKind.TEXT,
    PlaceholderKind.FAMILY,
    PlaceholderKind.KEY,
    PlaceholderKind.TIME_ZONE,
)
_NUMBERS: Final = frozenset({NUMBER, DECIMAL, MEASURE})
_STRANGE: Final = frozenset({BAD, MEASURE, DECIMAL, *SYMBOLS})
"""The kinds of tokens that people write in a name that must be quoted."""
_OTHER_WORDS: Final = {
    "yes": "true",
    "on": "true",
    "1": "true",
    "no": "false",
    "off": "false",
    "0": "false",
    "==": "=",
    ":": "=",
    ":=": "=",
    "=>": ">=",
    "=<": "<=",
    "<>": "!=",
    "!": "NOT",
    "&&": "AND",
    "&": "AND",
    "||": "OR",
    "|": "OR",
    ",": "AND",
}
_OPTIONS: Final = frozenset(
    option.name for option in (*JOB_OPTIONS, *PAUSE_OPTIONS, *RECOVER_OPTIONS, *SCHEDULE_OPTIONS)
)
_JOB_CLAUSES: Final[tuple[str, ...]] = ("ON", "IF", "WITH")
_SCHEDULE_CLAUSES: Final[tuple[str, ...]] = ("AT", "UNTIL", "WITH", "DO")
"""The clauses after a name, in order."""


def syntax_error(text: str, tokens: Tokens, error: LexError | None) -> StatementError:
    """Return the error of a statement that has no form, or that ends with a lexical `error`.

    It is about the first mistake: the lexical error is reported only if all tokens before it are correct.
    """
    kinds = tokens.kinds if error is None else tokens.kinds[:-1]
    found = expected_at(kinds)
    if error is not None and error.message and found.position == len(kinds):
        return StatementError(error.message, text=text, span=(error.start, error.end), near=error.near)
    if found.limit:
        return StatementError(found.limit, text=text, span=_span(tokens, found.position))
    parts = tuple(part for _, part in found.expected)
    expected = describe_expected(parts)
    hint = hint_for(HintContext(text, tokens, found.position, parts))
    message = f"expected {join_alternatives(expected)}"
    if hint is not None:
        message = f"{message}; {hint.text}"
    span = _span(tokens, found.position)
    near = None if hint is None else hint.near
    return StatementError(message, text=text, span=span, expected=expected, near=near)


def hint_for(context: HintContext) -> Hint | None:
    """Return the first hint that applies, None if none does."""
    return next(filter(None, (hint(context) for hint in _HINTS)), None)


def _hint_missing_semicolon(here: HintContext) -> Hint | None:
    """Return a hint for `ADMIN FLUSH SHOW JOBS`."""
    more = here.at + 1 < len(here.tokens.starts)
    if here.may_end and to_keyword(here.word) in _VERBS and more:
        return Hint("statements are separated by ;")
    return None


def _hint_keyword_as_name(here: HintContext) -> Hint | None:
    """Return a hint for `USE flush`."""
    if not here.allows(*_NAMES) or to_reserved_keyword(here.word) is None:
        return None
    near = f"`{here.word}`"
    return Hint(f"{here.word} is a keyword: to use it as a name, write it between back-quotes, {near}", near)


def _hint_digits_as_name(here: HintContext) -> Hint | None:
    """Return a hint for `USE 2nba`."""
    if not here.allows(*_NAMES) or here.word[:1] not in set("0123456789") or here.kind == DECIMAL:
        return None
    near = f"`{here.word}`"
    return Hint(f"a name that begins with a digit is written between back-quotes: {near}", near)


def _hint_string_as_name(here: HintContext) -> Hint | None:
    """Return a hint for `USE 'nba'`."""
    name = here.word[1:-1]
    if here.kind != STRING or not here.allows(*_NAMES) or not is_name(name):
        return None
    return Hint(
        f"a name is written bare or between back-quotes; did you mean {quote_name(name)}?", quote_name(name)
    )


def _hint_name_as_string(here: HintContext) -> Hint | None:
    """Return a hint for `CREATE SPACE chain AT dir` and `WITH because = traffic`."""
    wanted = [one.kind for one in here.expected if isinstance(one, Placeholder) and one.kind in _STRINGS]
    if not wanted or here.kind not in NAMES | _NUMBERS or not here.word:
        return None
    what, _, _ = wanted[0].value.partition(" in quotes")
    if here.at + 1 < len(here.tokens.kinds) and here.tokens.kinds[here.at + 1] in NAMES:
        return Hint(f"all of {what} is written in quotes")
    near = f'"{here.word.strip("`")}"'
    return Hint(f"{what} is written in quotes; did you mean {near}?", near)


def _hint_string_as_word(here: HintContext) -> Hint | None:
    """Return a hint for `WITH order = "largest"`."""
    word = here.word[1:-1].lower()
    if here.kind != STRING or word not in here.keywords:
        return None
    return Hint(f"it is written without quotes; did you mean {word}?", word)


def _hint_other_digits(here: HintContext) -> Hint | None:
    """Return a hint for SHOW JOB `40`, SHOW JOB ² and SHOW JOB 0xg."""
    if not here.allows(PlaceholderKind.JOB, PlaceholderKind.COUNT):
        return None
    digits = here.word.strip("`\"'")
    if digits and all(unicodedata.digit(c, None) is not None for c in digits):
        near = "".join(str(unicodedata.digit(c)) for c in digits)
        return Hint(f"a number is written with the digits 0 to 9; did you mean {near}?", near)
    if here.kind in (BAD, MEASURE) and here.word[:1] in set("0123456789"):
        return Hint(f"{here.word} is not a whole number")
    return None


def _hint_lookalike(here: HintContext) -> Hint | None:
    """Return a hint for `ЅHOW JOBS` with a Cyrillic letter."""
    if here.kind != NAME or here.word.isascii():
        return None
    meant = next((word for word in here.keywords if word.upper() == to_keyword(to_ascii(here.word))), None)
    if meant is None:
        return None
    other = next(c for c in here.word if not c.isascii())
    shown = "" if unicodedata.combining(other) else f"{other} is "
    return Hint(f"{shown}{describe_character(other)}; did you mean {meant}?", meant)


def _hint_misspelled(here: HintContext) -> Hint | None:
    """Return a hint for `SHOW JBO`."""
    word = here.word
    if len(word) < 2 or not word.isascii() or not word.isidentifier():
        return None
    if not here.at and to_keyword(word) is not None and to_reserved_keyword(word) is None:
        return None  # RATE 5 MiB lacks a word
    near = did_you_mean(word, here.keywords)
    return None if near is None else Hint(f"did you mean {near}?", near)


def _hint_other_preposition(here: HintContext) -> Hint | None:
    """Return a hint for `SHOW JOBS ON nba` and `SHOW JOBS FROM nba`."""
    if here.word.upper() not in ("ON", "OF", "FROM", "FOR") or "IN" not in here.keywords:
        return None
    return Hint("did you mean IN?", "IN")


def _hint_run_together(here: HintContext) -> Hint | None:
    """Return a hint for `SHOWJOBS` and `JOB40`."""
    capitals = here.word.upper()
    for word in here.keywords:
        rest = capitals.removeprefix(word).lstrip("_")
        if (
            word.isupper()
            and capitals.startswith(word)
            and (to_reserved_keyword(rest) is not None or (rest.isascii() and rest.isdigit()))
        ):
            return Hint(f"did you mean {word} {rest}?", f"{word} {rest}")
    return None


def _hint_left_out(here: HintContext) -> Hint | None:
    """Return a hint for `STOP 22` and `COMPACT nba` (correct with one more keyword)."""
    if here.missing:
        return None
    words = here.keywords if here.at else ("ADMIN", "SHOW", "SET")
    if here.kind == STRING and "AT" in words:
        words = ("AT",)  # in quotes it is more likely a directory than a host
    corrected = [near for word in words if (near := _corrected(here, here.at, here.at, word)) is not None]
    return Hint(f"did you mean {corrected[0]}?", corrected[0]) if len(corrected) == 1 else None


def _hint_previous_keyword(here: HintContext) -> Hint | None:
    """Return a hint for `SHOW JOBS 40` and `SHOW JOB` (correct with another keyword before)."""
    at = here.at - 1
    if at < 1 or len(here.tokens.kinds) > _MAX_WORDS:
        return None
    before = to_keyword(here.written(at))
    if before is None:
        return None
    for word in expected_keywords(tuple(one for _, one in expected_at(here.tokens.kinds[:at]).expected)):
        if word != before and did_you_mean(before, [word]):
            near = _corrected(here, at, at + 1, word)
            if near is not None:
                return Hint(f"did you mean {near}?", near)
    return None


def _hint_misplaced(here: HintContext) -> Hint | None:
    """Return a hint for `SHOW JOBS FAILED` and `DROP SPACE nba IF EXISTS`."""
    word, verb, before = here.word.upper(), here.written(0).upper(), here.kinds_before
    if word == "IF" and verb in ("CREATE", "DROP") and here.at > 2 and "DO" not in before:
        return Hint(f"IF {'NOT EXISTS' if verb == 'CREATE' else 'EXISTS'} comes before the name")
    clauses, given = _JOB_CLAUSES, before[before.index("DO") if "DO" in before else 0 :]
    if before[:2] == ["CREATE", "SCHEDULE"] and "DO" not in before:
        clauses = _SCHEDULE_CLAUSES
    elif verb not in ("ADMIN", "SUBMIT", "EXPLAIN") and "DO" not in before:
        clauses = ()
    if word in clauses:
        later = [clause for clause in clauses[clauses.index(word) + 1 :] if clause in given]
        if later:
            return Hint(f"{word} comes before {later[0]}")
    if verb != "SHOW" or not here.may_end or "JOBS" not in before:
        return None
    if word in STATUSES:
        return Hint(f"the status comes before JOBS: SHOW {word} JOBS", f"SHOW {word} JOBS")
    if word == "WHERE":
        return Hint("choose jobs by status or space, as in SHOW FAILED JOBS IN nba")
    if word == "IN" and "LIMIT" in before:
        return Hint("IN comes before LIMIT")
    return None


def _hint_range(here: HintContext) -> Hint | None:
    """Return a hint for `RECOVER JOB 1-3`, `BACKUP JOB 0 TO 22` and `SHOW JOB 40-0`."""
    if here.word.upper() not in ("-", ",", "TO", "AND", "..") or (here.word == "-" and here.before in BLANKS):
        return None
    if here.written(0).upper() == "BACKUP" and here.at == 3:
        return Hint("the first and the last id are separated by a blank, as in BACKUP JOB 0 22")
    if Punctuation.COMMA in here.expected and here.written(0).upper() in ("STOP", "PAUSE", "RESUME", "RECOVER"):
        return Hint("ids are listed one by one, as in 1, 2, 3")
    if here.kinds_before[:2] == ["SET", "RATE"]:
        return Hint("the rate of one job is set at a time, or that of all without FOR")
    if here.written(0).upper() == "SHOW" and here.at == 3 and here.written(1).upper() == "JOB":
        return Hint("one job is shown at a time, with all its tasks, as in SHOW JOB 40")
    return None


def _hint_sign_or_fraction(here: HintContext) -> Hint | None:
    """Return a hint for `STOP JOB --22`, `SHOW JOB 1.0` and `USE a.b`."""
    if here.word == "--":
        return Hint("-- begins a comment only before a blank, and numbers have no sign")
    if here.word in ("-", "+") and here.allows(*QUANTITIES, PlaceholderKind.JOB, PlaceholderKind.COUNT):
        return Hint("numbers have no sign")
    if here.word == "." and here.allows(*QUANTITIES):
        return Hint("a number with a fraction has a digit before the point, as in 0.5")
    if here.kind == DECIMAL and here.allows(*_NAMES) and not here.allows(PlaceholderKind.COUNT):
        return Hint("a name cannot hold a '.'")
    if here.word != "." and here.kind != DECIMAL:
        return None
    if here.expects_unit:
        return None
    if here.kind_before == NUMBER or here.allows(PlaceholderKind.JOB, PlaceholderKind.COUNT):
        return Hint("numbers are whole")
    return Hint("a name cannot hold a '.'") if here.kind_before in NAMES else None


def _hint_dotted_host(here: HintContext) -> Hint | None:
    """Return a hint for `CREATE SPACE a ON 192.168.8.5, host.example.com`."""
    before = here.kinds_before
    if "ON" not in before or {"IF", "WITH", "HOSTS"} & set(before[before.index("ON") :]) or here.missing:
        return None
    at = here.at - 1 if here.word == "." else here.at
    if not _DOTTED.match(here.text, here.tokens.starts[at]):
        return None
    name = _HOST.match(here.text, here.tokens.starts[at])
    near = quote_text(name.group()) if name is not None and is_host_name(name.group()) else None
    meant = f"; did you mean {near}?" if near else ""
    return Hint(f"a host's name with a '.' is written in quotes{meant}", near)


def _hint_special_characters(here: HintContext) -> Hint | None:
    """Return a hint for `USE my-space` and `USE _x`."""
    if here.kind not in _STRANGE or here.word[:1] in ("", "&", "|"):
        return None
    start = here.tokens.starts[here.at]
    if not here.allows(*_NAMES):
        is_unit = here.at > 1 and here.tokens.kinds[here.at - 2] in _NUMBERS
        if here.kind_before not in NAMES or is_unit or here.tokens.ends[here.at - 1] != start:
            return None
        start = here.tokens.starts[here.at - 1]
    name = _SOLID.match(here.text, start)
    meant = "" if name is None else name.group()
    if "`" in meant or not is_name(meant) or printable(meant) != meant:
        return None
    near = f"`{meant}`"
    return Hint(
        f"a name with other characters than letters, digits and _ is written between back-quotes: {near}", near
    )


def _hint_other_separator(here: HintContext) -> Hint | None:
    """Return a hint for `SHOW JOBS && SHOW JOBS`."""
    if here.kind == BAD and here.may_end and here.word in ("&&", "&", "||", "|", ":", "/", "\\"):
        return Hint("statements are separated by ;")
    return None


def _hint_other_word(here: HintContext) -> Hint | None:
    """Return a hint for `rolling == 1`, `now = yes` and `size > 1 GiB && l0_files > 4`."""
    near = _OTHER_WORDS.get(here.word.lower())
    if here.word == ")" and "AND" in here.keywords:
        return Hint("no parenthesis is open here")
    return Hint(f"did you mean {near}?", near) if near in here.keywords else None


def _hint_option(here: HintContext) -> Hint | None:
    """Return a hint for `WITH rolling = 1 wait = 5 min`, `WITH rolling = 1,`, `because = "x"`."""
    name = here.word.lower()
    if "WITH" not in here.kinds_before:
        if name in _OPTIONS and "WITH" in here.keywords:
            return Hint(f"options come after WITH, as in WITH {name} = …")
        return None
    if name in _OPTIONS and here.kind_before in ("WITH", ","):
        verbs = dict.fromkeys(form.verb for form in SYNTAX if name in {one.name for one in form.options})
        return Hint(f"{name} is an option of {join_alternatives(tuple(verbs))}")
    if here.missing and here.kind_before == ",":
        return Hint("the last option is followed by no comma")
    if Punctuation.COMMA in here.expected and (here.word.lower() in _OPTIONS or here.word.upper() == "AND"):
        return Hint("options are separated by commas")
    return None


def _hint_needed(here: HintContext) -> Hint | None:
    """Return a hint for `IF NEEDED AND size > 1`, `IF NOT NEEDED`, `ADMIN FLUSH IF NEEDED`."""
    if here.word.upper() == "NEEDED" and "memtable" in here.keywords:
        if here.kind_before == "IF" and "FLUSH" in here.kinds_before:
            return Hint("NEEDED is for COMPACT; a flush has a condition, as in IF memtable > 64 MiB")
        return Hint("NEEDED stands alone after IF")
    if here.kind_before == "NEEDED" and here.word.upper() in ("AND", "OR"):
        return Hint("NEEDED stands alone after IF")
    return None


def _hint_quantity(here: HintContext) -> Hint | None:
    """Return a hint for `deletions > 0.1`, `rate = 50 MiB/s`, `l0_files > 10%`."""
    if "%" in here.keywords and not here.expects_unit and here.kind_before in _NUMBERS:
        return Hint("a share is written with %, as in 10%")
    if here.missing:
        return None
    start = here.tokens.starts[here.at]
    if here.text[start : start + 2].lower() == "/s" and here.kind_before in {NAME, *_NUMBERS}:
        return Hint("a rate is always per second: leave /s out")
    if here.expects_unit and here.word == "%":
        return Hint("a share is not possible here")
    if here.allows(PlaceholderKind.SHARE) and here.kind == MEASURE:
        return Hint("a share is written with %, as in 10%")
    if not {"WITH", "IF"} & set(here.kinds_before):
        return None
    joined = Punctuation.COMMA in here.expected or "AND" in here.keywords
    if here.kind_before == NUMBER and joined and not here.expects_unit and here.kind in (NAME, "%"):
        return Hint("this number has no unit")
    if here.kind == MEASURE and here.allows(PlaceholderKind.COUNT) and not here.allows(*_NAMES):
        return Hint("this number has no unit")
    return None


_HINTS: Final[tuple[Callable[[HintContext], Hint | None], ...]] = (
    _hint_missing_semicolon,
    _hint_needed,
    _hint_option,
    _hint_quantity,
    _hint_dotted_host,
    _hint_keyword_as_name,
    _hint_digits_as_name,
    _hint_string_as_name,
    _hint_name_as_string,
    _hint_string_as_word,
    _hint_other_word,
    _hint_other_digits,
    _hint_lookalike,
    _hint_run_together,
    _hint_misspelled,
    _hint_other_preposition,
    _hint_previous_keyword,
    _hint_left_out,
    _hint_misplaced,
    _hint_range,
    _hint_sign_or_fraction,
    _hint_special_characters,
    _hint_other_separator,
)


def _corrected(here: HintContext, first: int, last: int, word: str) -> str | None:
    """Return the statement with `word` for tokens `first` to `last`, None if it is wrong."""
    tokens = here.tokens
    kinds = [*tokens.kinds[:first], word.upper(), *tokens.kinds[last:]]
    if len(kinds) > _MAX_WORDS or match(kinds) is None:
        return None
    written = [here.written(at) for at in range(len(tokens.starts))]
    written[first:last] = [word]
    near = " ".join(written)
    return near if all(written) and len(near) <= 2 * MAX_TYPO_LENGTH and printable(near) == near else None


def _span(tokens: Tokens, at: int) -> tuple[int, int]:
    """Return the span of the wrong token, or the empty one if a token is missing."""
    if at < len(tokens.starts):
        return tokens.starts[at], tokens.ends[at]
    return tokens.ends[-1], tokens.ends[-1]

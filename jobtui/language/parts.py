"""The parts of a statement's form, and the tables of options and metrics.

The syntax of a value after WITH or in a condition, its completion and its help are derived from `JOB_OPTIONS`
and `METRICS`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

import msgspec

from jobtui.language.quantities import UNITS, Quantity


class PlaceholderKind(enum.Enum):
    """The kinds of values, each with its name in an error that asks for one."""

    SPACE = "a space's name"
    NEW_SPACE = "a name for the space"
    HOST = "a host's name"
    SCHEDULE = "a schedule's name"
    NEW_SCHEDULE = "a name for the schedule"
    JOB = "<id>"
    COUNT = "a number"
    SIZE = "a size (50 MiB)"
    DURATION = "a duration (5 min)"
    SHARE = "a share (10%)"
    SIZE_OR_SHARE = "a size (5 GiB) or a share (10%)"
    DIRECTORY = "a directory in quotes"
    TEXT = "a text in quotes"
    FAMILY = "a column family in quotes"
    KEY = "a key in quotes, or in hexadecimal (0x00ff)"
    TIMES = 'times in quotes ("30 2 * * *")'
    TIME_OF_DAY = 'a time of day in quotes ("06:00")'
    TIME_ZONE = 'a time zone in quotes ("Europe/Berlin")'


QUANTITIES: Final[dict[PlaceholderKind, tuple[Quantity, ...]]] = {
    PlaceholderKind.SIZE: (Quantity.SIZE,),
    PlaceholderKind.DURATION: (Quantity.DURATION,),
    PlaceholderKind.SHARE: (Quantity.SHARE,),
    PlaceholderKind.SIZE_OR_SHARE: (Quantity.SIZE, Quantity.SHARE),
}
"""The quantities that a value of each kind may be."""


class Option(msgspec.Struct, frozen=True):
    """An option: `name = value` after WITH.

    Attributes:
        value: The kind of its value, or the words that it may be.
        label: The value in a usage.
        summary: One line of help.
        default: The value without it, for the help.
        details: A paragraph of the longer help.
        field: The field of the record, "" if it has the same name.
        may_repeat: Whether it may be given more than once; the record then gets all values.
        positive: Whether 0 is refused.
    """

    name: str
    value: PlaceholderKind | tuple[str, ...]
    label: str
    summary: str
    default: str
    details: str = ""
    field: str = ""
    may_repeat: bool = False
    positive: bool = False

    @property
    def part(self) -> KeywordChoice | Placeholder:
        """Its value as a part of the syntax; the record gets it as `part.field`."""
        field = self.field or self.name
        if isinstance(self.value, tuple):
            return KeywordChoice(field, self.value)
        return Placeholder(field, self.value, self.label)

    @property
    def usage(self) -> str:
        """The option as it is shown to a user: `wait = <duration>`."""
        return f"{self.name} = {usage_of(self.part)}"


class Metric(msgspec.Struct, frozen=True):
    """A figure that a condition compares: of the space on one host, at the time of its turn."""

    name: str
    value: PlaceholderKind
    label: str
    summary: str
    example: str


class Keyword(msgspec.Struct, frozen=True):
    """A keyword or a symbol, as it is shown to a user."""

    text: str

    @property
    def token(self) -> str:
        """The kind of its token."""
        return self.text.upper()


class KeywordChoice(msgspec.Struct, frozen=True):
    """One of several keywords.

    The record gets it as `field`: true or false as a bool, any other in lower case.

    Attributes:
        label: The name of all of them in a usage, "" to list each.
        noun: The name of all of them in an error, "" to list each.
    """

    field: str
    words: tuple[str, ...]
    label: str = ""
    noun: str = ""


class UnitChoice(msgspec.Struct, frozen=True):
    """The units that may follow a number.

    They are not keywords: another word may follow as well.
    """

    words: tuple[str, ...]


class KeywordFlag(msgspec.Struct, frozen=True):
    """Keywords that may be left out. If they are there, the record gets True as `field`."""

    field: str
    words: tuple[str, ...]


class Placeholder(msgspec.Struct, frozen=True):
    """A value, or a list of values if `many`, which the record gets as `field`."""

    field: str
    kind: PlaceholderKind
    label: str
    many: bool = False


class ConditionPart(msgspec.Struct, frozen=True):
    """A condition, which the record gets as `field`; also NEEDED alone, if `may_be_needed`."""

    field: str
    may_be_needed: bool

    @property
    def label(self) -> str:
        """Its text in a usage."""
        return "NEEDED|<condition>" if self.may_be_needed else "<condition>"


class OptionList(msgspec.Struct, frozen=True):
    """Options with commas between them. The record gets each as a field of its own."""

    options: tuple[Option, ...]
    field: str = "options"

    @property
    def label(self) -> str:
        """Its text in a usage."""
        first, *others = self.options
        return "<option>[, …]" if others else f"{first.name} = {first.label}"


class SubmitPart(msgspec.Struct, frozen=True):
    """A whole ADMIN or SUBMIT JOB statement, which the record gets as `field`."""

    field: str
    label: str = "ADMIN …|SUBMIT JOB …"


class OptionalPart(msgspec.Struct, frozen=True):
    """Parts that may be left out, all of them together."""

    parts: tuple[Keyword | KeywordChoice | Placeholder | ConditionPart | OptionList, ...]


ValuePart = KeywordChoice | KeywordFlag | Placeholder | ConditionPart | OptionList | SubmitPart
Part = Keyword | ValuePart | OptionalPart


def usage_of(part: Part) -> str:
    """Return the part as it is shown to a user."""
    match part:
        case Keyword(text):
            return text
        case KeywordChoice(_, words, label):
            return label or "|".join(words)
        case KeywordFlag(_, words):
            return f"[{' '.join(words)}]"
        case Placeholder(_, _, label, many):
            return f"{label}[, …]" if many else label
        case ConditionPart() | OptionList() | SubmitPart():
            return part.label
        case OptionalPart(parts):
            return f"[{' '.join(map(usage_of, parts))}]"


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "deletions",
            PlaceholderKind.SHARE,
            "<share>",
            "the share of deletion entries among all entries",
            "deletions > 10%",
        ),
        Metric("l0_files", PlaceholderKind.COUNT, "<n>", "the number of files in level 0", "l0_files >= 20"),
        Metric(
            "pending",
            PlaceholderKind.SIZE,
            "<size>",
            "the bytes that RocksDB still has to compact, by its own estimate",
            "pending > 1 GiB",
        ),
        Metric(
            "gain",
            PlaceholderKind.SIZE_OR_SHARE,
            "<size>|<share>",
            "what a compaction would give back: bytes, or the share of the size",
            "gain > 5 GiB",
        ),
        Metric("size", PlaceholderKind.SIZE, "<size>", "the bytes of the files on disk", "size < 100 GiB"),
        Metric(
            "memtable",
            PlaceholderKind.SIZE,
            "<size>",
            "the bytes in memory that a flush would write to disk",
            "memtable > 64 MiB",
        ),
        Metric(
            "free",
            PlaceholderKind.SIZE_OR_SHARE,
            "<size>|<share>",
            "the free space of the host's disk: bytes, or the share of the disk",
            "free > 30%",
        ),
        Metric(
            "age",
            PlaceholderKind.DURATION,
            "<duration>",
            "the time since jobtui last compacted it",
            "age > 7 d",
        ),
    )
}
"""The metrics by their names, in the order of the help."""

OPERATORS: Final = (">", ">=", "<", "<=", "=", "!=")

BECAUSE: Final = Option(
    "because",
    PlaceholderKind.TEXT,
    '"text"',
    "why: kept with the job and shown",
    "none",
)

_BOOLEAN: Final = ("true", "false")

JOB_OPTIONS: Final = (
    Option(
        "rolling",
        PlaceholderKind.COUNT,
        "<n>",
        "at most this many hosts work at once",
        "all",
        "With rolling = 1 the hosts of a job work one after another, so that the others serve at full speed.",
        positive=True,
    ),
    Option(
        "wait",
        PlaceholderKind.DURATION,
        "<duration>",
        "the time between the end of one host and the start of the next",
        "0 s",
    ),
    Option("order", ("listed", "largest", "smallest"), "", "which host comes first", "listed"),
    Option(
        "on_failure",
        ("continue", "stop"),
        "",
        "what to do after a host fails",
        "continue",
        "With stop, the tasks that had not begun end stopped, with that reason.",
    ),
    Option(
        "retry",
        PlaceholderKind.COUNT,
        "<n>",
        "attempts after a temporary failure",
        "0",
        "Such failures are a full disk, a lock, a host that cannot be reached or died, and a timeout. Others "
        "are not tried again.",
    ),
    Option(
        "retry_wait",
        PlaceholderKind.DURATION,
        "<duration>",
        "the time before the first of these attempts, doubled each time",
        "1 min",
    ),
    Option(
        "rate",
        PlaceholderKind.SIZE,
        "<size>",
        "the write limit of each task of the job, per second",
        "the profile's",
        "Only writes are limited. SET RATE changes it while the job runs.",
        positive=True,
    ),
    Option(
        "family",
        PlaceholderKind.FAMILY,
        '"name"',
        "this column family only; may be repeated",
        "all",
        field="families",
        may_repeat=True,
    ),
    Option("from", PlaceholderKind.KEY, '"key"|0x…', "from this key on", "the first", field="from_key"),
    Option("to", PlaceholderKind.KEY, '"key"|0x…', "up to this key, excluded", "the last", field="to_key"),
    Option(
        "room",
        PlaceholderKind.SIZE_OR_SHARE,
        "<size>|<share>",
        "how much more disk a step may take",
        "twice the cap of a step",
        "A share is one of the disk.",
        positive=True,
    ),
    BECAUSE,
)
"""The options of a flush or compact."""

PAUSE_OPTIONS: Final = (
    Option("now", _BOOLEAN, "", "cancel the step at work, whose work is lost", "false"),
    BECAUSE,
)
RECOVER_OPTIONS: Final = (
    Option("failed_only", _BOOLEAN, "", "run only the hosts that did not finish", "false"),
    Option("whole", _BOOLEAN, "", "start over instead of continuing after the last finished step", "false"),
    BECAUSE,
)
SCHEDULE_OPTIONS: Final = (
    Option("timezone", PlaceholderKind.TIME_ZONE, '"zone"', "the time zone of its times", "this machine's"),
)


def units_of(kind: PlaceholderKind) -> tuple[str, ...]:
    """Return the units of a quantity, without %."""
    return tuple(unit for quantity in QUANTITIES[kind] for unit in UNITS[quantity] if unit != "%")


def option_named(name: str, options: Iterable[Option]) -> Option:
    """Return the option with this name, in any case."""
    return next(option for option in options if option.name == name.lower())

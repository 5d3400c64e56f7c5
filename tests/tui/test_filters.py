import math
from datetime import UTC, datetime, timedelta

import pytest

from jobtui.history import Bound
from jobtui.model import Status
from jobtui.tui.data.search import Filter, parse_filter

NOW = datetime(2019, 12, 17, 17, 21, 30, tzinfo=UTC)


def test_empty_text_matches_everything() -> None:
    assert parse_filter("", NOW).is_empty
    assert parse_filter("   ", NOW).is_empty


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("disk full", Filter(words=("disk", "full"))),
        ("status:failed", Filter(statuses=frozenset({Status.FAILED}))),
        ("status:failed,stopped", Filter(statuses=frozenset({Status.FAILED, Status.STOPPED}))),
        ("status:fai", Filter(statuses=frozenset({Status.FAILED}))),
        ("status:live", Filter(statuses=frozenset({Status.QUEUE, Status.RUNNING}))),
        ("STATUS:Failed", Filter(statuses=frozenset({Status.FAILED}))),
        ("!status:finished", Filter(not_statuses=frozenset({Status.FINISHED}))),
        ("space:nba", Filter(spaces=frozenset({"nba"}))),
        ('space:"a b" x', Filter(spaces=frozenset({"a b"}), words=("x",))),
        ("space:nba space:test2", Filter(spaces=frozenset({"nba", "test2"}))),
        ("!host:local0", Filter(not_hosts=frozenset({"local0"}))),
        ("cmd:compact", Filter(commands=frozenset({"compact"}))),
        ("!oops", Filter(not_words=("oops",))),
        ("since:2h", Filter(since=NOW - timedelta(hours=2))),
        ("until:30m", Filter(until=NOW - timedelta(minutes=30))),
        ("!since:2h", Filter(until=NOW - timedelta(hours=2))),
        ('"no space left"', Filter(words=("no space left",))),
        ('"foo:bar"', Filter(words=("foo:bar",))),
        ("storaged:9779", Filter(words=("storaged:9779",))),
        ("local0:9779", Filter(words=("local0:9779",))),
        ("space:", Filter()),
        ("status:", Filter()),
        ("status:unrecovered", Filter(unrecovered=True)),
        ("!status:unrec", Filter(unrecovered=False)),
        ("took:>10min", Filter(bounds=(Bound("took", math.nextafter(600, math.inf), math.inf),))),
        ("took:2h", Filter(bounds=(Bound("took", 7200, math.inf),))),
        ("!took:<=5s", Filter(bounds=(Bound("took", 0, 5, True),))),
        ("reclaimed:>=1GiB", Filter(bounds=(Bound("reclaimed", 1 << 30, math.inf),))),
        ("reclaimed:<=0", Filter(bounds=(Bound("reclaimed", -1e299, 0),))),
        ("id:42", Filter(bounds=(Bound("id", 42, 42),))),
        ("id:40-60", Filter(bounds=(Bound("id", 40, 60),))),
        ('reason:"no space" !reason:x', Filter(reasons=("no space",), not_reasons=("x",))),
        ("why:deploy !why:x by:anna", Filter(becauses=("deploy",), not_becauses=("x",), requesters=("anna",))),
        ("nba !", Filter(words=("nba",))),
        ('"!"', Filter(words=("!",))),
        ("[/nope]", Filter(words=("[/nope]",))),
    ],
)
def test_filter_is_parsed(text: str, expected: Filter) -> None:
    assert parse_filter(text, NOW) == expected


def test_date_is_local() -> None:
    since = parse_filter("since:2019-12-01", NOW).since
    assert since is not None
    assert since.astimezone().strftime("%Y-%m-%d %H:%M") == "2019-12-01 00:00"


def test_incomplete_term_is_reported_and_filters_nothing() -> None:
    wrong = parse_filter("status:bogus since:whenever took:long id:x", NOW)
    assert wrong.is_empty
    assert wrong.problems[2:] == ("took: takes >10min, <5s, 2h", "id: takes 42, 40-60, >100")
    assert "bogus" in wrong.problems[0]
    assert "since:" in wrong.problems[1]


def test_no_text_can_make_it_fail() -> None:
    for text in ('"', "!", "::", "!:", 'space:"', "since:999999d", "\x00", "!!status:x", "a" * 100_000):
        parse_filter(text, NOW)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stauts:failed", "no filter stauts:; did you mean status:?"),
        ("!Spaec:nba", "no filter spaec:; did you mean space:?"),
        ("foo:bar", 'no filter foo:; "…" finds it'),
    ],
)
def test_unknown_kind_is_reported_and_filters_nothing(text: str, message: str) -> None:
    wrong = parse_filter(text, NOW)
    assert wrong.is_empty
    assert wrong.problems == (message,)


def test_remark_fits_next_to_the_filter_on_a_small_terminal() -> None:
    for text in ("since:x", "until:x", "stauts:failed", "foo:bar", "a" * 50 + ":b", "status:faild"):
        assert len(parse_filter(text, NOW).problems[0]) <= 42

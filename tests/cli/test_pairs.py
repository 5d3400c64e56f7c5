from __future__ import annotations

import gzip
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtui.cli.commands import data
from jobtui.cli.errors import CommandError
from jobtui.cli.pair_files import PairError, read_pairs, write_pairs
from jobtui.cli.pair_format import PairFormat, format_of


def read(text: str | bytes, form: PairFormat) -> list[tuple[bytes, bytes | None]]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(read_pairs(raw.splitlines(keepends=True), form, "pairs"))


JSONL, CSV, TSV = PairFormat.JSONL, PairFormat.CSV, PairFormat.TSV

READINGS = [
    (JSONL, '{"key": "k", "value": "v"}\n', [(b"k", b"v")]),
    (JSONL, '{"value": "", "key": ""}', [(b"", b"")]),
    (JSONL, '\n  \r\n{"key": "k", "value": null}\r\n', [(b"k", None)]),
    (JSONL, '{"key": "k", "value": {"a" : 1.0, "b": [1e5,  2]}}', [(b"k", b'{"a":1.0,"b":[1e5,2]}')]),
    (JSONL, '{"key": "k", "value": 12345678901234567890123}', [(b"k", b"12345678901234567890123")]),
    (JSONL, '{"key": "k", "value": false}', [(b"k", b"false")]),
    (JSONL, '{"key_base64": "/wA=", "value_base64": ""}', [(b"\xff\x00", b"")]),
    (JSONL, '\ufeff{"key": "\\u56fe", "value": "图"}', [("图".encode(), "图".encode())]),
    (CSV, "k,v\n", [(b"k", b"v")]),
    (CSV, "k,v\r\nl,w", [(b"k", b"v"), (b"l", b"w")]),
    (CSV, "k,\n", [(b"k", b"")]),
    (CSV, "k,v\nk\n", [(b"k", b"v"), (b"k", None)]),
    (CSV, "a;b,c\nd,e;f\n", [(b"a;b", b"c"), (b"d", b"e;f")]),
    (CSV, "k,a;b\n", [(b"k", b"a;b")]),
    (CSV, "key,value\na;b,c\n", [(b"a;b", b"c")]),
    (CSV, '"a;b",c\n', [(b"a;b", b"c")]),
    (CSV, "Key, Value\nk,v\n", [(b"k", b"v")]),
    (CSV, "key,value\n", []),
    (CSV, "\n\n", []),
    (TSV, "a,b;c\td\n", [(b"a,b;c", b"d")]),
    (CSV, "k,\\N\n", [(b"k", None)]),
    (CSV, '"k ""1""","a\nb,c"\n\n', [(b'k "1"', b"a\nb,c")]),
    (CSV, "key,value\nkey,value\n", [(b"key", b"value")]),
    (CSV, "\ufeffKey,Value\nk,v\n", [(b"k", b"v")]),
    (CSV, "key,value,base64\n/wA=,v,key\nk,AQI=,value\n/w==,,key value\nk,v\nk\n",
     [(b"\xff\x00", b"v"), (b"k", b"\x01\x02"), (b"\xff", b""), (b"k", b"v"), (b"k", None)]),
    (TSV, "k\tv, w\n", [(b"k", b"v, w")]),
    (TSV, 'k\t"v"\r\n', [(b"k", b'"v"')]),
    (TSV, "k\ta\\tb\\nc\\\\N\\r\n", [(b"k", b"a\tb\nc\\N\r")]),
    (TSV, "k\t\\N\nl\nm\t\n", [(b"k", None), (b"l", None), (b"m", b"")]),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "pairs"), READINGS)
def test_line_is_read_according_to_its_format(
    form: PairFormat, text: str, pairs: list[tuple[bytes, bytes | None]]
) -> None:
    assert read(text, form) == pairs


REFUSALS = [
    (JSONL, '{"key": "k", "value": "v"}\n["k", "v"]',
     'pairs:2: an object with "key" and "value" is expected, not an array'),
    (JSONL, '{"key": "k"}', 'pairs:1: one of "value" and "value_base64" is expected'),
    (JSONL, '{"value": "v"}', 'pairs:1: an object with one of "key" and "key_base64" is expected'),
    (JSONL, '{"key": "k", "key_base64": "aw==", "value": "v"}', "pairs:1: an object with one of"),
    (JSONL, '{"key": "k", "value": 1, "value_base64": "aw=="}', "pairs:1: one of"),
    (JSONL, '{"key": 1, "value": "v"}', 'pairs:1: "key" must be a text, not a number'),
    (JSONL, '{"key": null, "value": "v"}', 'pairs:1: "key" must be a text, not null'),
    (JSONL, '{"key": "k", "value_base64": [1]}', 'pairs:1: "value_base64" must be a text, not an array'),
    (JSONL, '{"key": 1, "value": [', "pairs:1: this is not a JSON object"),
    (JSONL, '{"key": 1, "key": "k", "value": 1}', "pairs:1: this is not a JSON object with a key and a value"),
    (JSONL, '{"key": "k", "valeu": "v"}', 'pairs:1: "valeu" is not expected; did you mean "value"?'),
    (JSONL, '{"id": "k"}', 'pairs:1: "id" is not expected; a line has "key" or "key_base64", and "value" or'),
    (JSONL, '{"key": "k", "value": "v"', "pairs:1: the JSON breaks off before its end"),
    (JSONL, '{"key" "k"}', "pairs:1: this is not JSON: expected ':' (byte 7)"),
    (JSONL, b'{"key": "k", "value": "\xff"}', "pairs:1: this is not UTF-8"),
    (JSONL, b'{"key": "k", "value": ["\xff"]}', "pairs:1: this is not UTF-8"),
    (JSONL, b'{"key": "\xff", "value": ""}', "pairs:1: this is not UTF-8"),
    (JSONL, '{"key": "k", "value": ' + "[" * 9999 + "]" * 9999 + "}", "pairs:1: JSON is nested too deeply"),
    (JSONL, gzip.compress(b'{"key": "k", "value": "v"}', mtime=0), "pairs:1: this is compressed by gzip"),
    (CSV, gzip.compress(b"k,v", mtime=0), "pairs:1: this is compressed by gzip"),
    (JSONL, '{"key_base64": "a", "value": ""}', "pairs:1: this is not base64"),
    (CSV, "k,v\nk,v,w\n", "pairs:2: 3 columns, where a key and a value are expected"),
    (CSV, "id,name,size\n", "pairs:1: 3 columns"),
    (CSV, 'k,v\n\n"a"b,c\n', "pairs:3: this is not CSV"),
    (CSV, 'k,v\nl,"open\nand\nopen', "pairs:2: this is not CSV"),
    (CSV, b"k,v\nk,\xff\n", "pairs:2: this is not UTF-8"),
    (CSV, "key,value,base64\nk,v,kay\n", "pairs:2: the column base64 may hold key, value, or both"),
    (CSV, "key,value,base64\nk,v!,value\n", "pairs:2: this is not base64"),
    (TSV, "k\tv\tw\n", "pairs:1: 3 columns"),
    (TSV, "k\tv\nk\tC:\\path\n", r"pairs:2: \p is none of the escapes"),
    (TSV, "k\tends in \\\n", "pairs:1: \\ is none of the escapes"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "message"), REFUSALS)
def test_malformed_line_is_named_with_the_reason(form: PairFormat, text: str | bytes, message: str) -> None:
    with pytest.raises(PairError, match=f"^{re.escape(message)}"):
        read(text, form)


SEMICOLONS = "pairs:1: this looks like semicolons where commas are expected: "
BEGIN_WITH_HEADER = "if the commas are right, begin the file with the line key,value"
NO_COMMA = "pairs:1: no line has a comma, so that each would delete the pair of its key: "


class TestSeparator:
    """A file that seems to use another separator or format is refused: read as it is, it would delete."""

    @pytest.mark.parametrize(
        ("form", "text", "message"),
        [
            (CSV, "player;Tim Duncan\nteam;Spurs\n",
             f"{SEMICOLONS}'player;Tim Duncan'; write commas between key and value"),
            (CSV, "key;value\n", SEMICOLONS),
            (CSV, "sep=;\nk;v\n", "pairs:1: this looks like semicolons"),
            (CSV, "k\tv\n", "pairs:1: this looks like tabs where commas are expected: "
             r"'k\tv'; use --format tsv"),
            (CSV, "k|v\n", "pairs:1: this looks like bars"),
            (CSV, "k;v\r\nl;1,5\r\n", "pairs:1: this looks like semicolons"),
            (CSV, "k;1,5\nl;2,5\n",
             f"{SEMICOLONS}'k;1,5'; write commas between key and value; {BEGIN_WITH_HEADER}"),
            (CSV, "k;a, b, c\n",
             "pairs:1: 3 columns, where a key and a value are expected; this looks like semicolons"),
            (CSV, "k,v\nl;w\n", "pairs:2: this looks like semicolons"),
            (CSV, "key,value\nl;w\n", "pairs:2: this looks like semicolons"),
            (CSV, '"k";"v"\n', "pairs:1: this looks like semicolons"),
            (CSV, 'k,v\n"Duncan, Tim";21\n', "pairs:2: this looks like semicolons"),
            (CSV, "k v\n", f"{NO_COMMA}'k v'; if that is meant, add --delete-keys"),
            (CSV, "k=v\nl=w\n", "pairs:1: no line has a comma"),
            (CSV, "key\nk\n", "pairs:1: no line has a comma"),
            (CSV, "key,value\nk\n", "pairs:2: no line has a comma"),
            (CSV, "k" * 99 + ";v\n", f"{SEMICOLONS}'{'k' * 59}…'"),
            (CSV, "value,key\nv,k\n", "pairs:1: the header names value before key"),
            (TSV, "k,v\n", "pairs:1: this looks like commas where tabs are expected: 'k,v'; use --format csv"),
            (TSV, "k\tv\nl;w\n", "pairs:2: this looks like semicolons where tabs"),
            (TSV, "k v\n", "pairs:1: no line has a tab"),
            (CSV, '{"key": "k", "value": "v"}\n', "pairs:1: this looks like JSON lines"),
            (TSV, '{"key": "k", "value": "v"}\n', "pairs:1: this looks like JSON lines"),
            (JSONL, "k,v\n", "pairs:1: this is not JSON: invalid character (byte 0); JSON lines are expected"),
            (JSONL, '[{"key": "k", "value": "v"}]\n',
             'pairs:1: an object with "key" and "value" is expected, not an array; a JSON array is not'),
            (CSV, "k,v\n".encode("utf-16"), "pairs:1: this is UTF-16"),
            (JSONL, "{}\n".encode("utf-16"), "pairs:1: this is UTF-16"),
            (CSV, "k,v\n".encode("utf-16-le"), "pairs:1: this holds NUL bytes, as UTF-16 does"),
            (TSV, "k\tv\n".encode("utf-16-be"), "pairs:1: this holds NUL bytes"),
            (CSV, b"PK\x03\x04\x14", "pairs:1: this is a ZIP archive or a spreadsheet"),
        ],
    )  # fmt: skip
    def test_of_another_kind_is_refused_with_the_line(
        self, form: PairFormat, text: str | bytes, message: str
    ) -> None:
        with pytest.raises(PairError) as refused:
            read(text, form)
        assert str(refused.value).startswith(message)

    @pytest.mark.parametrize("form", [CSV, TSV])
    @pytest.mark.parametrize("text", ["k\n", "a;b\nc|d\n", "\ufeffk\nl"])
    def test_stated_deletions_are_read(self, form: PairFormat, text: str) -> None:
        pairs = list(read_pairs(text.encode().splitlines(keepends=True), form, "pairs", delete_keys=True))
        keys = text.removeprefix("\ufeff").split()
        assert pairs == [(key.encode(), None) for key in keys]

    def test_stated_null_is_a_stated_deletion(self) -> None:
        assert read("k,\\N\n", CSV) == [(b"k", None)]

    @given(keys=st.lists(st.text("abc;|", min_size=1, max_size=6), min_size=1, max_size=5))
    def test_keys_without_values_delete_nothing_unless_stated(self, keys: list[str]) -> None:
        with pytest.raises(PairError):
            read("".join(f"{key}\n" for key in keys), CSV)


def test_pairs_before_a_bad_line_are_read() -> None:
    pairs = read_pairs([b"k,v\n", b"a,b,c\n"], CSV, "pairs")
    assert next(pairs) == (b"k", b"v")
    with pytest.raises(PairError):
        next(pairs)


def test_field_of_many_megabytes_is_read() -> None:
    value = b"x" * 3_000_000
    assert read(b"k," + value, CSV) == [(b"k", value)]


def test_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MAX_LINE_BYTES", 1 << 20)
    with open("/dev/zero", "rb") as endless, pytest.raises(CommandError, match="line of 1 MiB or more"):
        list(data._read(endless, "/dev/zero"))


awkward = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [rb"\N", b"key", b"value", b"", b'"', b"a,b", b"\r\n", b"\t", b"\\", b"\x1b[2J", b"\xc2\x9b", b"\x7f"]
    ),
)


@given(pairs=st.lists(st.tuples(awkward, awkward), max_size=8))
@pytest.mark.parametrize("form", list(PairFormat))
def test_written_pairs_read_back_to_the_byte(form: PairFormat, pairs: list[tuple[bytes, bytes]]) -> None:
    text = b"".join(write_pairs(pairs, form))
    assert read_back(text, form) == pairs


@given(pairs=st.lists(st.tuples(awkward, awkward), max_size=8))
@pytest.mark.parametrize("form", list(PairFormat))
def test_output_has_no_terminal_controls(form: PairFormat, pairs: list[tuple[bytes, bytes]]) -> None:
    text = b"".join(write_pairs(pairs, form)).decode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


def read_back(text: bytes, form: PairFormat) -> list[tuple[bytes, bytes | None]]:
    lines = [line + b"\n" for line in text.split(b"\n")[:-1]]
    return list(read_pairs(lines, form, "pairs"))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", CSV),
        ("a.b.TSV", TSV),
        ("x.tab", TSV),
        ("x.ndjson", JSONL),
        ("x", None),
        ("x.txt", None),
        ("-", None),
    ],
)
def test_format_follows_the_file_name_if_known(name: str, form: PairFormat | None) -> None:
    assert format_of(name) is form

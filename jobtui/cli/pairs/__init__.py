r"""Key-value pairs as text: what `jobtui load` reads and `jobtui dump` writes. A round trip loses no byte.

JSON lines: an object a line.
    {"key": "k", "value": "v"}       text, stored as its UTF-8
    {"key": "k", "value": {"a": 1}}  any other JSON value is stored as compact JSON
    {"key": "k", "value": null}      deletes the key
    {"key_base64": "/wA=", "value_base64": "AQI="}   bytes that are no text

CSV (RFC 4180) and TSV: a key and a value a line.
    k,v      text, stored as its UTF-8
    k,       an empty value
    k        deletes the key, and so does k,\N; a file of such lines alone is refused, unless the caller says
             that deletions are meant: it may have another separator, or have lost its values
    A first line that is key,value, or key,value,base64, is a header. In a file with the column base64
    that column names those of the other two, key, value or both, that are written in base64.
    TSV has no quotes but \t, \n, \r and \\ (as PostgreSQL and MySQL write it).

A blank line is passed over. Anything else is an error that names the file and the line, and so is a file that
seems to use another separator or format than it would be read by.
"""

from jobtui.cli.pairs.formats import Pair, PairFormat, format_of
from jobtui.cli.pairs.reading import PairError, read_pairs
from jobtui.cli.pairs.writing import write_pairs

__all__ = ["Pair", "PairError", "PairFormat", "format_of", "read_pairs", "write_pairs"]

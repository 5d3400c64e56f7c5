"""What decoding bytes of unknown origin may raise."""

from __future__ import annotations

from typing import Final

import msgspec

# msgspec reports most faults with its own errors, but text that is no UTF-8 and objects nested too deeply
# (from about 1,000 levels) with the interpreter's
DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

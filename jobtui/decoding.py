"""What decoding bytes of unknown origin may raise."""

from __future__ import annotations

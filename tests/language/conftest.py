"""Settings of the language's tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("language", deadline=None)  # a loaded machine is no failure
settings.load_profile("language")

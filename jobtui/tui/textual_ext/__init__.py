"""All uses of private names of Textual in the dashboard, with the reason for each.

Written for Textual 8.2.8; `pyproject.toml` allows no other minor release. Each use says what is private, the
reason, and the gain if it is for speed. `tests/tui/test_textual_ext.py` checks the names and signatures, and
that nothing else under `jobtui/tui` uses private names.
"""

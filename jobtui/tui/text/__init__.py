"""Texts of the dashboard as pure functions: spans with roles, notices, and the console's own commands."""

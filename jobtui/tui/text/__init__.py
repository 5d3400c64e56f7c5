"""Texts of the dashboard as pure functions: spans, notices and console commands."""

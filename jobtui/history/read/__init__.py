"""The reading side of a history: loading its files, following a writer, and queries."""

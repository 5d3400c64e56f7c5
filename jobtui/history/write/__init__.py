"""The writing side of a history: commits, seals and archives, and their threads."""

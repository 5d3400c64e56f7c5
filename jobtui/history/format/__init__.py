"""The files of a history: how each is laid out, read and checked."""

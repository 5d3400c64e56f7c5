"""A check of the tests: does one fail if a guard of the program is taken out? See `__main__`."""

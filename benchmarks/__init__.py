"""The cost of jobtui, measured in turn with a yardstick in the same run: `python -m benchmarks --help`."""

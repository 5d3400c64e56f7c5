"""What jobtui costs, measured side by side with a yardstick in the same run: `python -m benchmarks --help`."""

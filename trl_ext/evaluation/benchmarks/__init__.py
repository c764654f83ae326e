"""Benchmarks of reward models: their data, rows and figures, and how they are run. All by name: `registry`."""

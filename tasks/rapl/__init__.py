"""Reliability-aware preference learning: reliability of pairs, the TRUE model, and the grid of trainings. See README.md."""

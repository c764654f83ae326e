"""The report of an analysis: all effects in one table, and what can be said in sentences."""

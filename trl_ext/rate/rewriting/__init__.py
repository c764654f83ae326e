"""Texts rewritten into the opposite of an attribute and back: who rewrites, what it costs, and where it is kept."""

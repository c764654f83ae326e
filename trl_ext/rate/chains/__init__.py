"""Texts, their rewrites and the rewards of all, row by row: what the other folders here take and give."""

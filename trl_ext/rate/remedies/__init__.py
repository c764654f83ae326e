"""Estimates for rewrites that are not perfect: some did not change the attribute, or changed more than it."""

"""The HTML report of a run: one file with everything that is known of a reward model, to read, print and pass on."""

from .report import write_report


__all__ = ["write_report"]

"""
What is there, what is missing, and the command that fixes it: for the package itself and for every feature that needs more.

Each check looks at one thing and never raises. Nothing secret is read out: of a token, only whether it works.
"""

from .examination import FEATURES, Feature, examine
from .finding import IMPOSSIBLE, MISSING, OK, UNKNOWN, Finding
from .report import as_json, as_text


__all__ = ["FEATURES", "IMPOSSIBLE", "MISSING", "OK", "UNKNOWN", "Feature", "Finding", "as_json", "as_text", "examine"]

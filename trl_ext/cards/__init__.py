"""Model cards as text: layout, how to load the model, safe tables, and the mark that tells ours from an edited one."""

from .generated import is_unedited, sign
from .layout import Section, citation_section, facts_sections, render_card
from .text import cell, code, interval, json_block, number, one_line, rows_table, table
from .usage import usage


__all__ = [
    "Section",
    "cell",
    "citation_section",
    "code",
    "facts_sections",
    "interval",
    "is_unedited",
    "json_block",
    "number",
    "one_line",
    "render_card",
    "rows_table",
    "sign",
    "table",
    "usage",
]

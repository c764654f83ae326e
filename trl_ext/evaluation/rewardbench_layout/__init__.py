"""RewardBench's own files of results: written from our figures, and read."""

from .cli import write_cli_results
from .contents import LayoutFile
from .files import read_layout_file, write_layout_file
from .paths import model_name
from .writer import write_best_of_n, write_rewardbench_results


__all__ = [
    "LayoutFile",
    "model_name",
    "read_layout_file",
    "write_best_of_n",
    "write_cli_results",
    "write_layout_file",
    "write_rewardbench_results",
]

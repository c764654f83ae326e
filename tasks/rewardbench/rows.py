"""The rows that a configuration asks for: of the benchmark, of the user, or of the demo."""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from tasks.rewardbench.configs import DEMO, text_prompts
from trl_ext.data import load_demo_preferences
from trl_ext.evaluation import Benchmark


def load_rows(benchmark: Benchmark, config: Mapping[str, Any], debug_rows: int) -> Dataset:
    """
    Rows of a benchmark, as text if the configuration says that the model was trained on text.

    Raises:
        ValueError: Data are not as they must be, or a conversation can't be a text.
    """
    source = demo_pairs() if config["dataset"] == DEMO else config["dataset"]
    rows = benchmark.load(source, split=config["split"])
    if config["debug"]:
        rows = rows.select(range(min(debug_rows, len(rows))))
    if not text_prompts(config):
        return rows
    return rows.map(_as_text, desc="Prompts as text", load_from_cache_file=False)


def demo_pairs() -> Dataset:
    """The test pairs of the demo data, the correct answer first, whatever the annotators said; by styles."""
    pairs = {}
    for row in load_demo_preferences()["test"]:
        sides = [("chosen", "chosen_type"), ("rejected", "rejected_type")]
        if not row["correct_chosen"]:
            sides.reverse()
        (right, right_type), (wrong, wrong_type) = [(row[text], row[kind]) for text, kind in sides]
        key = (row["prompt"], right, wrong)
        pairs[key] = {
            "id": row["id"],
            "subset": f"{right_type.removeprefix('correct_')} over {wrong_type.removeprefix('incorrect_')}",
            "prompt": row["prompt"],
            "chosen": right,
            "rejected": wrong,
            "cluster": row["question_id"],
        }
    return Dataset.from_list(list(pairs.values()))


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    prompt = row["prompt"]
    if isinstance(prompt, str):
        return {"prompt": prompt}
    if len(prompt) != 1:
        raise ValueError(f"row {row['id']!r}: its prompt has {len(prompt)} messages; prompt_format=text needs one")
    return {"prompt": prompt[0]["content"]}

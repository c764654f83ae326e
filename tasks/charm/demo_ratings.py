"""Ratings of the demo's policy models: fitted to simulated battles, of which the truth is known."""

import json
from pathlib import Path

from trl_ext.arena import fit_ratings, simulate_battles, write_ratings
from trl_ext.atomic_files import write_text_atomically


# Which battles are drawn: those of the demo are always the same
SEED = 42
# What people would say, if they cared for the answer and not for its length: the truth the battles are drawn from
TRUE_RATINGS = {"terse": 1100.0, "plain": 1070.0, "verbose": 1010.0, "truncated": 990.0, "hot": 930.0}
BATTLES = 4000
TIE_RATE = 0.3  # between models of equal strength


def write_demo_ratings(folder: Path) -> None:
    """
    Write `battles.jsonl` and, last, `ratings.csv`; nothing if that is there.

    Args:
        folder (`Path`): Where to.
    """
    if (folder / "ratings.csv").is_file():
        return
    battles = simulate_battles(TRUE_RATINGS, BATTLES, tie_rate=TIE_RATE, seed=SEED)
    lines = (json.dumps(row) for row in battles.to_dict("records"))
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(folder / "battles.jsonl", "".join(f"{line}\n" for line in lines))
    write_ratings(fit_ratings(battles), folder / "ratings.csv")

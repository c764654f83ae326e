"""Run alone or under a launcher: score chains of rewrites; every process saves the rewards that it got."""

import sys
from pathlib import Path

import numpy as np

from tests.rate.chains import word_chains
from trl_ext import RewardScorer
from trl_ext.rate import score_chains
from trl_ext.scoring.processes import process_state


def main(checkpoint: str, folder: str, rows: str) -> None:
    found = score_chains(RewardScorer(checkpoint, progress=False), word_chains(int(rows)), folder)
    state = process_state()
    np.save(Path(folder, f"{state.process_index}.npy"), found.rewards)
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

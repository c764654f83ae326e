"""Run under a launcher: score lists, then lists with a response that is too long; every process writes what it got."""

import json
import sys
from pathlib import Path

from trl_ext import RewardScorer
from trl_ext.scoring.processes import process_state


def main(checkpoint: str, output: str) -> None:
    state = process_state()
    prompts = [f"Question {i % 50}? " for i in range(5000)]
    responses = [[f"It is {i % 70}."] for i in range(5000)]
    scorer = RewardScorer(checkpoint, max_length=60, progress=False)
    rewards = scorer.score(prompts, responses)
    responses[4990] = ["Much too long. " * 50]
    error = None
    try:
        scorer.score(prompts, responses)
    except ValueError as raised:
        error = str(raised)
    found = {"rewards": [float(reward[0]) for reward in rewards], "error": error}
    Path(output, f"{state.process_index}.json").write_text(json.dumps(found))
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

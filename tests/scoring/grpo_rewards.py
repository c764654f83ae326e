"""Started in several processes: each asks for rewards of its own completions and writes them."""

import json
import sys
from pathlib import Path

from accelerate import PartialState

from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring import CalibratedScorer, LengthCurve, RewardCalibration, reward_function


def rewards_of(rows: list[tuple[str, str]]) -> list[float]:
    tokenizer = tiny_tokenizer()
    curve = LengthCurve((1, 20), (-1, 1), "tokens")
    scorer = CalibratedScorer(
        RewardScorer(tiny_reward_model(tokenizer), tokenizer), RewardCalibration(length_curve=curve)
    )
    prompts, completions = zip(*rows, strict=True)
    return reward_function(scorer)(prompts=list(prompts), completions=list(completions))


# The second prompt's completions are on both processes, and the processes have different numbers
ROWS = [("Question: a? ", "Paris."), ("What is it? ", "bad"), ("What is it? ", "a good answer"), ("Question: a? ", "")]

if __name__ == "__main__":
    state = PartialState(cpu=True)
    mine = ROWS[:1] if state.is_main_process else ROWS[1:]
    Path(sys.argv[1], f"{state.process_index}.json").write_text(json.dumps(rewards_of(mine)))
    state.wait_for_everyone()
    state.destroy_process_group()

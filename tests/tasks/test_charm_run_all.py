"""tasks/charm/run_all.py from prompts to evaluation, killed in the middle of stages: the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer


ROOT = Path(__file__).resolve().parents[2]
MODELS = ("plain", "cut", "hot")


def write_inputs(folder: Path) -> list[str]:
    """Prompts, policies, ratings, a reward model and human pairs; the arguments that name them."""
    tokenizer = tiny_tokenizer()
    model = tiny_reward_model(tokenizer, max_position_embeddings=512)
    model.save_pretrained(folder / "rm")
    tokenizer.save_pretrained(folder / "rm")
    prompts = [
        {"id": f"p{i}", "prompt": f"What is {i} plus {i}? ", "split": "heldout" if i % 3 == 0 else "calibration"}
        for i in range(18)
    ]
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in prompts))
    policy = {"model": "bundled:smollm2-135m-instruct", "max_tokens": 8}
    policies = [
        policy | {"name": "plain", "temperature": 0.3},
        policy | {"name": "cut", "temperature": 0.3, "max_words": 2},
        policy | {"name": "hot", "temperature": 1.3},
    ]
    (folder / "policies.json").write_text(json.dumps(policies))
    (folder / "ratings.csv").write_text("model,rating\nplain,1100\ncut,1000\nhot,900\n")
    pairs(24).to_csv(folder / "human.csv", index=False)
    names = {"reward_model": "rm", "prompts": "prompts.jsonl", "policies": "policies.json", "ratings": "ratings.csv"}
    names |= {"human_data": "human.csv", "human_pairs": "human.csv", "overvalued": "hot", "reference": "plain"}
    return [
        *(f"{key}={folder / value}" if (folder / value).exists() else f"{key}={value}" for key, value in names.items()),
        "methods=hard,matching", "generate.batch_size=4", "train.per_device_train_batch_size=12",
        "train.gradient_accumulation_steps=1", "train.num_train_epochs=6", "train.save_steps=2", "train.cpu_threads=1",
        "train.verify_round_trip=False",
    ]  # fmt: skip


def start(arguments: list[str], cwd: Path) -> subprocess.Popen:
    cwd.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, ROOT / "tasks/charm/run_all.py", "with", *arguments],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(arguments: list[str], cwd: Path) -> str:
    process = start(arguments, cwd)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output[-3000:]
    return output


def kill_when(arguments: list[str], cwd: Path, reached) -> None:
    process = start(arguments, cwd)
    until = time.monotonic() + 600
    while process.poll() is None and not reached() and time.monotonic() < until:
        time.sleep(0.05)
    assert process.poll() is None, process.stdout.read()[-3000:]
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(tmp_path):
    arguments = write_inputs(tmp_path)
    whole, killed = tmp_path / "whole" / "outputs/charm", tmp_path / "killed" / "outputs/charm"
    finish(arguments, tmp_path / "whole")
    for reached in (
        lambda: any(path.stat().st_size for path in killed.glob("responses/answers/*.jsonl")),
        lambda: (killed / "scores/before/input.jsonl").exists(),
        lambda: any(killed.glob("models/matching/checkpoint-*")),
        lambda: (killed / "evaluation/scores/rm").exists(),
    ):
        kill_when(arguments, tmp_path / "killed", reached)
    finish(arguments, tmp_path / "killed")
    again = finish(arguments, tmp_path / "killed")
    assert again.count("is finished") == 2
    for name in (
        *(f"responses/{model}.jsonl" for model in MODELS),
        "scores/before/rewards.jsonl",
        *(f"calibration/before/{method}/pairs.jsonl" for method in ("hard", "matching")),
        *(f"models/{method}/model.safetensors" for method in ("hard", "matching")),
    ):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    for method in ("hard", "matching"):
        figures = [
            json.loads((folder / f"evaluation/{method}/results.json").read_text()) for folder in (killed, whole)
        ]
        assert figures[0]["headline"] == figures[1]["headline"]

"""tasks/train.py is killed or asked to stop, and the same command goes on."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.processes import ROOT, environment, launch_command, skip_without_compiler
from tests.tiny import tiny_checkpoint
from trl_ext.trainer.checkpoints import checkpoint_problem


STEPS = 40
CLOCK = re.compile("time|per_second|total_flos|train_loss")
TRAIN = str(ROOT / "tasks" / "train.py")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny"
    return tiny_checkpoint(path, max_position_embeddings=2048, attention_dropout=0.1)


def updates(tiny: str, *more: str) -> list[str]:
    return [
        *("with", f"model_name={tiny}", f"trainer.max_steps={STEPS}", "train_dataset_size=48", "use_peft=False"),
        *("per_device_train_batch_size=2", "gradient_accumulation_steps=1", "save_steps=4", "keep_checkpoints=True"),
        *("trainer.logging_steps=1", "trainer.disable_dropout=False", "eval_dataset_size=8", "output_dir=out"),
        *more,
    ]


def start(folder: Path, *command: str) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen, status: int = 0) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == status, output[-4000:]
    return output


def kill_workers(folder: Path) -> None:
    """SIGKILL to what torchrun has started in `folder`: each of its workers leads a process group of its own."""
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder):
            process.kill()


def wait_for_step(process: subprocess.Popen, step: int) -> bool:
    """Read the progress bar until `step` is reached; False if the run ends before."""
    text = ""
    while character := process.stdout.read(1):
        text = text[-200:] + character
        if character == "]" and any(int(done) >= step for done in re.findall(rf"(\d+)/{STEPS} \[", text)):
            return True
    return False


def state(folder: Path) -> dict:
    return json.loads((folder / "out" / f"checkpoint-{STEPS}" / "trainer_state.json").read_text())


def curve(folder: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if not CLOCK.search(k)} for row in state(folder)["log_history"]]


def statuses(folder: Path) -> list[str]:
    records = sorted((folder / "runs").glob("[0-9]*"), key=lambda path: int(path.name))
    return [json.loads((record / "run.json").read_text())["status"] for record in records]


def sacred_losses(folder: Path) -> dict[int, float]:
    last = max((folder / "runs").glob("[0-9]*"), key=lambda path: int(path.name))
    metric = json.loads((last / "metrics.json").read_text())["loss"]
    assert len(set(metric["steps"])) == len(metric["steps"])
    return dict(zip(metric["steps"], metric["values"], strict=True))


@pytest.fixture(scope="module")
def straight(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    finish(start(folder, sys.executable, TRAIN, *updates(tiny)))
    return folder


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_at_random_the_run_is_the_same_bit_for_bit(straight, tiny, tmp_path, kills):
    seed = int(os.environ.get("TRL_EXT_KILL_SEED", time.time_ns() % 10_000))
    print(f"TRL_EXT_KILL_SEED={seed}")
    draw = random.Random(seed)
    reached = 0
    for _ in range(kills):
        process = start(tmp_path, sys.executable, TRAIN, *updates(tiny))
        reached = draw.randint(reached + 1, reached + (STEPS - 4) // kills)
        assert wait_for_step(process, reached), process.communicate()[0]
        time.sleep(draw.random() * 0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        checkpoints = list((tmp_path / "out").glob("checkpoint-*"))
        assert [checkpoint_problem(path) for path in checkpoints] == [None] * len(checkpoints)
        newest = max((int(path.name.split("-")[1]) for path in checkpoints), default=0)
        assert newest >= reached - 4, "a checkpoint was lost"
    assert statuses(tmp_path) == ["INTERRUPTED"] * (kills - 1) + ["RUNNING"]
    output = finish(start(tmp_path, sys.executable, TRAIN, *updates(tiny)))
    assert ("Resuming from out/checkpoint-" in output) == (newest > 0)
    assert statuses(tmp_path) == ["INTERRUPTED"] * kills + ["COMPLETED"]
    assert curve(tmp_path) == curve(straight)
    log = json.loads((tmp_path / "out" / "training_log.json").read_text())["log_history"]
    assert [row["step"] for row in log if "loss" in row] == list(range(1, STEPS + 1))
    ours, theirs = (load_file(folder / "out" / "model.safetensors") for folder in (tmp_path, straight))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    results = [json.loads((folder / "out" / "results.json").read_text()) for folder in (tmp_path, straight)]
    assert results[0]["figures"] == results[1]["figures"]
    losses = sacred_losses(tmp_path)
    assert losses == sacred_losses(straight) and sorted(losses) == list(range(1, STEPS + 1))
    assert not (tmp_path / "out" / ".incomplete").exists()


@pytest.mark.slow  # a kill at a random moment is in the quick tests
def test_a_process_killed_while_it_saves_leaves_no_broken_checkpoint(tiny, tmp_path):
    process = start(tmp_path, sys.executable, TRAIN, *updates(tiny, "save_steps=1", "eval_before_training=False"))
    out = tmp_path / "out"
    deadline = time.monotonic() + 120
    while not (out / "checkpoint-3").exists() or not (out / ".incomplete").exists():
        assert time.monotonic() < deadline and process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    problems = [checkpoint_problem(path) for path in out.glob("checkpoint-*")]
    assert problems and problems == [None] * len(problems)
    # What a kill would have left while Sacred wrote, had it not written aside
    broken = tmp_path / "runs" / "2"
    shutil.copytree(tmp_path / "runs" / "1", broken)
    (broken / "run.json").write_text("{")
    command = updates(tiny, "save_steps=1", "eval_before_training=False")
    assert "Resuming from out/checkpoint-" in finish(start(tmp_path, sys.executable, TRAIN, *command))
    assert json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["status"] == "INTERRUPTED"
    assert not (out / ".incomplete").exists()


@pytest.mark.slow
def test_another_number_of_processes_is_refused(tiny, tmp_path):
    process = start(tmp_path, sys.executable, TRAIN, *updates(tiny, "eval_before_training=False"))
    assert wait_for_step(process, 5)
    os.kill(process.pid, signal.SIGTERM)
    finish(process, 143)
    command = [TRAIN, *updates(tiny, "eval_before_training=False")]
    output = finish(start(tmp_path, *launch_command("cpu_2proc.yaml", *command)), 1)
    assert "another number of processes (1 there, 2 here)" in output


@pytest.mark.slow
def test_sigterm_under_two_processes(straight, tiny, tmp_path):
    command = launch_command("cpu_2proc.yaml", TRAIN, *updates(tiny, "per_device_train_batch_size=1"))
    process = start(tmp_path, *command)
    assert wait_for_step(process, 6)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode != 0 and "The same command goes on from out/checkpoint-" in output, output[-3000:]
    assert statuses(tmp_path) == ["INTERRUPTED"]
    assert "Traceback" not in (tmp_path / "runs" / "1" / "cout.txt").read_text()
    assert json.loads((tmp_path / "out" / "training_run.json").read_text())["status"] == "interrupted"
    finish(start(tmp_path, *launch_command("cpu_2proc.yaml", *command[command.index(TRAIN) :])))
    assert statuses(tmp_path) == ["INTERRUPTED", "COMPLETED"]
    ours, theirs = ([row["loss"] for row in curve(folder) if "loss" in row] for folder in (tmp_path, straight))
    assert len(ours) == len(theirs) == STEPS  # dropout differs between one process and two


@pytest.mark.slow
@pytest.mark.parametrize("config", ["zero3_cpu_2proc.yaml", "cpu_2proc.yaml"])
def test_two_processes_killed_in_the_second_epoch(config, tiny, tmp_path):
    skip_without_compiler(config)
    command = [TRAIN, *updates(tiny, "per_device_train_batch_size=1", "eval_before_training=False")]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    straight.mkdir()
    killed.mkdir()
    finish(start(straight, *launch_command(config, *command)))
    process = start(killed, *launch_command(config, *command))
    assert wait_for_step(process, random.randint(27, 36))  # an epoch has 24 steps
    os.killpg(process.pid, signal.SIGKILL)
    kill_workers(killed)
    process.communicate()
    checkpoints = list((killed / "out").glob("checkpoint-*"))
    assert checkpoints and [checkpoint_problem(path) for path in checkpoints] == [None] * len(checkpoints)
    assert "Resuming from out/checkpoint-" in finish(start(killed, *launch_command(config, *command)))
    assert statuses(killed) == ["INTERRUPTED", "COMPLETED"]
    assert curve(killed) == curve(straight)
    ours, theirs = (load_file(folder / "out" / "model.safetensors") for folder in (killed, straight))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="class")
def interrupted(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    process = start(folder, sys.executable, TRAIN, *updates(tiny))
    assert wait_for_step(process, 5)
    os.kill(process.pid, signal.SIGTERM)
    output = finish(process, 143)
    assert "Traceback" not in output and "Interrupted by SIGTERM." in output
    return folder


class TestSameOutputDirectory:
    def test_other_settings_are_refused_by_name(self, interrupted, tiny):
        output = finish(start(interrupted, sys.executable, TRAIN, *updates(tiny, "learning_rate=0.1")), 1)
        assert "learning_rate: 0.0003 there, 0.1 here" in output and "resume=False" in output
        assert "Traceback" not in output

    def test_other_data_are_refused(self, interrupted, tiny):
        output = finish(start(interrupted, sys.executable, TRAIN, *updates(tiny, "train_dataset_size=40")), 1)
        assert "train_dataset_size" in output

    @pytest.mark.slow
    def test_settings_that_change_nothing_may_change(self, interrupted, tiny):
        output = finish(
            start(interrupted, sys.executable, TRAIN, *updates(tiny, "verify_round_trip=False", "save_total_limit=1"))
        )
        assert "Resuming from out/checkpoint-" in output

    @pytest.mark.slow
    def test_a_complete_run_with_checkpoints_is_not_overwritten_unasked(self, interrupted, tiny):
        output = finish(start(interrupted, sys.executable, TRAIN, *updates(tiny)), 1)
        assert "of a run that is complete" in output

    @pytest.mark.slow
    def test_resume_false_starts_over(self, interrupted, tiny):
        output = finish(
            start(interrupted, sys.executable, TRAIN, *updates(tiny, "resume=False", "trainer.max_steps=2"))
        )
        assert "are removed" in output and "Resuming" not in output
        assert [path.name for path in (interrupted / "out").glob("checkpoint-*")] == ["checkpoint-2"]


def test_a_second_process_is_refused_while_the_first_trains(tiny, tmp_path):
    first = start(tmp_path, sys.executable, TRAIN, *updates(tiny, "trainer.max_steps=4000", "save_steps=1000"))
    try:
        while not (tmp_path / "out" / "training_run.json").exists():
            assert first.poll() is None
            time.sleep(0.1)
        output = finish(start(tmp_path, sys.executable, TRAIN, *updates(tiny)), 1)
        assert "another process trains in 'out'" in output
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()


def test_checkpoints_go_when_the_run_is_complete(tiny, tmp_path):
    short = updates(
        tiny, "keep_checkpoints=False", "trainer.max_steps=4", "save_steps=2", "eval_before_training=False"
    )
    for _ in range(2):  # and the next start begins anew
        output = finish(start(tmp_path, sys.executable, TRAIN, *short))
        assert "Resuming" not in output and not list((tmp_path / "out").glob("checkpoint-*"))

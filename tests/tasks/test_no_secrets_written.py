"""No token, API key or path of the home directory in any file that a run writes."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.tasks.secret_run import ROOT, SECRETS, Home


RUNS = {
    "adapter": ("merge_adapter=False",),
    "merged": (),
    "full": ("use_peft=False", "learning_rate=1e-5"),
}
CHECKPOINTS = ("save_steps=2", "keep_checkpoints=True", "eval_strategy=steps", "trainer.eval_steps=2")


@pytest.fixture(scope="module", params=RUNS)
def finished(request, tmp_path_factory):
    home = Home(tmp_path_factory.mktemp(request.param) / "unmistakable-home")
    result = home.train(
        *RUNS[request.param], *CHECKPOINTS, "trainer.load_best_model_at_end=True", "report_to=tensorboard"
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return home


def test_nothing_private_is_written(finished):
    names = {path.name for path in finished.written()}
    expected = {"run.json", "config.json", "cout.txt", "metrics.json", "results.json", "README.md", "optimizer.pt"}
    assert expected | {"trainer_state.json", "training_args.bin", "tokenizer_config.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert finished.leaks() == []


def test_the_record_is_of_use_still(finished):
    record = finished.cwd / "runs" / "1"
    assert json.loads((record / "config.json").read_text())["model_name"] == "~/models/tiny"
    assert json.loads((finished.cwd / "out" / "results.json").read_text())["provenance"]["model"]["sha256"]
    assert "The reward model is in ~/project/out" in (record / "cout.txt").read_text()
    assert list((finished.cwd / "runs" / "_sources").glob("train_*.py"))


def test_the_same_command_resumes(tmp_path):
    home = Home(tmp_path / "unmistakable-home")
    command = ("save_steps=2", "keep_checkpoints=True", "eval_strategy=no")
    assert home.train(*command).returncode == 0
    # As if it had been killed after the first checkpoint
    shutil.rmtree(home.cwd / "out" / "checkpoint-4")
    state = home.cwd / "out" / "training_run.json"
    state.write_text(state.read_text().replace('"complete"', '"running"'))
    result = home.train(*command)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert f"Resuming from {home.cwd}/out/checkpoint-2" in result.stdout + result.stderr
    assert json.loads((home.cwd / "out" / "checkpoint-4" / "trainer_state.json").read_text())["global_step"] == 4
    assert home.leaks() == []


def test_the_search_finds_what_is_there(tmp_path):
    home = Home(tmp_path / "unmistakable-home")
    (home.cwd / "plain.txt").write_text(f"{home.path}/x {SECRETS['OPENAI_API_KEY']}")
    code = f"import torch; torch.save({{'token': {SECRETS['HF_TOKEN']!r}}}, 'state.pt')"
    subprocess.run([sys.executable, "-c", code], cwd=home.cwd, check=True)
    assert home.leaks() == [
        "project/plain.txt: home",
        "project/plain.txt: OPENAI_API_KEY",
        "project/state.pt: HF_TOKEN",
    ]


@pytest.mark.parametrize("debug", [False, True], ids=["message", "traceback"])
def test_a_run_that_fails(debug, tmp_path):
    home = Home(tmp_path / "unmistakable-home")
    result = home.train(f"train_data_path={home.path}/nowhere.csv", options=("-d",) if debug else ())
    assert result.returncode != 0 and "nowhere.csv" in result.stderr
    record = json.loads((home.cwd / "runs" / "1" / "run.json").read_text())
    assert record["status"] == "FAILED" and "~/nowhere.csv" in "".join(record["fail_trace"])
    assert home.leaks() == []


def test_a_checkout_below_home(tmp_path):
    home = Home(tmp_path / "unmistakable-home")
    for name in ("tasks", "trl_ext"):
        shutil.copytree(ROOT / name, home.path / "checkout" / name)
    home.cwd = tmp_path / "scratch"  # from here, a relative path to the checkout names the home directory
    home.cwd.mkdir()
    script = home.path / "checkout" / "tasks" / "train.py"
    result = home.train(f"train_data_path={home.path}/nowhere.csv", options=("-d",), script=script)
    assert f'File "{script}"' in result.stderr  # the terminal is told everything
    record = json.loads((home.cwd / "runs" / "1" / "run.json").read_text())
    assert record["experiment"]["base_dir"] == "~/checkout/tasks"
    assert 'File "~/checkout/tasks/train.py"' in "".join(record["fail_trace"])
    files = [path for path in home.cwd.rglob("*") if path.is_file()]
    assert files and home.leaks(files) == []

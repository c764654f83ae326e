"""tasks/train.py pushes the finished model to a hub, and everything of it that should not be there stays here."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.processes import ROOT, environment
from tests.servers.hub import LoopbackHub
from tests.tiny import tiny_checkpoint


PULL = """
import json, sys
from transformers import AutoTokenizer, pipeline
name, eos = sys.argv[1], AutoTokenizer.from_pretrained(sys.argv[1]).eos_token
classifier = pipeline("text-classification", model=name)
rows = json.load(sys.stdin)
print(json.dumps([classifier(row + eos, add_special_tokens=False)[0]["score"] for row in rows]))
"""


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushed")
    tiny = tiny_checkpoint(folder / "tiny", max_position_embeddings=2048)
    with LoopbackHub() as hub:
        hub.fail_every(3)
        env = environment(**hub.environment(folder / "cache"))
        command = [
            *(sys.executable, ROOT / "tasks" / "train.py", "with", f"model_name={tiny}", "trainer.max_steps=2"),
            *("train_dataset_size=32", "lora_last_layers=1", "eval_before_training=False", "output_dir=out"),
            *("push_to_hub=True", "hub_model_id=a-judge", "hub_private=True", "report_to=tensorboard"),
        ]
        result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        results = json.loads((folder / "out" / "results.json").read_text())
        hub.heal()
        yield folder, hub, env, result, results


def test_it_says_where_to_and_who_can_read_it(pushed):
    _, hub, _, result, results = pushed
    announced = result.stderr.split("About to push to", 1)[1]
    assert "PRIVATE" in announced and "model.safetensors" in announced
    assert f"private, commit {results['hub']['commit']}" in result.stdout and results["hub"]["private"]
    assert hub.model(results["hub"]["repo_id"]).private


def test_a_stranger_gets_the_rewards_that_were_reported(pushed):
    folder, _, env, _, results = pushed
    table = pd.read_csv(folder / "out" / "test_rewards.csv").head(4)
    pulled = subprocess.run(
        [sys.executable, "-c", PULL, results["hub"]["repo_id"]],
        input=json.dumps((table["prompt"] + table["chosen"]).tolist()),
        env=env | {"HF_HOME": str(folder / "elsewhere")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert pulled.returncode == 0, pulled.stderr[-3000:]
    assert json.loads(pulled.stdout.splitlines()[-1]) == pytest.approx(table["reward_chosen"].tolist(), abs=1e-5)


def test_no_data_no_pickles_no_logs(pushed):
    folder, hub, _, _, results = pushed
    names = set(hub.model(results["hub"]["repo_id"]).find("main").files)
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names
    assert names <= {path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*")} | {
        ".gitattributes"
    }
    assert not [
        name for name in names if name.endswith((".bin", ".csv", ".pt", ".pth")) or name.startswith(("runs", "check"))
    ]
    assert not {"training_run.json", "manifest.json"} & names


def test_without_a_token_it_stops_before_anything_is_loaded(tmp_path):
    env = {name: value for name, value in environment().items() if "TOKEN" not in name}
    command = [sys.executable, str(ROOT / "tasks" / "train.py"), "with", "push_to_hub=True", "model_name=nowhere"]
    result = subprocess.run(
        command, cwd=tmp_path, env=env | {"HF_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 1 and "HF_TOKEN" in result.stdout + result.stderr
    assert not Path(tmp_path, "outputs").exists()

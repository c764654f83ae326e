"""The commands that a report prints for what is missing: they write where the report reads."""

import json
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from tests.processes import ROOT, environment
from tests.tasks.test_evaluate_reward_model import write_lie
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext.cli import command_line
from trl_ext.cli.commands import COMMANDS as PROGRAMS
from trl_ext.data import load_demo_preferences
from trl_ext.reporting import read_run
from trl_ext.reporting.run_folder import COMMANDS


# What is read of a run -> where the script must write it, below the folder of the run
PLACES = {
    "mislabels": "",  # the script makes mislabels/
    "evaluations": "evaluation",
    "probes": "evaluation/lie",
    "rate": "rate",
    "mismatch": "mismatch",
    "monitoring": "monitoring",
    "results": "",
    "log_history": "",
    "data_health": "",
    "calibration_history": "",
}
# What makes it a matter of seconds, and stands for data of the user's own
SMALL = {
    "calibration": ["max_rows=40"],
    "mislabels": ["train_dataset_size=40", "resamples=50", "skip_plots=True"],
    "evaluations": ["dataset=pairs.jsonl"],
    "probes": ["data=rapl", "results_log=None"],
    "rate": ["limit=12", "stop_after=effects"],
    "mismatch": ["responses=responses", "ratings=ratings.csv", "draws=100", "plots=False"],
    "monitoring": ["labels_path=demo"],
}


def words(part: str, run: str) -> list[str]:
    """The words of a printed command."""
    name, *found = shlex.split(COMMANDS[part])
    assert name == "trl-ext"
    return [word.replace("RUN", run) for word in found]


@pytest.mark.parametrize("part", COMMANDS)
def test_they_are_commands_with_keys_of_their_programs(part):
    command, _ = command_line(words(part, "outputs/my-run"))
    script = Path(command[1])
    config = import_module(".".join(script.relative_to(ROOT).with_suffix("").parts)).ex.configurations[0]()
    given = dict(word.split("=", 1) for word in command[command.index("with") + 1 :])
    assert set(given) <= set(config)
    if part in PLACES:
        assert Path(given["output_dir"]) == Path("outputs/my-run", PLACES[part])
    else:
        assert part == "calibration" and given["model"] == "outputs/my-run"  # beside the model


@pytest.mark.parametrize(
    ("name", "word", "place"),
    [
        ("evaluate", "", "evaluation"),
        ("evaluate", "rm-bench", "evaluation"),
        ("evaluate", "lie", "evaluation/lie"),
        ("evaluate", "true", "evaluation/true"),
        ("evaluate", "attributes", "evaluation/attributes"),
        ("audit", "labels", ""),
        ("audit", "attribute", "rate"),
        ("audit", "models", "mismatch"),
        ("monitor", "", "monitoring"),
    ],
)
def test_examples_of_the_help_write_there_too(name, word, place):
    found = PROGRAMS[name].programs[word].example.replace("--output_dir ", "output_dir=").split()
    assert f"output_dir={Path('outputs/demo-beta', place)}" in found


def test_so_do_those_of_the_guide():
    text = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    tour = text.split("```bash")[1].split("```")[0]
    for name, place in (("evaluate", "evaluation"), ("audit attribute", "rate")):
        (line,) = (line for line in tour.splitlines() if line.startswith(f"trl-ext {name} "))
        assert f"outputs/demo-beta/{place}" in line


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small reward model in `run`, and data for all commands."""
    folder = tmp_path_factory.mktemp("printed")
    tokenizer = tiny_tokenizer()
    for part in (tiny_reward_model(tokenizer), tokenizer):
        part.save_pretrained(folder / "run")
    pairs = load_demo_preferences()["test"].to_pandas()[["prompt", "chosen", "rejected"]].head(8)
    pairs.to_json(folder / "pairs.jsonl", orient="records", lines=True)
    write_lie(folder / "rapl")
    (folder / "responses").mkdir()
    for number, model in enumerate(("loud", "plain")):
        rows = [
            {"id": f"q{i}", "prompt": f"Q {i}?", "response": "good " * (number + 1) + str(i), "model": model}
            for i in range(20)
        ]
        (folder / "responses" / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pd.DataFrame({"model": ["loud", "plain"], "rating": [1000, 1010]}).to_csv(folder / "ratings.csv", index=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("part", SMALL)
def test_what_they_write_is_read(part, place):
    assert part in read_run(place / "run").missing
    command, _ = command_line([*words(part, "run"), *SMALL[part]])
    result = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-2000:]
    assert part not in read_run(place / "run").missing

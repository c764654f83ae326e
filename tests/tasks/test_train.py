"""tasks/train.py from the command line, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.tiny import tiny_checkpoint


ROOT = Path(__file__).resolve().parents[2]
FIGURE = {"value", "se", "ci_low", "ci_high", "n", "method"}


def launch(folder: Path, *updates: str, config: str | None = None, timeout: int = 900) -> subprocess.CompletedProcess:
    """By `accelerate launch` if there is a `config`; alone else, which saves the seconds that the launcher takes."""
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / str(config))]
    command = [str(ROOT / "tasks" / "train.py"), "with", *updates]
    result = subprocess.run(
        [sys.executable, *([*launcher, "--main_process_port", "0"] if config else []), *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=2048)


TINY_RUN = ("trainer.max_steps=2", "lora_last_layers=1", "train_dataset_size=32")


class TestBundledModel:
    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("run")
        result = launch(
            folder,
            *("rapl_method=beta", "trainer.max_steps=1", "eval_before_training=False", "eval_strategy=no"),
            config="cpu.yaml",
        )
        return folder, result

    def test_the_table_shows_every_figure_and_how_to_load(self, run):
        _, result = run
        for text in ("accuracy to the labels", "accuracy to the truth", "W_length", "W_correct", "pipeline("):
            assert text in result.stdout

    def test_the_saved_model_loads_with_plain_transformers(self, run):
        folder, _ = run
        path = folder / "outputs" / "demo-beta"
        model = AutoModelForSequenceClassification.from_pretrained(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        table = pd.read_csv(path / "test_rewards.csv")
        for _, row in table.head(3).iterrows():
            ids = tokenizer(row["prompt"] + row["chosen"] + tokenizer.eos_token, return_tensors="pt")
            with torch.inference_mode():
                assert model(**ids).logits.item() == pytest.approx(row["reward_chosen"], abs=1e-4)

    def test_the_results_have_intervals_and_provenance(self, run):
        folder, _ = run
        results = json.loads((folder / "outputs" / "demo-beta" / "results.json").read_text())
        assert FIGURE <= results["figures"]["after_accuracy_to_truth"].keys()
        assert results["round_trip"]["rows"] == 8 and results["round_trip"]["max_difference"] < 1e-5
        provenance = results["provenance"]
        assert provenance["config"]["seed"] == 42
        assert {
            "versions",
            "dtype",
            "attention",
            "pairs_per_step",
            "length",
            "data_sha256",
            "command",
        } <= provenance.keys()

    def test_sacred_recorded_one_run(self, run):
        folder, _ = run
        record = json.loads((folder / "runs" / "1" / "run.json").read_text())
        assert record["status"] == "COMPLETED"
        assert json.loads((folder / "runs" / "1" / "config.json").read_text())["rapl_method"] == "beta"


@pytest.mark.parametrize(
    "updates",
    [
        ("rapl_method=p", "on_below_half=flip", "lr_scheduler_type=step_decay", "ema_decay=0.9"),
        ("rapl_col_id=None",),
        ("use_peft=False", "weight_scale=1.0"),
        *(
            pytest.param(updates, marks=pytest.mark.slow)  # their losses are tested with the trainer
            for updates in (
                ("rapl_method=smoothing", "constant_reliability=mean"),
                ("merge_adapter=False",),
                ("rapl_method=p",),
                ("rapl_method=p", "constant_reliability=0.9"),
                ("rapl_method=margin",),
                ("rapl_method=backward", "min_reliability=0.55", "train_dataset_size=0"),
                ("rapl_method=beta", "normalize_beta=True"),
                ("rapl_method=none", "min_reliability=0.7"),
            )
        ),
    ],
    ids=lambda updates: "-".join(updates),
)
def test_methods_run(updates, tiny, tmp_path):
    launch(tmp_path, f"model_name={tiny}", *TINY_RUN, *updates)
    (output,) = (tmp_path / "outputs").iterdir()
    results = json.loads((output / "results.json").read_text())
    assert results["round_trip"]["max_difference"] < 1e-5
    weights = results["weights"]
    assert weights["n"] > 0 and weights["share_zero"] < 1
    assert (weights["constant_reliability"] is not None) == any("constant" in update for update in updates)
    assert (weights["normalization_factor"] != 1) == ("normalize_beta=True" in updates)
    assert (output / "adapter_config.json").exists() == ("merge_adapter=False" in updates)


def test_annotators_are_learned_too(tiny, tmp_path):
    result = launch(tmp_path, f"model_name={tiny}", *TINY_RUN, "rapl_method=joint")
    output = tmp_path / "outputs" / "demo-joint"
    results = json.loads((output / "results.json").read_text())
    assert results["round_trip"]["max_difference"] < 1e-5
    table = pd.DataFrame(results["annotators"]["table"])
    assert table["n"].sum() == 32 and ((table["ci_low"] <= table["eta"]) & (table["eta"] <= table["ci_high"])).all()
    assert "annotator-0" in result.stdout
    assert len(pd.read_csv(output / "annotators.csv")) == len(table)


@pytest.mark.slow
def test_two_processes_record_one_run_and_the_same_figures(tiny, tmp_path):
    found = []
    for config, batch in (("cpu.yaml", 8), ("cpu_2proc.yaml", 4)):
        folder = tmp_path / config
        folder.mkdir()
        launch(folder, f"model_name={tiny}", *TINY_RUN, f"per_device_train_batch_size={batch}", config=config)
        assert len(list((folder / "runs").glob("[0-9]*"))) == 1
        found.append(pd.read_csv(folder / "outputs" / "demo-beta" / "test_rewards.csv"))
    assert found[0]["id"].equals(found[1]["id"])
    pd.testing.assert_series_equal(found[0]["reward_chosen"], found[1]["reward_chosen"], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_lie_from_single_paths(tiny, tmp_path, shared_dir):
    folds = shared_dir / "data" / "rapl" / "LIE" / "folds"
    launch(
        tmp_path, "lie", f"model_name={tiny}", f"train_data_path={folds}/LIE_train_0.csv",
        f"eval_data_path={folds}/LIE_val_0.csv", "rapl_col_id=TRUE_probability_correct", "rapl_method=p",
        "is_rapl_score_correctness_prob=True", "eval_on_lie_test=True", "trainer.max_steps=1", "eval_dataset_size=16",
        "eval_before_training=False",
    )  # fmt: skip
    results = json.loads((tmp_path / "outputs" / "LIE_train_0-p" / "results.json").read_text())
    assert {"after_length_weight", "after_correctness_weight", "after_ratio"} <= results["figures"].keys()
    assert results["figures"]["after_length_weight"]["n"] == 160


@pytest.mark.slow
def test_lie_grouped_folds_from_a_clone(tiny, tmp_path, shared_dir):
    launch(
        tmp_path, "lie_rapl", f"model_name={tiny}", f"lie_data_dir={shared_dir}/data/rapl", "lie_grouped_folds=True",
        "trainer.max_steps=1", "eval_dataset_size=16", "eval_before_training=False", "eval_on_lie_test=False",
    )  # fmt: skip
    assert (tmp_path / "outputs" / "lie-grouped0-p" / "results.json").is_file()

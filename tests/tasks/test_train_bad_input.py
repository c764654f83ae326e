"""Mistakes in the configuration and in the data of tasks/train.py: a clear message, before any model is loaded."""

import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tasks.train import ex
from tasks.train_config import ConfigError
from tests.tiny import pairs, tiny_checkpoint


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model_without_weights(tmp_path_factory):
    """Loading this model fails; its configuration and tokenizer can be read."""
    path = tmp_path_factory.mktemp("model") / "broken"
    tiny_checkpoint(path)
    (path / "model.safetensors").write_bytes(b"not a model")
    return str(path)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def frame(**changes) -> pd.DataFrame:
    table = pairs(6, reliability=[0.6, 0.7, 0.8, 0.9, 0.55, 1.0]).to_pandas()
    for column, value in changes.items():
        if value is None:
            table = table.drop(columns=column)
        else:
            table[column] = value if isinstance(value, list) else table[column].where(table.index != 3, value)
    return table


def run(model: str, **updates) -> None:
    observers, ex.observers = ex.observers, []
    try:
        ex.run(config_updates={"model_name": model, "eval_strategy": "no"} | updates)
    finally:
        ex.observers = observers


BAD_DATA = {
    "missing chosen": (frame(chosen=None), r"'chosen'.*prompt.*rejected"),
    "missing reliability": (frame(reliability=None), r"'reliability'"),
    "nan reliability": (frame(reliability=float("nan")), r"(?s)'reliability'.*row 3"),
    "reliability above one": (frame(reliability=1.5), r"(?s)'reliability'.*\[0, 1\].*row 3.*pair-3.*1\.5"),
    "negative reliability": (frame(reliability=-0.2), r"(?s)'reliability'.*row 3.*-0\.2"),
    "text for a number": (frame(reliability=["0.6", "high", "0.8", "0.9", "1", "1"]), r"(?s)'reliability'.*row"),
    "empty text": (frame(chosen=""), r"(?s)'chosen'.*row 3.*pair-3"),
    "blank text": (frame(rejected="  \n"), r"(?s)'rejected'.*row 3"),
    "identical responses": (
        frame(chosen=["same"] + ["a"] * 5, rejected=["same"] + ["b"] * 5), r"(?s)identical.*row 0|row 0.*identical"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_bad_rows(name, suffix, model_without_weights, tmp_path):
    table, message = BAD_DATA[name]
    path = tmp_path / f"pairs.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False)
    elif suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    with pytest.raises(ConfigError, match=message):
        run(model_without_weights, train_data_path=str(path))


def write(path: Path, content: str) -> str:
    path.write_text(content)
    return str(path)


def good(tmp_path: Path) -> str:
    frame().to_csv(tmp_path / "good.csv", index=False)
    return str(tmp_path / "good.csv")


BAD_FILES = {
    "missing file": (lambda p: {"train_data_path": str(p / "nowhere.csv")}, r"nowhere\.csv"),
    "empty file": (lambda p: {"train_data_path": write(p / "empty.csv", "")}, r"empty\.csv"),
    "broken json": (lambda p: {"train_data_path": write(p / "broken.json", '[{"chosen": ')}, r"broken\.json"),
    "unknown format": (lambda p: {"train_data_path": write(p / "pairs.xyz", "?")}, r"pairs\.xyz|xyz"),
    "no rows": (lambda p: {"train_data_path": write(p / "none.csv", "prompt,chosen,rejected,reliability\n")}, r"(?i)empty|no rows"),
    "renamed column that is absent": (lambda p: {"train_data_path": good(p), "chosen_col_name": "chozen"}, r"'chozen'.*'?chosen'?"),
    "reliability column that is absent": (lambda p: {"train_data_path": good(p), "rapl_col_id": "relyability"}, r"relyability|'reliability'"),
    "all rows over length": (lambda p: {"train_data_path": good(p), "max_length": 3}, r"max_length.*3|3.*max_length"),
    "over length refused": (lambda p: {"train_data_path": good(p), "max_length": 30, "max_length_policy": "error"}, r"(?s)row \d"),
    "below one half refused": (
        lambda p: {"train_data_path": good(p), "on_below_half": "error", "constant_reliability": 0.3}, r"(?s)row 0.*0\.3"
    ),
    "no LIE test file": (lambda p: {"train_data_path": good(p), "eval_on_lie_test": True}, r"LIE_dataset_test\.csv"),
    "no LIE directory": (lambda p: {"lie_data_dir": str(p)}, r"LIE"),
    "unknown trainer field": (lambda p: {"train_data_path": good(p), "trainer": {"logging_stepz": 1}}, r"logging_stepz.*logging_steps"),
    "bad scheduler": (lambda p: {"train_data_path": good(p), "lr_scheduler_type": "cosines"}, r"cosines"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name, model_without_weights, tmp_path):
    build, message = BAD_FILES[name]
    with pytest.raises(ConfigError, match=message):
        run(model_without_weights, **build(tmp_path))


BAD_CONFIG = {
    "unknown key": ({"learning_rat": 1e-5}, r"learning_rat'.*learning_rate"),
    "text for a number": ({"learning_rate": "fast"}, r"learning_rate.*'fast'"),
    "number for a flag": ({"use_peft": 1}, r"use_peft.*bool"),
    "flag for a number": ({"lora_rank": True}, r"lora_rank.*int"),
    "joint with a constant": ({"rapl_method": "joint", "constant_reliability": 0.9}, "joint.*leave constant_reliability"),
    "joint with a flip": ({"rapl_method": "joint", "on_below_half": "flip"}, "joint.*leave on_below_half"),
    "layers and LoRA": ({"train_last_layers": 2}, "train_last_layers is without LoRA"),
    "cache without layers": ({"frozen_cache_dir": "x"}, "set train_last_layers"),
    "unknown method": ({"rapl_method": "gamma"}, r"rapl_method.*beta, p, margin, smoothing, backward, joint, none.*gamma"),
    "negative batch": ({"per_device_train_batch_size": 0}, r"per_device_train_batch_size.*positive"),
    "warm-up above one": ({"lr_warmup_ratio": 1.5}, r"lr_warmup_ratio.*\[0, 1\)"),
    "constant without a method": ({"rapl_method": "none", "constant_reliability": 0.9}, r"constant_reliability.*rapl_method=none"),
    "constant and threshold": ({"constant_reliability": 0.9, "min_reliability": 0.5}, r"min_reliability"),
    "constant that is no probability": ({"constant_reliability": 1.9}, r"constant_reliability.*\[0, 1\]"),
    "threshold without a column": ({"rapl_col_id": None, "min_reliability": 0.5}, r"rapl_col_id"),
    "flip of a raw column": ({"is_rapl_score_correctness_prob": False, "on_below_half": "flip"}, r"on_below_half"),
    "constant that is no number": ({"constant_reliability": "median"}, r"constant_reliability.*'mean', got 'median'"),
    "mean without a column": ({"rapl_col_id": None, "constant_reliability": "mean"}, r"constant_reliability=mean.*rapl_col_id"),
    "flip without a column": ({"rapl_col_id": None, "on_below_half": "flip"}, r"on_below_half.*rapl_col_id"),
    "normalised p": ({"rapl_method": "p", "normalize_beta": True}, r"normalize_beta.*rapl_method=beta, got p"),
    "near chance": ({"rapl_method": "backward"}, r"(?s)'reliability'.*value 0\.\d+.*min_reliability=0.505"),
    "noise method that is unknown": ({"noise_method": "both"}, r"noise_method.*forward, backward.*'both'"),
    "noise and RAPL": ({"noise_method": "forward", "rapl_method": "p"}, "noise_method=forward.*leave rapl_method out"),
    "noise and reliability": ({"noise_method": "none", "rapl_col_id": "confidence"}, "leave rapl_col_id out"),
    "noise and a threshold": ({"noise_method": "focal", "min_reliability": 0.6}, "leave min_reliability out"),
    "eta without noise": ({"eta": 0.5}, "eta is for NoiseAwareRewardTrainer: set noise_method"),
    "label without noise": ({"label_col_name": "vote"}, "label_col_name is for NoiseAwareRewardTrainer"),
    "eta without effect": ({"noise_method": "hinge", "eta": 0.5}, "eta has no effect with noise_method=hinge"),
    "two sources of eta": ({"noise_method": "forward", "eta": 0.5, "annotator_eta_path": "x.json"}, "set one"),
    "eta above one": ({"noise_method": "forward", "eta": 1.5}, r"'eta' must be in \(0, 1\], got 1.5"),
    "no file of eta": ({"noise_method": "forward", "annotator_eta_path": "no.json"}, "no.json.*no such file"),
    "no labels": ({"noise_method": "soft_label"}, "soft_label.*needs the column 'label'"),
    "no oracle": ({"oracle_col_name": "truth"}, "oracle_col_name='truth' is not a column of the test pairs"),
    "two keys for one field": ({"trainer": {"learning_rate": 1e-3}}, r"'learning_rate', not 'trainer\.learning_rate'"),
    "tracker in trainer": ({"trainer": {"report_to": "wandb"}}, r"'report_to', not 'trainer\.report_to'"),
    "unknown tracker": ({"report_to": ["tensorbord"]}, r"'tensorbord'.*tensorboard"),
    "two sources of data": ({"lie_data_dir": "x", "train_data_path": "y.csv"}, r"lie_data_dir"),
    "token in config": ({"auth_token": "hf_abcdefghijklmnopqrstuvwxyz"}, r"auth_token.*HF_TOKEN"),
    "token in trainer": ({"trainer": {"hub_token": "x"}}, r"hub_token.*HF_TOKEN"),
    "token in a value": ({"experiment_tag": "hf_abcdefghijklmnopqrstuvwxyz"}, r"experiment_tag.*HF_TOKEN"),
    "unknown bundled model": ({"model_name": "bundled:gpt-9"}, r"bundled:gpt-9.*smollm2"),
    "unknown model": ({"model_name": "nobody/no-such-model"}, r"nobody/no-such-model.*bundled:smollm2"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CONFIG)
def test_bad_configuration(name, model_without_weights):
    updates, message = BAD_CONFIG[name]
    with pytest.raises(ConfigError, match=message) as caught:
        run(updates.pop("model_name", model_without_weights), **updates)
    assert "hf_abc" not in str(caught.value)


def command_line(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "tasks" / "train.py"), *arguments], capture_output=True, text=True, timeout=120
    )


def test_a_refused_token_is_recorded_nowhere(tmp_path):
    result = command_line("with", "auth_token=hf_abcdefghijklmnopqrstuvwxyz")
    assert result.returncode != 0
    assert "HF_TOKEN" in result.stderr
    assert "Traceback" not in result.stderr and "hf_abc" not in result.stdout + result.stderr
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("command", ["help", "print_config"])
def test_help_and_print_config_answer_at_once(command):
    start = time.monotonic()
    result = command_line(command)
    assert result.returncode == 0
    assert {"help": "print_config", "print_config": "rapl_method"}[command] in result.stdout
    assert time.monotonic() - start < 5


def test_import_is_light():
    code = "import sys, time; t = time.time(); import trl_ext; print(time.time() - t, 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    seconds, torch_imported = result.stdout.split()
    assert float(seconds) < 1 and torch_imported == "False"


def test_named_configurations_exist(capsys, monkeypatch):
    monkeypatch.setattr(ex, "observers", [])
    for name in ("demo", "lie", "lie_rapl"):
        ex.run("print_config", named_configs=[name])
    assert "TRUE_probability_correct" in capsys.readouterr().out

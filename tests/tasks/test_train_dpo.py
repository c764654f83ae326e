"""tasks/rapl/train_dpo.py: weighted DPO from the command line and from a configuration."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tasks.rapl import dpo_run
from tasks.rapl.train_dpo import _DEFAULTS, ex
from tasks.train_config import ConfigError
from tests.tiny import pairs, tiny_checkpoint
from trl_ext.trainer.checkpoints import checkpoint_problem


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=512)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(model: str, **updates):
    observers, ex.observers = ex.observers, []
    try:
        return ex.run(config_updates={"model_name": model} | updates).result
    finally:
        ex.observers = observers


def data_file(folder: Path, **columns) -> str:
    path = folder / "pairs.csv"
    pairs(6, **columns).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("use_peft", [True, False])
def test_a_few_steps_on_a_file(use_peft, tiny, tmp_path):
    path = data_file(tmp_path, certainty=[0.5, 0.6, 0.9, 1.0, 0.75, 0.3])
    figures = run(
        tiny, train_data_path=path, eval_data_path=path, rapl_col_id="certainty", rapl_method="beta",
        normalize_beta=True, use_peft=use_peft, per_device_train_batch_size=3, gradient_accumulation_steps=1,
        trainer={"max_steps": 2, "logging_steps": 1, "disable_tqdm": True},
    )  # fmt: skip
    folder = tmp_path / "outputs" / "dpo-pairs-beta"
    results = json.loads((folder / "results.json").read_text())
    assert results["weights"]["n"] == 6 and results["weights"]["mean"] == pytest.approx(1)
    assert len(results["training"]) == 2
    assert results["figures"]["accuracy_to_labels"]["value"] == figures["accuracy_to_labels"]
    assert results["provenance"]["config"]["normalize_beta"] is True
    assert not list(folder.glob("*.bin")) and not list(folder.glob("checkpoint-*"))
    AutoModelForCausalLM.from_pretrained(folder)


class DiesAt:
    """A Sacred run in whose logging the process ends."""

    def __init__(self, step):
        self.step, self.steps, self.info = step, [], {}

    def log_scalar(self, name, value, step):
        if name == "loss":
            self.steps.append(step)
        if step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("use_peft", [True, False])
def test_an_interrupted_run_is_resumed_to_the_same_policy(use_peft, tiny, tmp_path):
    config = _DEFAULTS | {
        "model_name": tiny, "train_data_path": data_file(tmp_path, reliability=[0.5, 0.6, 0.9, 1.0, 0.75, 0.8]),
        "use_peft": use_peft, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "save_steps": 2,
        "num_train_epochs": 2, "learning_rate": 1e-2, "lora_target_modules": ["q_proj"],
        "trainer": {"logging_steps": 1, "disable_tqdm": True},
    }  # fmt: skip
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    dpo_run.run(config | {"output_dir": str(whole)}, DiesAt(None))
    with pytest.raises(KeyboardInterrupt):
        dpo_run.run(config | {"output_dir": str(parts)}, DiesAt(5))
    assert [checkpoint_problem(parts / f"checkpoint-{step}") for step in (2, 4)] == [None, None]
    with pytest.raises(ConfigError, match="other settings .*dpo_beta: 0.1 there, 0.2 here"):
        dpo_run.run(config | {"output_dir": str(parts), "dpo_beta": 0.2}, DiesAt(None))
    resumed = DiesAt(None)
    dpo_run.run(config | {"output_dir": str(parts)}, resumed)
    assert resumed.steps == [1, 2, 3, 4, 5, 6]  # four of them told again, from the checkpoint
    weights = [load_file(folder / "model.safetensors") for folder in (whole, parts)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-6)
    assert not list(parts.glob("checkpoint-*"))


def test_a_run_killed_after_its_last_step_takes_none_more(tiny, tmp_path, monkeypatch):
    config = _DEFAULTS | {
        "model_name": tiny, "train_data_path": data_file(tmp_path, reliability=[0.5, 0.6, 0.9, 1.0, 0.75, 0.8]),
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "output_dir": str(tmp_path / "out"),
        "lora_target_modules": ["q_proj"], "trainer": {"logging_steps": 1, "disable_tqdm": True, "max_steps": 4},
    }  # fmt: skip

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dpo_run, "report", killed)
        with pytest.raises(KeyboardInterrupt):
            dpo_run.run(config, DiesAt(None))
    policy = load_file(tmp_path / "out" / "checkpoint-4" / "adapter_model.safetensors")
    seen = {}
    save = dpo_run.save

    def note_and_save(trainer, use_peft):
        from peft import get_peft_model_state_dict

        seen.update(get_peft_model_state_dict(trainer.model))
        save(trainer, use_peft)

    monkeypatch.setattr(dpo_run, "save", note_and_save)
    resumed = DiesAt(None)
    dpo_run.run(config, resumed)
    assert resumed.steps == [1, 2, 3, 4]
    for name, weight in policy.items():
        torch.testing.assert_close(seen[name].cpu(), weight)


BAD = {
    "unknown key": ({"beta": 0.1}, r"'beta'.*train_dpo.py"),
    "unknown method": ({"rapl_method": "gamma"}, r"rapl_method.*gamma"),
    "no penalty": ({"dpo_beta": 0.0}, r"dpo_beta.*positive"),
    "normalised p": ({"rapl_method": "p", "normalize_beta": True}, r"normalize_beta"),
    "token": ({"auth_token": "hf_abcdefghijklmnopqrstuvwxyz"}, r"HF_TOKEN"),
    "unknown trainer field": ({"trainer": {"max_stepz": 1}}, r"max_stepz.*max_steps"),
    "another loss": ({"trainer": {"loss_type": ["hinge"]}}, r"loss_type"),
    "unknown model": ({"model_name": "nobody/no-such-model"}, r"nobody/no-such-model.*bundled"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration(name, tiny):
    updates, message = BAD[name]
    with pytest.raises(ConfigError, match=message):
        run(updates.get("model_name", tiny), **{key: value for key, value in updates.items() if key != "model_name"})


def test_missing_reliability_is_reported_without_a_traceback(tiny, tmp_path):
    with pytest.raises(ConfigError, match="'reliability'"):
        run(tiny, train_data_path=data_file(tmp_path))


def test_print_config_needs_no_model():
    result = subprocess.run(
        [sys.executable, str(ROOT / "tasks" / "rapl" / "train_dpo.py"), "print_config"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0 and "dpo_beta" in result.stdout

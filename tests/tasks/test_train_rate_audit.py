"""tasks/train.py with an audit of an attribute while it trains."""

import json
from pathlib import Path

import pytest
from sacred.observers import FileStorageObserver

from tasks.train import _DEFAULTS, ex
from tasks.train_config import CHOICES, ConfigError, check_config
from tests.tiny import tiny_checkpoint
from trl_ext.rate.rules.attribute_rules import RULES


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=2048)


def settings(tiny: str, **updates) -> dict:
    return {
        "model_name": tiny, "train_dataset_size": 32, "lora_last_layers": 1, "eval_strategy": "no",
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "verify_round_trip": False,
        "trainer": {"max_steps": 4, "disable_tqdm": True, "logging_steps": 1}, "cpu_threads": 1, "output_dir": "out",
        "rate_audit": "length", "rate_audit_every_n_steps": 2, "rate_audit_rows": 12,
    } | updates  # fmt: skip


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    """A run with an audit in `audited`, and one without in `plain`."""
    folder = tmp_path_factory.mktemp("runs")
    without = {key: value for key, value in settings(tiny).items() if not key.startswith("rate_audit")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(ex, "observers", [FileStorageObserver("runs")])
        ex.run(config_updates=settings(tiny, output_dir="audited"))
        ex.run(config_updates=without | {"output_dir": "plain", "eval_before_training": False})
    return folder


@pytest.mark.slow
def test_effects_are_in_the_log_in_their_file_and_in_the_results(folder):
    rows = [json.loads(line) for line in Path(folder, "audited", "rate_audit.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 4]
    results = json.loads(Path(folder, "audited", "results.json").read_text())["rate_audit"]
    assert results["attribute"] == "length" and results["rewriter"] == "rules" and 4 <= results["texts"] <= 12
    assert results["texts"] + sum(results["left_out"].values()) == 12
    assert results["latest"] == rows[-1]
    effect = rows[-1]["normalised"]["ATE_rewritten_rewrite"]
    assert effect["ci_low"] <= effect["value"] <= effect["ci_high"] and effect["n"] == results["texts"]
    logged = json.loads(Path(folder, "runs", "1", "metrics.json").read_text())["eval_rate/length"]
    assert logged["steps"] == [0, 2, 4] and logged["values"][-1] == pytest.approx(effect["value"])


@pytest.mark.slow
def test_training_is_the_same_with_and_without(folder):
    audited, plain = (Path(folder, name, "model.safetensors").read_bytes() for name in ("audited", "plain"))
    assert audited == plain and not Path(folder, "plain", "rate_audit.jsonl").exists()
    assert "rate_audit" not in json.loads(Path(folder, "plain", "results.json").read_text())


def test_the_attributes_are_those_that_rules_can_rewrite():
    assert set(CHOICES["rate_audit"]) == set(RULES)


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"rate_audit": "lenght"}, "must be one of length"),
        ({"rate_audit_rows": 50}, "rate_audit_rows is of an audit"),
        ({"rate_audit_every_n_steps": 5}, "rate_audit_every_n_steps is of an audit"),
        ({"rate_audit": "length", "rate_audit_every_n_steps": 0}, "must be positive"),
        ({"rate_audit": "length", "rate_audit_rows": 3}, "at least 4"),
        ({"rate_audit": "length", "train_data_path": "p.jsonl", "eval_strategy": "no"}, "set eval_data_path"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(updates, message):
    with pytest.raises(ConfigError, match=message):
        check_config(_DEFAULTS | updates, _DEFAULTS)

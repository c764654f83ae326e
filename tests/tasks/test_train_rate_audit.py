"""tasks/train.py with an audit of an attribute while it trains."""

import json
from pathlib import Path

import pytest

from tasks.train import _DEFAULTS, ex
from tasks.train_config import CHOICES, ConfigError, check_config
from tests.tiny import tiny_checkpoint
from trl_ext.rate.rules.attribute_rules import RULES


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=2048)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ex, "observers", [])


def settings(tiny: str, **updates) -> dict:
    return {
        "model_name": tiny, "train_dataset_size": 32, "lora_last_layers": 1, "eval_strategy": "no",
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "verify_round_trip": False,
        "trainer": {"max_steps": 4, "disable_tqdm": True, "logging_steps": 1}, "cpu_threads": 1, "output_dir": "out",
        "rate_audit": "length", "rate_audit_every_n_steps": 2, "rate_audit_rows": 12,
    } | updates  # fmt: skip


def test_effects_are_in_the_log_in_their_file_and_in_the_results(tiny):
    run = ex.run(config_updates=settings(tiny))
    rows = [json.loads(line) for line in Path("out", "rate_audit.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 2, 4]
    results = json.loads(Path("out", "results.json").read_text())["rate_audit"]
    assert results["attribute"] == "length" and results["rewriter"] == "rules" and 4 <= results["texts"] <= 12
    assert results["latest"] == rows[-1]
    effect = rows[-1]["normalised"]["ATE_rewritten_rewrite"]
    assert effect["ci_low"] <= effect["value"] <= effect["ci_high"] and effect["n"] == results["texts"]
    # what Sacred's record got of the trainer's log
    assert {"eval_rate/length", "eval_rate/length_ci_low", "eval_rate/length_size"} <= run.info.keys() | {
        name for name, _ in _scalars(run)
    }


def _scalars(run) -> list[tuple[str, float]]:
    found = []
    while not run._metrics._logged_metrics.empty():
        metric = run._metrics._logged_metrics.get()
        found.append((metric.name, metric.value))
    return found


def test_training_is_the_same_with_and_without(tiny):
    ex.run(config_updates=settings(tiny, output_dir="audited"))
    without = settings(tiny, output_dir="plain")
    for key in ("rate_audit", "rate_audit_every_n_steps", "rate_audit_rows"):
        del without[key]
    ex.run(config_updates=without)
    audited, plain = (Path(name, "model.safetensors").read_bytes() for name in ("audited", "plain"))
    assert audited == plain and not Path("plain", "rate_audit.jsonl").exists()


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

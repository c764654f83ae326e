"""tasks/train.py with models of several outputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.train import _DEFAULTS, ex
from tasks.train_config import ConfigError, check_config
from tests.tiny import pairs, tiny_checkpoint
from trl_ext import RewardScorer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=512)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ex, "observers", [])


@pytest.mark.parametrize(
    ("head", "merge"), [("ensemble", True), pytest.param("gaussian", False, marks=pytest.mark.slow)]
)
def test_trains_saves_and_compares_every_output(tiny, head, merge):
    data = pairs(8, question=[0, 0, 1, 1, 2, 2, 3, 3], anchor_chosen=[2, 1] * 4, reliability=[0.9] * 8)
    data.to_json("pairs.jsonl")
    more = {"num_reward_heads": 3, "bootstrap_column": "question"} if head == "ensemble" else {}
    ex.run(
        config_updates={
            "model_name": tiny, "train_data_path": "pairs.jsonl", "eval_data_path": "pairs.jsonl", "lora_last_layers": 1,
            "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "cpu_threads": 1, "reward_head": head,
            "trainer": {"max_steps": 2, "disable_tqdm": True}, "merge_adapter": merge, **more,
        }
    )  # fmt: skip
    (folder,) = Path("outputs").iterdir()
    results = json.loads((folder / "results.json").read_text())
    assert results["round_trip"]["max_difference"] < 1e-5
    scorer = RewardScorer(str(folder), progress=False)
    found = scorer.score_with_uncertainty(["What is it? "], [["It is 1.", "It is 2."]])[0]
    assert found.outputs.shape == (2, 3 if head == "ensemble" else 2) and np.isfinite(found.sd).all()


@pytest.mark.parametrize(
    ("updates", "match"),
    [
        ({"reward_head": "quantile"}, "one of scalar, ensemble, gaussian"),
        ({"reward_head": "ensemble", "num_reward_heads": 2.5}, "must be int"),
        ({"head_bootstrap": "jackknife"}, "one of poisson, none"),
    ],
)
def test_bad_keys(updates, match):
    with pytest.raises(ConfigError, match=match):
        check_config(_DEFAULTS | updates, _DEFAULTS)

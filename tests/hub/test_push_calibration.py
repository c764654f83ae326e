"""A calibration travels with the model, and whoever loads the model plainly has raw rewards."""

import pytest

from tests.servers.hub_client import ClientError


pytestmark = pytest.mark.slow

PUSH = """
from trl_ext.scoring import RewardCalibration, save_calibration

calibration = RewardCalibration({"a": 0.5, "b": -0.5}, "sum_zero")
whole, adapted = Path(folder, "whole"), Path(folder, "adapted")
model = tiny_reward_model(tokenizer, seed=1).eval()
save(model, whole)
save_calibration(whole, calibration)
push_reward_model(whole, "tester/calibrated", processing_class=None)
base = AutoModelForSequenceClassification.from_pretrained("tester/calibrated")
torch.manual_seed(3)
peft = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"], init_lora_weights=False))
save(peft, adapted)
push_reward_model(adapted, "tester/calibrated-adapter")
result = rewards(model)
"""
ADAPTER = """
save_calibration(adapted, RewardCalibration({"a": 1.0, "b": 0.0}, "reference"))
push_reward_model(adapted, "tester/calibrated-adapter")
"""
SCORE = """
from trl_ext import RewardScorer
from trl_ext.scoring import CalibratedScorer

prompts, responses = ["What is it? "], [["It is a.", "It is b."]]
raw = RewardScorer(name, progress=False).score(prompts, responses)[0]
calibrated = CalibratedScorer.from_pretrained(name, progress=False).score(prompts, responses, sources=[["a", "b"]])[0]
result = (calibrated - raw).tolist()
"""


def test_a_model_and_its_adapter(pusher, stranger, loopback_hub, tmp_path):
    expected = pusher.run(PUSH, folder=str(tmp_path))
    plain = """
model = AutoModelForSequenceClassification.from_pretrained("tester/calibrated")
result = rewards(model, AutoTokenizer.from_pretrained("tester/calibrated"), texts)
"""
    assert stranger.run(plain, texts=pusher.texts) == pytest.approx(expected, abs=1e-6)
    assert stranger.run(SCORE, name="tester/calibrated") == pytest.approx([0.5, -0.5], abs=1e-6)
    # its base model's is not the adapter's
    with pytest.raises(ClientError, match="tester/calibrated-adapter has no calibration"):
        stranger.run(SCORE, name="tester/calibrated-adapter")
    pusher.run(ADAPTER)
    assert stranger.run(SCORE, name="tester/calibrated-adapter") == pytest.approx([1.0, 0.0], abs=1e-6)
    # an adapter without one takes the place of the one before
    pusher.run(
        '(adapted / "reward_calibration.json").unlink(); push_reward_model(adapted, "tester/calibrated-adapter")'
    )
    assert "reward_calibration.json" not in loopback_hub.model("tester/calibrated-adapter").history()[0].files

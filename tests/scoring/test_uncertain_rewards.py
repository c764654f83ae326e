"""Models with several outputs: saved, reloaded, scored and compared."""

import shutil

import numpy as np
import pytest
import torch
from peft import LoraConfig
from scipy.special import ndtr
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.tiny import pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, RewardScorer
from trl_ext.hub import load_reward_model, verify_round_trip
from trl_ext.hub.stage import save_model
from trl_ext.model_entries import REWARD_HEAD, REWARD_INTERVALS
from trl_ext.reporting.model_card import model_card
from trl_ext.scoring import (
    CalibratedScorer,
    RewardUncertainty,
    fit_conformal_intervals,
    fit_preference_calibration,
    fit_preference_sets,
    read_uncertainty,
    remove_calibration,
    remove_uncertainty,
    save_calibration,
    save_uncertainty,
)
from trl_ext.scoring.uncertainty.storage import applicable_uncertainty


ANCHORS = {"anchor_chosen": [1, 2, 2, 0, None] * 2, "anchor_rejected": [0, None, 1, 0, 0] * 2}
PROMPTS, FIRST, SECOND = ["Question: what? ", "Where is Paris? "], ["It is 4.", "In France."], ["No.", "Here, a lot."]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(
    scope="module",
    params=[
        "ensemble",
        "gaussian adapter",
        *(pytest.param(k, marks=pytest.mark.slow) for k in ("gaussian", "ensemble adapter")),
    ],
)
def saved(request, tokenizer, tmp_path_factory):
    """A trainer that has saved its model, and the folder."""
    base = tiny_checkpoint(tmp_path_factory.mktemp("base"), tokenizer)
    path = tmp_path_factory.mktemp("model")
    args = PairwiseRewardConfig(
        str(path), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no",
        max_steps=2, learning_rate=1e-2, disable_tqdm=True, reward_head=request.param.split()[0],
    )  # fmt: skip
    peft = LoraConfig(target_modules=["q_proj", "v_proj"]) if "adapter" in request.param else None
    trainer = PairwiseRewardTrainer(base, args, train_dataset=pairs(10, **ANCHORS), peft_config=peft)
    trainer.train()
    trainer.save_model()
    trainer.model.eval()
    return trainer, path


@torch.inference_mode()
def outputs_of(trainer) -> np.ndarray:
    """(2, 2, K): one by one."""
    tokenizer = trainer.processing_class

    def output(text: str) -> np.ndarray:
        return trainer.model(torch.tensor([tokenizer(text + tokenizer.eos_token)["input_ids"]])).logits[0].numpy()

    return np.stack(
        [[output(p + answer) for answer in answers] for p, *answers in zip(PROMPTS, FIRST, SECOND, strict=True)]
    )


def test_every_output_survives(saved):
    trainer, path = saved
    texts = trainer.processing_class.batch_decode(trainer.train_dataset["chosen_ids"][:6])
    result = verify_round_trip(trainer.model, trainer.processing_class, path, texts)
    assert result.max_difference < 1e-5
    # of a model that no process can run whole, the combined rewards are compared
    rewards = trainer.predict(trainer.train_dataset.select(range(6))).predictions[:, 0]
    assert verify_round_trip(trainer.model, trainer.processing_class, path, texts, rewards=rewards).rows == 6


def test_plain_transformers_and_the_pipeline(saved):
    trainer, path = saved
    if (path / "adapter_config.json").exists():
        pytest.skip("an adapter is loaded with PEFT")
    model = AutoModelForSequenceClassification.from_pretrained(path)
    kind = model.config.reward_head["kind"]
    names = [f"head_{i}" for i in range(8)] if kind == "ensemble" else ["reward_mean", "reward_log_variance"]
    assert list(model.config.id2label.values()) == names
    text = PROMPTS[0] + FIRST[0] + "<|im_end|>"
    tokenizer = AutoTokenizer.from_pretrained(path)
    scores = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)([text])[0]
    found = {row["label"]: row["score"] for row in scores}
    np.testing.assert_allclose([found[name] for name in names], outputs_of(trainer)[0, 0], atol=1e-5)


def test_the_scorer_combines(saved):
    trainer, path = saved
    expected = outputs_of(trainer)
    scorer = RewardScorer(str(path), processing_class=trainer.processing_class, progress=False)
    rewards = scorer.score(PROMPTS, [list(pair) for pair in zip(FIRST, SECOND, strict=True)])
    kind = trainer.reward_head.entry()["kind"]
    mean = expected.mean(2) if kind == "ensemble" else expected[..., 0]
    assert rewards[0].dtype == np.float32
    np.testing.assert_allclose(rewards, mean, atol=1e-5)
    found = scorer.score_with_uncertainty(PROMPTS, [list(pair) for pair in zip(FIRST, SECOND, strict=True)])
    np.testing.assert_allclose([f.outputs for f in found], expected, atol=1e-5)
    np.testing.assert_allclose([f.rewards for f in found], mean, atol=1e-5)
    compared = scorer.compare_pairs(PROMPTS, FIRST, SECOND)
    d = expected[:, 0] - expected[:, 1]
    if kind == "ensemble":
        np.testing.assert_allclose(compared.sd, d.std(1, ddof=1), atol=1e-5)
    else:
        np.testing.assert_allclose(compared.sd, np.sqrt(np.exp(expected[..., 1]).sum(1)), rtol=1e-5)
    np.testing.assert_allclose(compared.difference, mean[:, 0] - mean[:, 1], atol=1e-5)
    assert compared.low is None and compared.decision is None
    assert ((compared.probability > 0.5) == (compared.difference > 0)).all()
    if kind == "gaussian":  # what the model was trained to say
        np.testing.assert_allclose(compared.probability, ndtr(compared.difference / compared.sd))
    assert found[0].probability() == pytest.approx(compared.probability[0])
    assert found[0].difference() == pytest.approx((compared.difference[0], compared.sd[0]))
    assert scorer.settings()["reduction"] == ("mean" if kind == "ensemble" else 0)
    if kind == "gaussian":
        with pytest.raises(ValueError, match="combines the heads of an ensemble"):
            RewardScorer(str(path), trainer.processing_class, reduction="worst")
        return
    for reduction, value in {
        "worst": expected.min(2),
        "uncertainty:0.5": mean - 0.5 * expected.std(2),
        "effective:2": -2 * np.log(np.exp(-expected / 2).mean(2)),
    }.items():
        scorer = RewardScorer(str(path), trainer.processing_class, reduction=reduction, progress=False)
        with pytest.raises(ValueError, match="pairs are compared by rewards with reduction='mean'"):
            scorer.compare_pairs(PROMPTS, FIRST, SECOND)
        found = scorer.score(PROMPTS, [list(pair) for pair in zip(FIRST, SECOND, strict=True)])
        np.testing.assert_allclose(found, value, atol=1e-5)


def test_intervals_travel_with_the_model(saved, tmp_path):
    trainer, path = saved
    d = np.linspace(-1, 1, 99)
    uncertainty = RewardUncertainty(
        fit_conformal_intervals(d, d + 0.5, alpha=0.1, sds=np.ones(99), groups=["a"] * 50 + ["b"] * 49),
        fit_preference_sets(d, alpha=0.2, sds=np.ones(99), guarantee="selective"),
        fitted_on="a line",
    )
    save_uncertainty(path, uncertainty)
    assert read_uncertainty(path) == uncertainty
    with pytest.raises(ValueError, match="overwrite=True"):
        save_uncertainty(path, RewardUncertainty(fitted_on="else"))
    scorer = RewardScorer(str(path), processing_class=trainer.processing_class, progress=False)
    found = scorer.compare_pairs(PROMPTS, FIRST, SECOND, groups=["b", "a"])
    np.testing.assert_allclose(found.high - found.low, 2 * 0.5 * found.sd, rtol=1e-6)
    assert found.decision.tolist() == [0, 0]  # of 99 pairs of which half are in the wrong order, nothing can be stated
    loaded, _ = load_reward_model(str(path))
    assert read_uncertainty(loaded) == uncertainty
    save_model(loaded, trainer.processing_class, tmp_path)  # as it is pushed: an adapter in memory keeps all of it too
    assert REWARD_HEAD.read(tmp_path) == REWARD_HEAD.read(path)
    assert REWARD_INTERVALS.read(tmp_path) == REWARD_INTERVALS.read(path)
    remove_uncertainty(path)
    assert read_uncertainty(path) is None


def test_equal_responses_do_not_stop_the_others(saved):
    trainer, path = saved
    ones = np.linspace(0.5, 2, 99)
    save_uncertainty(
        path, RewardUncertainty(fit_conformal_intervals(ones, ones, sds=ones), fit_preference_sets(ones, sds=ones))
    )
    scorer = RewardScorer(str(path), processing_class=trainer.processing_class, progress=False)
    found = scorer.compare_pairs(PROMPTS, FIRST, [FIRST[0], SECOND[1]])
    assert found.difference[0] == 0 and found.decision[0] == 0 and found.probability[0] == 0.5
    assert found.low[0] <= 0 <= found.high[0] and abs(found.decision[1]) == 1
    with pytest.raises(ValueError, match="no pairs"):
        scorer.compare_pairs([], [], [])
    remove_uncertainty(path)


def test_other_weights_refuse_intervals(saved, tmp_path):
    trainer, path = saved
    save_uncertainty(path, RewardUncertainty(fitted_on="pairs"))
    model, _ = load_reward_model(str(path))
    remove_uncertainty(path)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "score" in name:
                parameter.mul_(-50)
    scorer = RewardScorer(model, trainer.processing_class, progress=False)
    with pytest.raises(ValueError, match="intervals that are stored with the model are of other weights"):
        scorer.compare_pairs(PROMPTS, FIRST, SECOND)
    save_model(model, trainer.processing_class, tmp_path)
    if (tmp_path / "adapter_config.json").exists():
        assert read_uncertainty(tmp_path) is None


def test_a_calibration_is_of_the_default_reduction(saved):
    trainer, path = saved
    if trainer.reward_head.entry()["kind"] == "gaussian":
        pytest.skip("the default is the first output")
    d = np.linspace(-2, 3, 50)
    save_calibration(path, fit_preference_calibration(d, 0 * d, (d > 0.5).astype(float) * 0.8 + 0.1))
    pair = (PROMPTS[:1], FIRST[:1], SECOND[:1])
    options = {"processing_class": trainer.processing_class, "progress": False}
    assert CalibratedScorer.from_pretrained(str(path), **options).preference_probability(*pair).shape == (1,)
    scorer = CalibratedScorer.from_pretrained(str(path), reduction="uncertainty:5", **options)
    with pytest.raises(
        ValueError, match="rewards with reduction='mean', but the scorer has reduction='uncertainty:5'"
    ):
        scorer.preference_probability(*pair)
    remove_calibration(path)


def test_training_an_adapter_again_removes_its_intervals(saved, tmp_path, tokenizer):
    trainer, path = saved
    if trainer.reward_head.entry()["kind"] != "gaussian" or not (path / "adapter_config.json").exists():
        pytest.skip("one adapter is enough")
    folder = tmp_path / "model"
    shutil.copytree(path, folder)
    save_uncertainty(folder, RewardUncertainty(fitted_on="before"))
    trainer.save_model(str(folder))  # the same weights
    assert read_uncertainty(folder) is not None
    args = PairwiseRewardConfig(
        str(folder), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no",
        max_steps=1, learning_rate=1e-2, disable_tqdm=True,
    )  # fmt: skip
    base = tiny_checkpoint(tmp_path / "base", tokenizer)
    peft = LoraConfig(target_modules=["q_proj"])
    again = PairwiseRewardTrainer(base, args, train_dataset=pairs(10, **ANCHORS), peft_config=peft)
    again.train()
    again.save_model()
    assert read_uncertainty(folder) is None


def test_further_training_forgets_intervals(tmp_path, tokenizer, caplog):
    model = tiny_reward_model(tokenizer)
    save_uncertainty(model, RewardUncertainty(fitted_on="before"))
    args = PairwiseRewardConfig(str(tmp_path), report_to="none", use_cpu=True, bf16=False, max_steps=1)
    PairwiseRewardTrainer(model, args, train_dataset=pairs(4), processing_class=tokenizer)
    assert read_uncertainty(model) is None and "before training" in caplog.text


def test_one_output_has_no_spread(tokenizer):
    scorer = RewardScorer(tiny_reward_model(tokenizer).eval(), tokenizer, progress=False)
    assert scorer.compare_pairs(PROMPTS, FIRST, SECOND).sd is None
    with pytest.raises(ValueError, match="reward_head='ensemble' or 'gaussian'"):
        scorer.score_with_uncertainty(PROMPTS, [[a] for a in FIRST])
    with pytest.raises(ValueError, match="one prompt, first and second"):
        scorer.compare_pairs(PROMPTS, FIRST, SECOND[:1])


def test_a_damaged_entry_is_refused(tokenizer, tmp_path):
    model = tiny_reward_model(tokenizer, num_labels=3)
    model.config.reward_head = {"kind": "mixture"}
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="reward_head"):
        RewardScorer(str(tmp_path), tokenizer)


def test_the_model_card_says_what_is_guaranteed(tokenizer, tmp_path):
    model = tiny_reward_model(tokenizer, num_labels=2)
    model.config.reward_head = {"kind": "gaussian"}
    model.save_pretrained(tmp_path)
    assert "## Uncertainty" not in model_card(tmp_path)
    sets = fit_preference_sets(np.linspace(-1, 3, 60), alpha=0.2)
    save_uncertainty(tmp_path, RewardUncertainty(preference_sets=sets, fitted_on="60 pairs"))
    card = model_card(tmp_path)
    assert "## Uncertainty" in card and "at most 0.2 of all pairs" in card and "60 pairs" in card
    assert "compare_pairs" in card and "top_k=None" in card


@pytest.mark.parametrize("part", ["intervals", "preference_sets"])
def test_damaged_numbers_are_named(part):
    d = np.linspace(-1, 3, 60)
    whole = RewardUncertainty(fit_conformal_intervals(d, d), fit_preference_sets(d, alpha=0.2))
    values = whole.to_dict()
    values[part] = values[part] | {("quantiles" if part == "intervals" else "thresholds"): {"": "abc"}}
    with pytest.raises(ValueError, match="the entry is damaged: these are no numbers: {'': 'abc'}"):
        RewardUncertainty.from_dict(values)


def test_float16_does_not_make_other_weights_of_the_same(tokenizer):
    model = tiny_reward_model(tokenizer)
    save_uncertainty(model, RewardUncertainty(fit_conformal_intervals(np.zeros(20), np.ones(20))))
    assert applicable_uncertainty(model.half()) is not None
    with torch.no_grad():
        model.float().score.weight.mul_(2)
    with pytest.raises(ValueError, match="of other weights"):
        applicable_uncertainty(model)

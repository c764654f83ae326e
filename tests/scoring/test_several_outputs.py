"""Models with several outputs, and models whose code lies in their repository."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, LlamaConfig, LlamaPreTrainedModel
from transformers.models.llama.modeling_llama import LlamaModel

from tests.scoring.helpers import assert_same
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring.reduction import as_reduction, rewards_of_output


PROMPTS = ["Question: what is the answer? ", "The capital of France, is it "]
RESPONSES = [["Paris.", "It is a good question."], ["Paris."]]
WEIGHTS = [0.5, -1.0, 2.0]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_reward_model(tokenizer, num_labels=3).eval()


@torch.inference_mode()
def outputs(model, tokenizer) -> list[np.ndarray]:
    """One by one: for each prompt `(N, K)`."""
    return [
        np.stack(
            [
                model(torch.tensor([tokenizer(prompt + answer + tokenizer.eos_token)["input_ids"]])).logits[0].numpy()
                for answer in answers
            ]
        )
        for prompt, answers in zip(PROMPTS, RESPONSES, strict=True)
    ]


class TestReduction:
    @pytest.mark.parametrize("shared_prefix", [True, False])
    @pytest.mark.parametrize("reduction", [0, 2, WEIGHTS, (1, 0, 0)])
    def test_makes_one_reward_of_the_outputs(self, tokenizer, model, shared_prefix, reduction):
        scorer = RewardScorer(model, tokenizer, reduction=reduction, shared_prefix=shared_prefix, progress=False)
        expected = [
            (values[:, reduction] if isinstance(reduction, int) else values @ np.array(reduction)).astype(np.float32)
            for values in outputs(model, tokenizer)
        ]
        assert_same(scorer.score(PROMPTS, RESPONSES), expected)
        assert scorer.shared_prefix_report.enabled == shared_prefix
        assert json.loads(json.dumps(scorer.settings()["reduction"])) == (
            reduction if isinstance(reduction, int) else list(reduction)
        )

    def test_of_a_checkpoint_is_that_of_the_model(self, tokenizer, model, tmp_path):
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        expected = RewardScorer(model, tokenizer, reduction=WEIGHTS, progress=False).score(PROMPTS, RESPONSES)
        scorer = RewardScorer(str(tmp_path), reduction=WEIGHTS, require_trained_head=True, progress=False)
        assert_same(scorer.score(PROMPTS, RESPONSES), expected)

    def test_head_is_float32_in_bfloat16(self, tokenizer, model, tmp_path):
        model.save_pretrained(tmp_path)
        scorer = RewardScorer(str(tmp_path), tokenizer, reduction=1, dtype="bfloat16", progress=False)
        rewards = np.concatenate(scorer.score(PROMPTS, RESPONSES))
        assert not np.array_equal(rewards, torch.tensor(rewards).bfloat16().float().numpy())

    @pytest.mark.parametrize(
        ("reduction", "error", "match"),
        [
            (None, ValueError, r"num_labels=3.*reduction=\.\.\.\) with the index of an output, or with a list of 3"),
            (3, ValueError, "`reduction` is 3, but the model has num_labels=3: an index is from 0 to 2"),
            ([1.0, 2.0], ValueError, "`reduction` has 2 weights, but the model has num_labels=3"),
            (-1, ValueError, "at least 0"),
            ([0, 0, 0], ValueError, "not all 0"),
            ([1.0, float("nan"), 0.0], ValueError, "finite weights"),
            ("median", ValueError, "one of mean, worst, uncertainty or effective"),
            (True, TypeError, "index of an output or a list of weights"),
            ([1, "2", 3], TypeError, "index of an output or a list of weights"),
        ],
    )
    def test_errors(self, tokenizer, model, tmp_path, reduction, error, match):
        with pytest.raises(error, match=match):
            RewardScorer(model, tokenizer, reduction=reduction)
        model.save_pretrained(tmp_path)
        with pytest.raises(error, match=match):
            RewardScorer(str(tmp_path), tokenizer, reduction=reduction)

    def test_of_one_output_changes_nothing(self, tokenizer):
        model = tiny_reward_model(tokenizer).eval()
        first, second = (
            RewardScorer(model, tokenizer, reduction=reduction, progress=False).score(PROMPTS, RESPONSES)
            for reduction in (None, 0)
        )
        assert_same(first, second)


class TestOutputs:
    """What a model may return."""

    @pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"logits": x}, lambda x: {"score": x, "logits": None},
                                      lambda x: {"end_scores": x}])  # fmt: skip
    @pytest.mark.parametrize("shape", [(4,), (4, 1)])
    def test_one_value_per_sequence(self, wrap, shape):
        values = torch.arange(4.0)
        rewards = rewards_of_output(wrap(values.reshape(shape)), 4, None)
        assert torch.equal(rewards, values) and rewards.shape == (4,)

    def test_logits_come_before_score(self):
        assert rewards_of_output({"score": torch.ones(2), "logits": torch.zeros(2)}, 2, None).tolist() == [0.0, 0.0]

    def test_a_weighted_sum_is_float32(self):
        values = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.bfloat16)
        rewards = rewards_of_output(values, 2, as_reduction([10, 1]))
        assert rewards.dtype == torch.float32 and rewards.tolist() == [12.0, 34.0]

    @pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 4), (4, 1, 1), (4, 0), (0,), (4, 5, 6)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"shape \(4,\), \(4, 1\) or \(4, K\), but it returned shape"):
            rewards_of_output(torch.zeros(shape), 4, None)

    def test_several_values_need_a_reduction(self):
        with pytest.raises(ValueError, match="num_labels=5"):
            rewards_of_output(torch.zeros(4, 5), 4, None)

    def test_no_reward_is_refused(self):
        with pytest.raises(ValueError, match="without `logits`, `score`, `end_scores`"):
            rewards_of_output({"hidden_states": torch.zeros(4)}, 4, None)
        with pytest.raises(TypeError, match="`score` must be a tensor"):
            rewards_of_output({"score": [1.0]}, 1, None)
        with pytest.raises(ValueError, match="floating-point numbers, got torch.int64"):
            rewards_of_output(torch.arange(4), 4, None)


CODE = '''
import torch
from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel


class GatedRewards(LlamaPreTrainedModel):
    """Objectives at the last token, mixed by a gate."""

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.objectives = nn.Linear(config.hidden_size, 3, bias=False)
        self.gate = nn.Linear(config.hidden_size, 3)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = states[torch.arange(len(states)), attention_mask.sum(1) - 1]
        rewards = self.objectives(last)
        score = (torch.softmax(self.gate(last), -1) * rewards).sum(-1)
        return RETURNED
'''
RETURNED = {
    "score": "{'score': score, 'rewards': rewards}",
    "column": "{'logits': score[:, None]}",
    "tensor": "score",
    "objectives": "{'logits': rewards}",
    "states": "{'logits': states}",
    "one": "{'score': score.mean()[None]}",
}


def repository(path, tokenizer, returned: str) -> str:
    """A folder as authors of such models publish it."""
    torch.manual_seed(0)
    config = tiny_reward_model(tokenizer).config
    model = _GatedRewards(LlamaConfig(**config.to_dict() | {"num_labels": 2}))
    nn.init.normal_(model.objectives.weight)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / "modeling_gated.py").write_text(CODE.replace("RETURNED", RETURNED[returned]))
    config = json.loads((path / "config.json").read_text())
    config |= {
        "architectures": ["GatedRewards"],
        "auto_map": {"AutoModelForSequenceClassification": "modeling_gated.GatedRewards"},
    }
    (path / "config.json").write_text(json.dumps(config))
    return str(path)


class _GatedRewards(LlamaPreTrainedModel):
    """The weights of the class in the repository."""

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.objectives = nn.Linear(config.hidden_size, 3, bias=False)
        self.gate = nn.Linear(config.hidden_size, 3)
        self.post_init()


@torch.inference_mode()
def expected_of(path: str, tokenizer, returned: str) -> list[np.ndarray]:
    model = AutoModelForSequenceClassification.from_pretrained(path, trust_remote_code=True).eval()

    def reward(text: str) -> float:
        ids = torch.tensor([tokenizer(text + tokenizer.eos_token)["input_ids"]])
        output = model(ids, torch.ones_like(ids))
        if returned == "objectives":
            return (output["logits"][0] @ torch.tensor(WEIGHTS)).item()
        return (output if returned == "tensor" else output["logits" if returned == "column" else "score"]).item()

    return [
        np.array([reward(prompt + answer) for answer in answers], dtype=np.float32)
        for prompt, answers in zip(PROMPTS, RESPONSES, strict=True)
    ]


@pytest.fixture(autouse=True)
def modules_cache(tmp_path_factory, monkeypatch):
    """Where transformers copies a repository's code: not the user's cache."""
    path = str(tmp_path_factory.mktemp("modules"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", path)
    monkeypatch.syspath_prepend(path)


class TestCodeOfRepositories:
    @pytest.mark.parametrize("returned", ["score", "column", "tensor", "objectives"])
    def test_is_run_on_request(self, tokenizer, tmp_path, returned):
        path = repository(tmp_path / f"gated_{returned}", tokenizer, returned)
        scorer = RewardScorer(
            path,
            trust_remote_code=True,
            require_trained_head=True,
            reduction=WEIGHTS if returned == "objectives" else None,
            progress=False,
        )
        assert_same(scorer.score(PROMPTS, RESPONSES), expected_of(path, tokenizer, returned))
        assert not scorer.shared_prefix_report.enabled
        assert "GatedRewards is not one of transformers" in scorer.shared_prefix_report.reason
        assert scorer.padding_problem is None
        assert scorer.settings()["model_code_sha256"] is not None

    def test_is_not_run_unasked(self, tokenizer, tmp_path):
        path = repository(tmp_path / "gated_unasked", tokenizer, "score")
        with pytest.raises(
            ValueError, match=r"code of its own \(modeling_gated.GatedRewards\).*trust_remote_code=True"
        ):
            RewardScorer(path)

    @pytest.mark.parametrize(
        ("returned", "match"),
        [
            ("objectives", "num_labels=3.*reduction"),
            ("states", r"returned shape \(1, 2, 32\) for 1 sequences"),
            ("one", r"it returned shape \(1,\) for 4 sequences"),
        ],
    )
    def test_that_returns_something_else_is_refused(self, tokenizer, tmp_path, returned, match):
        scorer = RewardScorer(
            repository(tmp_path / f"gated_{returned}", tokenizer, returned), trust_remote_code=True, progress=False
        )
        with pytest.raises(ValueError, match=match):
            scorer.score(PROMPTS[:1], [["Paris.", "Lyons.", "Cairo."]])

    def test_of_a_class_in_memory_is_padded_too(self, tokenizer):
        """As what it makes of its states is not known, even if it is a subclass with a `score` layer."""
        reward_model = tiny_reward_model(tokenizer).eval()

        class Doubled(type(reward_model)):
            def forward(self, *args, **kwargs):
                output = super().forward(*args, **kwargs)
                output.logits = 2 * output.logits
                return output

        doubled = Doubled(reward_model.config).eval()
        doubled.load_state_dict(reward_model.state_dict())
        scorer = RewardScorer(doubled, tokenizer, progress=False)
        expected = RewardScorer(reward_model, tokenizer, progress=False).score(PROMPTS, RESPONSES)
        assert_same(scorer.score(PROMPTS, RESPONSES), [2 * rewards for rewards in expected])
        assert not scorer.shared_prefix_report.enabled


def test_a_reward_that_is_not_a_number_names_prompt_and_response(tokenizer):
    model = tiny_reward_model(tokenizer, num_labels=2)
    model.score.weight.data[1].fill_(float("nan"))
    with pytest.raises(ValueError, match="reward of response 0 to prompt 'prompt 0' is not a finite number"):
        RewardScorer(model, tokenizer, reduction=[1.0, 1.0], progress=False).score(PROMPTS, RESPONSES)
    assert np.isfinite(RewardScorer(model, tokenizer, reduction=0, progress=False).score(PROMPTS, RESPONSES)[0]).all()

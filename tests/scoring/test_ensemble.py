import itertools
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from tests.processes import launch
from tests.scoring.helpers import read_lines, write_rows
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.evaluation import rewardbench_section_scores
from trl_ext.scoring import EnsembleScorer, ensemble_rewards, sweep_ensembles
from trl_ext.scoring.base import WindowScorer


PROMPTS = ["Question: what is the answer? ", "The capital of France, is it "]
RESPONSES = [["Paris.", "It is a good question."], ["Paris.", "Paris, a good answer", "bad"]]
REWARDS = st.lists(st.lists(st.floats(-100, 100), min_size=5, max_size=5), min_size=2, max_size=4)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def scorers(tokenizer):
    return {
        name: RewardScorer(tiny_reward_model(tokenizer, seed), tokenizer, progress=False)
        for seed, name in enumerate(("a", "b", "c"))
    }


class Constant(WindowScorer):
    """The same reward for everything."""

    progress = False

    def score_groups(self, groups):
        return np.full(sum(len(group.responses) for group in groups), 3.0), {}

    def settings(self):
        return {"scorer": "constant"}


class TestEnsembleRewards:
    def test_golden(self, shared_dir):
        golden = json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["ensemble_offline"]
        for case in golden["cases"]:
            inputs = [golden["inputs"][name] for name in case["models"]]
            count = len(inputs[0]["subset"])
            rewards = {
                name: np.ravel(of_model["scores_chosen"] + of_model["scores_rejected"])
                for name, of_model in zip(case["models"], inputs, strict=True)
            }

            def sections(combined, subsets=inputs[0]["subset"], count=count):
                scores = rewardbench_section_scores(subsets, combined[:count], combined[count:], absent="zero")
                return {name: estimate.value for name, estimate in scores.sections.items()}

            table = sweep_ensembles(rewards, sections, [case["mode"].lower()], min_size=3, normalize=case["normalize"])
            (wanted,) = case["expected"]
            assert table["models"].tolist() == [wanted["models"]]
            for name in ("Chat", "Chat Hard", "Safety", "Reasoning"):
                assert table[name][0] == pytest.approx(wanted[name], abs=1e-9)

    @pytest.mark.parametrize(
        ("mode", "wanted"), [("mean", [2.5, 2.0]), ("worst", [1.0, 2.0]), ("uncertainty", [1.0, 2.0])]
    )
    def test_by_hand(self, mode, wanted):
        # of 1 and 4: mean 2.5, standard deviation 1.5; of 2 and 2: 2 and 0
        np.testing.assert_allclose(ensemble_rewards([[1.0, 2.0], [4.0, 2.0]], mode, normalize=False), wanted)

    def test_normalised_by_hand(self):
        # 0, 2, 4: mean 2, standard deviation sqrt(8/3); 10, 10, 40: mean 20, standard deviation sqrt(200)
        first, second = np.array([-2, 0, 2]) / np.sqrt(8 / 3), np.array([-10, -10, 20]) / np.sqrt(200)
        for mode, wanted in (("mean", (first + second) / 2), ("worst", np.minimum(first, second))):
            np.testing.assert_allclose(ensemble_rewards([[0, 2, 4], [10, 10, 40]], mode), wanted, atol=1e-12)

    @given(rewards=REWARDS)
    def test_uncertainty_is_at_most_the_mean_and_worst_too(self, rewards):
        mean, worst, uncertainty = (ensemble_rewards(rewards, m, False) for m in ("mean", "worst", "uncertainty"))
        assert (worst <= mean + 1e-9).all() and (uncertainty <= mean + 1e-9).all()

    @given(
        rewards=REWARDS, scale=st.floats(0.1, 10), shift=st.floats(-10, 10), mode=st.sampled_from(["mean", "worst"])
    )
    def test_scale_and_shift_of_a_model_do_not_matter_when_normalised(self, rewards, scale, shift, mode):
        rewards = np.array(rewards)
        rewards[:, 0] += 300 * np.arange(1, len(rewards) + 1)  # no model is constant
        moved = rewards.copy()
        moved[0] = moved[0] * scale + shift
        np.testing.assert_allclose(ensemble_rewards(rewards, mode), ensemble_rewards(moved, mode), atol=1e-7)

    def test_refusals(self):
        with pytest.raises(ValueError, match="model 'b' gives all 3 responses the same reward.*normalize=False"):
            ensemble_rewards([[1, 2, 3], [0.1, 0.1, 0.1]], names=["a", "b"])
        with pytest.raises(ValueError, match="model '1' has 1 rewards that are not finite; first: row 1, value nan"):
            ensemble_rewards([[1, 2], [3, np.nan]], normalize=False)
        with pytest.raises(ValueError, match=r"shape \(M, N\)"):
            ensemble_rewards([1.0, 2.0])
        with pytest.raises(ValueError, match="`mode` must be one of mean, worst, uncertainty, got 'min'"):
            ensemble_rewards([[1.0], [2.0]], "min")

    def test_examples(self):
        assert failed_examples(ensemble_rewards) == 0
        assert failed_examples(sweep_ensembles) == 0


class TestSweep:
    def test_every_combination(self):
        generator = np.random.default_rng(0)
        rewards = {name: generator.normal(size=6) for name in "abcd"}
        table = sweep_ensembles(rewards, lambda combined: {"first": combined[0], "mean": combined.mean()}, min_size=2)
        names = ["|".join(c) for size in (2, 3, 4) for c in itertools.combinations("abcd", size)]
        assert isinstance(table, pd.DataFrame) and table["models"].tolist() == names * 3
        for _, row in table.iterrows():
            members = row["models"].split("|")
            combined = ensemble_rewards([rewards[name] for name in members], row["mode"])
            assert (row["first"], row["size"]) == (pytest.approx(combined[0]), len(members))

    def test_refusals(self):
        def evaluate(combined):
            return {"mean": combined.mean()}

        with pytest.raises(ValueError, match="1 <= min_size <= max_size <= 1 models, got min_size=2"):
            sweep_ensembles({"a": [1.0, 2.0]}, evaluate)
        with pytest.raises(ValueError, match="of the same responses.*'a': 2, 'b': 3"):
            sweep_ensembles({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]}, evaluate)
        with pytest.raises(ValueError, match=r"'b' must have shape \(N,\), got \(2, 1\)"):
            sweep_ensembles({"a": [1.0, 2.0], "b": [[1.0], [2.0]]}, evaluate)


class TestEnsembleScorer:
    @pytest.mark.parametrize("mode", ["mean", "worst", "uncertainty"])
    def test_without_normalising(self, scorers, mode):
        rewards = EnsembleScorer(scorers, mode, normalize=False, progress=False).score(PROMPTS, RESPONSES)
        members = [np.concatenate(scorer.score(PROMPTS, RESPONSES)) for scorer in scorers.values()]
        np.testing.assert_allclose(np.concatenate(rewards), ensemble_rewards(members, mode, False), rtol=1e-6)
        assert [len(of_prompt) for of_prompt in rewards] == [2, 3]

    def test_fitted_on_what_is_scored_it_is_the_offline_ensemble(self, scorers):
        ensemble = EnsembleScorer(scorers, progress=False).fit(PROMPTS, RESPONSES)
        members = [np.concatenate(scorer.score(PROMPTS, RESPONSES)) for scorer in scorers.values()]
        rewards = np.concatenate(ensemble.score(PROMPTS, RESPONSES))
        np.testing.assert_allclose(rewards, ensemble_rewards(members), atol=1e-5)

    def test_rewards_do_not_depend_on_windows_or_on_other_rows(self, scorers, tmp_path):
        ensemble = EnsembleScorer(scorers, progress=False).fit(PROMPTS, RESPONSES)
        alone = [
            ensemble.score([prompt], [[answer]])[0][0]
            for prompt, answers in zip(PROMPTS, RESPONSES, strict=True)
            for answer in answers
        ]
        np.testing.assert_allclose(np.concatenate(ensemble.score(PROMPTS, RESPONSES)), alone, atol=1e-5)
        rows = write_rows(tmp_path / "rows.jsonl", 12)
        for size in (2, 5, 100):
            ensemble.score_file(rows, tmp_path / f"{size}.jsonl", window_size=size)
        small, middle, large = (
            [row["reward"] for row in read_lines(tmp_path / f"{size}.jsonl")] for size in (2, 5, 100)
        )
        np.testing.assert_allclose(small, large, atol=1e-5)
        np.testing.assert_allclose(middle, large, atol=1e-5)

    def test_an_interrupted_file_is_continued(self, scorers, tmp_path):
        rows, output = write_rows(tmp_path / "rows.jsonl", 12), tmp_path / "rewards.jsonl"
        ensemble = EnsembleScorer(scorers, "worst", progress=False).fit(PROMPTS, RESPONSES)
        ensemble.score_file(rows, output, window_size=4)
        whole = output.read_bytes()
        meta = output.with_name("rewards.jsonl.meta.json")
        lines = whole.splitlines(keepends=True)
        output.write_bytes(b"".join(lines[:7]))
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"finished": False}))
        ensemble.score_file(rows, output, window_size=4)
        assert output.read_bytes() == whole
        assert ensemble.timing.responses < len(lines)
        other = EnsembleScorer(scorers, "worst", moments=dict.fromkeys(scorers, (0.0, 1.0)), progress=False)
        with pytest.raises(ValueError, match="moments"):
            other.score_file(rows, output, window_size=4)

    def test_moments_that_are_given(self, scorers):
        fitted = EnsembleScorer(scorers, progress=False).fit(PROMPTS, RESPONSES)
        given_ = EnsembleScorer(scorers, moments=fitted.moments, progress=False)
        for ours, theirs in zip(given_.score(PROMPTS, RESPONSES), fitted.score(PROMPTS, RESPONSES), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert given_.timing.responses == 5 and given_.timing.sequence_tokens > 0

    def test_refusals(self, scorers):
        unfitted = EnsembleScorer(scorers, progress=False)
        with pytest.raises(ValueError, match="call `fit`.*`fit_rewards`, give `moments`, or set normalize=False"):
            unfitted.score(PROMPTS, RESPONSES)
        with pytest.raises(ValueError, match="moments must be given for each member \\(a, b, c\\), got a"):
            EnsembleScorer(scorers, moments={"a": (0.0, 1.0)})
        with pytest.raises(ValueError, match="std positive"):
            EnsembleScorer(scorers, moments=dict.fromkeys(scorers, (0.0, 0.0)))
        with pytest.raises(ValueError, match="nothing to fit"):
            EnsembleScorer(scorers, normalize=False).fit(PROMPTS, RESPONSES)
        with pytest.raises(ValueError, match="two or more members, got 1"):
            EnsembleScorer([scorers["a"]])
        with pytest.raises(ValueError, match="one is there twice"):
            EnsembleScorer([scorers["a"]] * 2)
        with pytest.raises(ValueError, match="model '1' gives all 5 responses the same reward"):
            EnsembleScorer([scorers["a"], Constant()], progress=False).fit(PROMPTS, RESPONSES)


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(shared_dir, tmp_path):
    """An ensemble of a reward model, a DPO model and a ranker, whose windows are divided in different ways."""
    rows = tmp_path / "rows.jsonl"
    lines = [
        {"prompt": f"Question {i}: what is it?", "responses": [f"It is {i + k}." for k in range(2 + i % 3)]}
        for i in range(17)
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    script = tmp_path / "score.py"
    script.write_text(
        "import sys\n"
        "from trl_ext import RewardScorer\n"
        "from trl_ext.scoring import (\n"
        "    DPOImplicitRewardScorer, EnsembleScorer, LanguageModelComparer, PairwiseRankingScorer\n"
        ")\n"
        "golden, rows, output = sys.argv[1:]\n"
        "policy, reference = (f'{golden}/rewardbench_cli/dpo/tiny_{name}' for name in ('policy', 'ref'))\n"
        "ensemble = EnsembleScorer({\n"
        "    'reward model': RewardScorer(f'{golden}/tiny_rm'),\n"
        "    'dpo': DPOImplicitRewardScorer(policy, reference, encoding='training'),\n"
        "    'ranker': PairwiseRankingScorer(LanguageModelComparer(policy)),\n"
        "}, moments={'reward model': (0, 1), 'dpo': (1, 2), 'ranker': (0.5, 0.1)}, progress=False)\n"
        "ensemble.score_file(rows, output, window_size=6)\n"
    )
    for config, name in (("cpu.yaml", "one"), ("cpu_2proc.yaml", "two")):
        launch(config, script, shared_dir / "golden", rows, tmp_path / f"{name}.jsonl")
    one, two = (read_lines(tmp_path / f"{name}.jsonl") for name in ("one", "two"))
    assert len(one) == sum(len(line["responses"]) for line in lines)
    assert one == two

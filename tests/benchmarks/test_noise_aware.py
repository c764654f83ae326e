"""The toy of the noise-aware benchmark, and the labels of its demo."""

import numpy as np
import pytest
import torch
from scipy.special import entr, expit

from benchmarks.noise_aware import draw_pairs, run_toy
from benchmarks.noise_aware_demo import ETA, VOTES, best_scale, mean_over_seeds, simulate, true_reward


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TestToy:
    @pytest.fixture(scope="class")
    def found(self):
        return run_toy(0.5, seeds=[0, 1, 2], methods=("soft_label", "forward"))

    def test_forward_correction_reaches_the_floor_and_plain_training_does_not(self, found):
        assert (found["forward"]["excess"] < 0.02).all()
        assert (found["soft_label"]["excess"] > 0.07).all()

    def test_both_find_the_order(self, found):
        # the noise is symmetric: it shrinks the rewards of plain training, which stay in order
        assert (found["forward"]["accuracy"] > 0.93).all() and (found["soft_label"]["accuracy"] > 0.93).all()

    def test_the_floor(self, found):
        assert found["forward"]["entropy"] == pytest.approx([0.438] * 3, abs=0.006)
        _, d = draw_pairs(0, 200_000)
        assert (entr(expit(d)) + entr(expit(-d))).mean() == pytest.approx(0.438, abs=0.002)


class TestDemo:
    def test_votes_are_those_of_the_annotators(self):
        votes, test = simulate("annotators", 0)
        assert (votes.groupby("id")["annotator_id"].nunique() == VOTES["annotators"]).all()
        assert set(votes["annotator_id"]) == set(ETA) and set(votes["label"]) == {0.0, 1.0}
        agrees = (votes["label"] > 0.5) == (votes["oracle_probability"] > 0.5)
        eta = votes["annotator_id"].map(ETA)
        strength = np.abs(2 * votes["oracle_probability"] - 1)
        # P(the vote is on the side of the oracle) = (1 + eta |2p - 1|) / 2; standard error .5 / sqrt(n)
        for group in (eta > 0.8, eta < 0.2):
            expected = ((1 + eta * strength) / 2)[group].mean()
            assert agrees[group].mean() == pytest.approx(expected, abs=2 / np.sqrt(group.sum()))
        assert not set(votes["question_id"]) & set(test["question_id"])

    def test_shares_of_votes(self):
        pairs, test = simulate("one_eta", 0)
        assert set(pairs["label"]) <= {0, 0.25, 0.5, 0.75, 1} and pairs["id"].is_unique
        expected = 0.5 * pairs["oracle_probability"] + 0.25
        assert (pairs["label"] - expected).mean() == pytest.approx(0, abs=2 / np.sqrt(len(pairs)))
        assert "label" not in test

    def test_what_responses_are_worth(self):
        assert true_reward("correct_detailed") == 2.5 and true_reward("incorrect_concise") == 0
        _, test = simulate("one_eta", 0)
        found = np.unique(np.abs(np.log(test["oracle_probability"] / (1 - test["oracle_probability"]))).round(6))
        assert found.tolist() == [0.5, 1.5, 2.0, 2.5]

    def test_the_best_scale_is_that_of_the_truth(self):
        _, test = simulate("one_eta", 0)
        truth = np.log(test["oracle_probability"] / (1 - test["oracle_probability"]))
        found = best_scale(test.assign(reward_chosen=truth / 3, reward_rejected=0.0))
        assert found["best scale"] == pytest.approx(3, abs=1e-3)
        assert found["excess at the best scale"] == pytest.approx(0, abs=1e-6)

    def test_a_seed_gives_the_same_data(self):
        for scenario in VOTES:
            first, again, other = simulate(scenario, 3), simulate(scenario, 3), simulate(scenario, 4)
            assert first[0].equals(again[0]) and first[1].equals(again[1])
            assert not first[0].equals(other[0])


def test_intervals_of_accuracies_stay_between_0_and_1():
    high = mean_over_seeds("accuracy", [0.9, 1.0, 1.0])
    assert high["ci_high"] == 1.0 and "cut to [0, 1]" in high["method"] and 0 < high["ci_low"] < high["value"]
    assert mean_over_seeds("excess", [0.9, 1.0, 1.0])["ci_high"] > 1

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import oracle_scores
from trl_ext.evaluation.accuracy.oracle import OracleScores


FIGURES = ("cross_entropy", "entropy", "excess", "accuracy")


def sigmoid(d):
    return 1 / (1 + np.exp(-np.asarray(d, dtype=float)))


class TestValues:
    def test_by_hand(self):
        # d = 2, p = 0.9: -0.9 ln 0.880797 - 0.1 ln 0.119203 = 0.326928; entropy 0.325083
        scores = oracle_scores([2.0], [0.0], [0.9])
        assert scores.cross_entropy.value == pytest.approx(0.326928, abs=1e-6)
        assert scores.entropy.value == pytest.approx(0.325083, abs=1e-6)
        assert scores.excess.value == pytest.approx(0.326928 - 0.325083, abs=2e-6)
        assert scores.accuracy.value == 1

    def test_direction_and_ties(self):
        # right, wrong, right although chosen is worse, equal rewards, oracle undecided (twice)
        scores = oracle_scores([1, 1, 0, 3, 1, 2], [0, 0, 1, 3, 0, 2], [0.6, 0.4, 0.1, 0.9, 0.5, 0.5])
        assert scores.accuracy.value == 2 / 4 and scores.accuracy.n == 4
        assert scores.oracle_ties == 2 and scores.reward_ties == 1 and scores.n_pairs == 6

    def test_an_oracle_that_never_decides_has_no_accuracy(self):
        scores = oracle_scores([1, 2], [0, 0], [0.5, 0.5])
        assert np.isnan(scores.accuracy.value) and scores.accuracy.n == 0 and "neither" in scores.accuracy.method
        assert scores.entropy.value == pytest.approx(np.log(2))

    def test_certain_oracles_and_extreme_rewards_are_finite(self):
        scores = oracle_scores([1e4, 1e4], [0, 0], [1.0, 0.0])
        assert scores.cross_entropy.value == pytest.approx(5e3)
        assert scores.entropy.value == 0
        assert oracle_scores([1e4], [0], [1.0]).excess.value == 0

    def test_golden(self, shared_dir):
        for case in json.loads((shared_dir / "golden" / "annotator.json").read_text())["trainer_losses"]:
            p = sigmoid(np.subtract(case["sj"], case["sk"]))
            scores = oracle_scores(case["rj"], case["rk"], p)
            # the original computes in float32
            assert scores.cross_entropy.value == pytest.approx(case["metric_oracle_CE_loss"], abs=1e-6)
            assert scores.entropy.value == pytest.approx(case["oracle_entropy_floor"], rel=1e-9)
            assert scores.accuracy.value == case["accuracy_vs_oracle_direction_no_ties"]
            given_p = oracle_scores(case["rj"], case["rk"], case["p"])
            assert given_p.cross_entropy.value == pytest.approx(case["soft_bt_correct"], rel=1e-9)
            # an oracle that is always for chosen makes it the accuracy of the original
            always = oracle_scores(case["rj"], case["rk"], np.ones(len(p)))
            assert always.accuracy.value == case["metric_binary_accuracy"]
            assert always.cross_entropy.value == pytest.approx(case["bt_vanilla"], rel=1e-9)


class TestProperties:
    rows = st.lists(st.tuples(st.floats(-20, 20), st.floats(0, 1)), min_size=2, max_size=30)

    @given(rows)
    def test_nothing_beats_the_truth(self, rows):
        d, p = np.array(rows).T
        scores = oracle_scores(d, np.zeros(len(d)), p)
        assert scores.excess.value >= -1e-12
        inside = np.clip(p, 1e-6, 1 - 1e-6)
        truth = oracle_scores(np.log(inside / (1 - inside)), np.zeros(len(p)), inside)
        assert truth.excess.value == pytest.approx(0, abs=1e-12)
        decided = (inside != 0.5).any()
        assert truth.accuracy.value == 1 if decided else np.isnan(truth.accuracy.value)

    @given(rows)
    def test_exchanging_the_responses_changes_nothing(self, rows):
        d, p = np.array(rows).T
        zeros = np.zeros(len(d))
        one, other = oracle_scores(d, zeros, p), oracle_scores(zeros, d, 1 - p)
        for name in ("cross_entropy", "entropy", "excess"):
            assert getattr(one, name).value == pytest.approx(getattr(other, name).value, abs=1e-9)
        # 1 - p rounds to one half where p is just below it
        if (np.abs(p - 0.5) > 1e-9).all():
            assert one.accuracy.value == other.accuracy.value

    @settings(max_examples=5)
    @given(st.integers(0, 1000))
    def test_the_interval_covers_what_a_large_sample_finds(self, seed):
        """A model that is off by noise: 200 samples of 200 pairs; 95 % intervals cover the mean of all 190 to 99 %."""
        rng = np.random.default_rng(seed)
        true = rng.normal(size=(200, 200)) * 1.5
        noise = rng.normal(size=true.shape)
        everything = oracle_scores((true + noise).ravel(), np.zeros(true.size), sigmoid(true).ravel())
        covered = dict.fromkeys(FIGURES, 0)
        for d, e in zip(true, noise, strict=True):
            scores = oracle_scores(d + e, np.zeros(200), sigmoid(d))
            for name in FIGURES:
                figure = getattr(scores, name)
                covered[name] += figure.ci_low <= getattr(everything, name).value <= figure.ci_high
        assert all(175 <= count <= 199 for count in covered.values()), covered

    def test_clusters_widen_the_interval(self):
        rng = np.random.default_rng(0)
        d, p = np.repeat(rng.normal(size=30), 10), np.repeat(rng.random(30), 10)
        zeros, clusters = np.zeros(300), np.repeat(np.arange(30), 10)
        alone, clustered = oracle_scores(d, zeros, p), oracle_scores(d, zeros, p, clusters)
        for name in FIGURES:
            assert getattr(clustered, name).value == getattr(alone, name).value
            assert getattr(clustered, name).se > 2.5 * getattr(alone, name).se
        assert clustered.n_clusters == 30 and alone.n_clusters == 300


class TestInputs:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([1.0, 2.0], [0.0], [0.5, 0.5]), "2, 1 and 2"),
            (([1.0], [0.0], [0.5, 0.5]), "1, 1 and 2"),
            (([[1.0], [2.0]], [0.0, 0.0], [0.5, 0.5]), r"rewards_chosen must have shape \(N,\)"),
            (([1.0, np.nan], [0.0, 0.0], [0.5, 0.5]), r"rewards_chosen.*row 1"),
            (([1.0, 1.0], [0.0, 0.0], [0.5, np.nan]), r"oracle_probability.*row 1"),
            (([1.0, 1.0], [0.0, 0.0], [0.5, 1.3]), r"oracle_probability.*outside \[0, 1\].*row 1, value 1.3"),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            oracle_scores(*arguments)

    def test_the_dictionary_is_json(self):
        scores = oracle_scores([1, 2], [0, 0], [0.7, 0.5])
        assert isinstance(scores, OracleScores)
        assert json.loads(json.dumps(scores.to_dict()))["excess"]["n"] == 2
        assert list(scores.figures()) == [f"oracle_{name}" for name in FIGURES]

    def test_the_example_is_right(self):
        assert failed_examples(oracle_scores) == 0

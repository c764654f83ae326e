import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import truth_scores


class TestValues:
    def test_by_hand(self):
        # d = 1, 1, -1, 0; right, wrong, wrong, right
        scores = truth_scores([1, 1, 0, 2], [0, 0, 1, 2], [1, 0, 0, 1])
        assert scores.accuracy_to_labels.value == (1 + 1 + 0 + 0.5) / 4
        assert scores.accuracy_to_truth.value == (1 + 0 + 1 + 0.5) / 4
        assert scores.annotator_accuracy.value == 0.5
        assert scores.accuracy_where_label_right.value == 0.75
        assert scores.accuracy_where_label_wrong.value == 0.5
        # right d: 1, 0; wrong d: 1, -1. Pairs: 1-1 tie, 1>-1, 0<1, 0>-1
        assert scores.auc_label_right.value == (0.5 + 1 + 0 + 1) / 4
        assert scores.ties == 1

    def test_a_model_that_knows_the_truth_and_one_that_follows_labels(self):
        right = np.random.default_rng(0).random(200) < 0.7
        knows = truth_scores(np.where(right, 1.0, 0.0), np.where(right, 0.0, 1.0), right)
        follows = truth_scores(np.ones(200), np.zeros(200), right)
        assert knows.accuracy_to_truth.value == knows.auc_label_right.value == 1
        assert knows.accuracy_to_labels.value == follows.accuracy_to_truth.value == right.mean()
        assert follows.accuracy_to_labels.value == 1 and follows.auc_label_right.value == 0.5
        assert knows.gain_over_annotators.ci_low > 0 and follows.gain_over_annotators.value == 0

    @settings(max_examples=20)
    @given(st.permutations(range(30)))
    def test_the_order_of_rows_changes_nothing(self, order):
        rng, order = np.random.default_rng(0), np.array(order)
        chosen, rejected, right = rng.normal(size=30), rng.normal(size=30), rng.random(30) < 0.7
        clusters = np.arange(30) // 3
        one = truth_scores(chosen, rejected, right, clusters, resamples=2)
        other = truth_scores(chosen[order], rejected[order], right[order], clusters[order], resamples=2)
        for name in ("accuracy_to_truth", "accuracy_to_labels", "gain_over_annotators"):
            a, b = getattr(one, name), getattr(other, name)
            assert (a.value, a.se) == pytest.approx((b.value, b.se))
        assert one.auc_label_right.value == pytest.approx(other.auc_label_right.value)


class TestUncertainty:
    def test_copies_of_a_question_add_no_information(self):
        rng = np.random.default_rng(0)
        chosen, rejected, right = rng.normal(size=100), rng.normal(size=100), rng.random(100) < 0.7
        once = truth_scores(chosen, rejected, right)
        copies = truth_scores(*(np.repeat(x, 4) for x in (chosen, rejected, right)), np.repeat(np.arange(100), 4))
        assert copies.n_clusters == 100
        for name in ("accuracy_to_truth", "accuracy_to_labels", "gain_over_annotators"):
            assert getattr(copies, name).se == pytest.approx(getattr(once, name).se)
        assert copies.auc_label_right.se == pytest.approx(once.auc_label_right.se, rel=0.1)

    def test_the_seed_decides_the_bootstrap(self):
        rng = np.random.default_rng(0)
        data = rng.normal(size=60), rng.normal(size=60), rng.random(60) < 0.7, np.arange(60) // 2
        assert truth_scores(*data, seed=1) == truth_scores(*data, seed=1)
        assert truth_scores(*data, seed=1).auc_label_right.se != truth_scores(*data, seed=2).auc_label_right.se

    def test_all_labels_right(self):
        scores = truth_scores([1.0, 2.0], [0.0, 3.0], [True, True])
        assert math.isnan(scores.auc_label_right.value) and "all labels are right" in scores.auc_label_right.method
        assert scores.accuracy_where_label_wrong.n == 0 and math.isnan(scores.accuracy_where_label_wrong.value)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([1.0], [0.0], [0.5]), "correct_chosen has 1 values other than true and false; first: row 0, value 0.5"),
            (([1.0, 2.0], [0.0], [1]), "one value per pair, got 2, 1 and 1"),
            (([np.inf], [0.0], [1]), "rewards_chosen has 1 values that are not finite"),
            (([1.0], [0.0], [1], [1, 2]), "one label per row"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            truth_scores(*arguments)


def test_to_dict_is_json():
    result = truth_scores([2.0, 1.0, 0.0], [1.0, 0.0, 1.0], [True, False, True]).to_dict()
    assert json.loads(json.dumps(result))["n_pairs"] == 3
    assert set(result["accuracy_to_truth"]) == {"value", "se", "ci_low", "ci_high", "n", "method"}


def test_the_docstring_example_runs():
    assert failed_examples(truth_scores) == 0

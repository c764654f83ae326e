import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from trl_ext.reliability.aggregation import noisy_bradley_terry, read_votes, simulate_comparisons
from trl_ext.reliability.aggregation.noisy_bradley_terry import _Model


ETAS = np.array([0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1, -0.4])
SCORES = np.random.default_rng(0).normal(0, 1.5, 30)


def by_annotator(result):
    return result.annotators.set_index("annotator_id").sort_index()


def centred_scores(result):
    return result.responses.set_index("response_id").sort_index()


class TestRecovery:
    def test_commitments_and_scores(self):
        errors, z, score_z = [], [], []
        for seed in range(8):
            result = noisy_bradley_terry(simulate_comparisons(SCORES, ETAS, 1000, 4, seed=seed))
            annotators, responses = by_annotator(result), centred_scores(result)
            errors.append(np.abs(annotators["eta"] - ETAS))
            z.append((annotators["eta"] - ETAS) / annotators["eta_se"])
            difference = responses["score"].to_numpy()[:, None] - responses["score"].to_numpy()
            planted = SCORES[:, None] - SCORES
            assert np.corrcoef(difference.ravel(), planted.ravel())[0, 1] > 0.97
            score_z.append((responses["score"] - (SCORES - SCORES.mean())) / responses["score_se"])
            assert result.converged
        print(f"\nlargest error of eta {np.max(errors):.3f}, mean {np.mean(errors):.4f}")
        assert np.mean(errors) < 0.08 and np.max(errors) < 0.3
        assert np.mean(np.abs(z) > 1.96) < 0.2
        assert np.std(score_z) < 1.3

    def test_probability_and_reliability_of_items(self):
        table = simulate_comparisons(SCORES, ETAS, 1000, 4, seed=0)
        result = noisy_bradley_terry(table)
        score = result.responses.set_index("response_id")["score"]
        pairs = table.drop_duplicates("item_id").set_index("item_id").loc[result.items["item_id"]]
        difference = score[pairs["response_a"]].to_numpy() - score[pairs["response_b"]].to_numpy()
        np.testing.assert_allclose(result.items["probability"], 1 / (1 + np.exp(-difference)))
        number = {f"response-{i + 1:02d}": value for i, value in enumerate(SCORES)}
        planted = pairs["response_a"].map(number).to_numpy() > pairs["response_b"].map(number).to_numpy()
        right = (result.items["label"] == 1).to_numpy() == planted
        # reliability is a probability of being right: on average it is the share of right labels
        assert right.mean() == pytest.approx(result.items["reliability"].mean(), abs=0.03)


def test_scores_have_mean_zero_in_every_connected_set():
    a = simulate_comparisons(SCORES[:10], ETAS, 200, 4, seed=0)
    b = simulate_comparisons(SCORES[10:20], ETAS, 200, 4, seed=1)
    for column in ("item_id", "response_a", "response_b"):
        b[column] = "x" + b[column]
    import pandas as pd

    responses = noisy_bradley_terry(pd.concat([a, b])).responses
    means = responses.groupby(responses["response_id"].str.startswith("x"))["score"].mean()
    np.testing.assert_allclose(means, 0, atol=1e-3)


class TestProperties:
    @given(seed=st.integers(0, 1000))
    @settings(max_examples=10)
    def test_flipping_all_labels_reverses_scores_and_keeps_commitments(self, seed):
        table = simulate_comparisons(SCORES[:8], ETAS, 150, 4, seed=seed)
        a, b = noisy_bradley_terry(table), noisy_bradley_terry(table.assign(label=1 - table["label"]))
        np.testing.assert_allclose(a.items["probability"], 1 - b.items["probability"], atol=1e-3)
        np.testing.assert_allclose(a.annotators["eta"], b.annotators["eta"], atol=1e-3)

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=10)
    def test_swapping_the_responses_and_the_labels_changes_nothing(self, seed):
        table = simulate_comparisons(SCORES[:8], ETAS, 150, 4, seed=seed)
        swapped = table.assign(
            label=1 - table["label"], response_a=table["response_b"], response_b=table["response_a"]
        )
        a, b = noisy_bradley_terry(table), noisy_bradley_terry(swapped)
        np.testing.assert_allclose(centred_scores(a)["score"], centred_scores(b)["score"], atol=1e-2)
        np.testing.assert_allclose(a.annotators["eta"], b.annotators["eta"], atol=1e-3)


class TestDerivatives:
    @pytest.fixture
    def model(self):
        table = simulate_comparisons(SCORES[:6], ETAS[:4], 60, 3, seed=0)
        return _Model(read_votes(table, responses=True), 3.0, 5.0)

    def test_gradient(self, model):
        x = np.random.default_rng(0).normal(0.3, 1, 10)
        expected = approx_fprime(x, lambda y: model.negative_objective(y)[0])
        np.testing.assert_allclose(model.negative_objective(x)[1], expected, atol=1e-4)

    def test_uncertainty_is_that_of_the_inverse_second_derivative(self, model):
        result = noisy_bradley_terry(model.votes)
        k = result.annotators["skill"].to_numpy()
        x, h = np.concatenate([result.responses["score"], np.log(k / (1 - k))]), 1e-5
        gradient = lambda y: model.negative_objective(y)[1]  # noqa: E731
        covariance = np.linalg.inv([(gradient(x + h * e) - gradient(x - h * e)) / (2 * h) for e in np.eye(10)])
        np.testing.assert_allclose(result.responses["score_se"], np.sqrt(np.diag(covariance)[:6]), rtol=1e-4)
        expected = k * (1 - k) * np.sqrt(np.diag(covariance)[6:])
        np.testing.assert_allclose(result.annotators["skill_se"], expected, rtol=1e-4)
        first, second = model.votes.pairs.T
        c = covariance[:6, :6]
        variance = c[first, first] + c[second, second] - 2 * c[first, second]
        np.testing.assert_allclose(result.items["difference_se"], np.sqrt(variance), rtol=1e-4)


def test_one_annotator_is_refused():
    table = simulate_comparisons(SCORES, [0.9], 50, 1)
    with pytest.raises(ValueError, match="at least 2 annotators"):
        noisy_bradley_terry(table)


def test_the_responses_must_be_named():
    with pytest.raises(ValueError, match="no column 'response_a'"):
        noisy_bradley_terry({"item_id": [1], "annotator_id": ["a"], "label": [1]})


@pytest.mark.slow
def test_coverage_of_the_intervals():
    inside = []
    for seed in range(1000, 1100):
        annotators = by_annotator(noisy_bradley_terry(simulate_comparisons(SCORES, ETAS, 1000, 4, seed=seed)))
        inside.append((2 * annotators["ci_low"] - 1 <= ETAS) & (ETAS <= 2 * annotators["ci_high"] - 1))
    print(f"\ncoverage of 95 % intervals {np.mean(inside):.3f}")
    assert 0.91 < np.mean(inside) < 0.98

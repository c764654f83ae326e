import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit, logit

from trl_ext.reliability.aggregation import glad, read_votes, simulate_votes
from trl_ext.reliability.aggregation.glad_models import IntegratedModel, ModeModel


SKILLS = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.2])


def by_annotator(result):
    return result.annotators.set_index("annotator_id").sort_index()


def mean_skills():
    """P(correct) on average over difficulties with standard deviation 1, the one of the prior."""
    nodes = np.linspace(-8, 8, 2001)
    weights = np.exp(-(nodes**2) / 2)
    return expit(np.outer(logit(SKILLS), np.exp(nodes))) @ (weights / weights.sum())


class TestRecovery:
    def test_skills_and_order_of_difficulties(self):
        errors, z = [], []
        for seed in range(3):
            table, truth = simulate_votes(SKILLS, 1000, 8, seed=seed, difficulty_sd=1.0)
            result = glad(table)
            annotators = by_annotator(result)
            errors.append(np.abs(annotators["skill"] - mean_skills()))
            z.append((annotators["skill"] - mean_skills()) / annotators["skill_se"])
            items = result.items.set_index("item_id").loc[truth["item_id"]]
            assert np.corrcoef(annotators["ability"], logit(SKILLS))[0, 1] > 0.97
            assert np.corrcoef(-np.log(items["difficulty"]), truth["easiness"])[0, 1] > 0.6
            assert (items["label"].to_numpy() == truth["label"]).mean() > 0.89
            # the prior mean 1 of log easiness sets the scale: abilities are 1/e of those of items of median difficulty
            slope = annotators["ability"] @ logit(SKILLS) / (logit(SKILLS) @ logit(SKILLS))
            assert slope == pytest.approx(np.exp(-1), rel=0.15)
        print(f"\nlargest error {np.max(errors):.3f}, mean {np.mean(errors):.4f}")
        assert np.mean(errors) < 0.02 and np.max(errors) < 0.06
        assert 0.7 < np.std(z) < 1.3

    def test_flipping_all_labels_flips_the_items_and_keeps_the_skills(self):
        table, _ = simulate_votes(SKILLS, 100, 4, seed=0, difficulty_sd=1.0)
        for difficulty in ("integrated", "mode"):
            a = glad(table, difficulty=difficulty)
            b = glad(table.assign(label=1 - table["label"]), difficulty=difficulty)
            np.testing.assert_allclose(a.items["probability"], 1 - b.items["probability"], atol=1e-3)
            np.testing.assert_allclose(a.annotators["skill"], b.annotators["skill"], atol=1e-3)


@pytest.mark.parametrize("kind", [IntegratedModel, ModeModel])
def test_gradient(kind):
    table, _ = simulate_votes(SKILLS, 20, 4, seed=0)
    model = kind(read_votes(table), 0.4, (1.0, 1.0), (1.0, 1.0))
    x = np.random.default_rng(0).normal(0.5, 0.5, 8 + (20 if kind is ModeModel else 0))
    found = model.negative_objective(x)[1]
    np.testing.assert_allclose(found, approx_fprime(x, lambda y: model.negative_objective(y)[0]), atol=1e-4)


def test_covariance_is_the_inverse_of_the_second_derivative():
    table, _ = simulate_votes(SKILLS, 100, 4, seed=0)
    model = IntegratedModel(read_votes(table), 0.5, (1.0, 1.0), (1.0, 1.0))
    h = 1e-5
    gradient = lambda y: model.negative_objective(y)[1]  # noqa: E731
    at_mode = glad(table).annotators["ability"].to_numpy()
    hessian = np.array([(gradient(at_mode + h * e) - gradient(at_mode - h * e)) / (2 * h) for e in np.eye(8)])
    np.testing.assert_allclose(model.covariance(at_mode)[0], np.linalg.inv(hessian), atol=1e-7)


def test_the_mode_of_difficulties_has_no_standard_error_and_says_so():
    table, _ = simulate_votes(SKILLS, 100, 4)
    result = glad(table, difficulty="mode")
    assert result.annotators["skill_se"].isna().all()
    assert "no standard errors" in result.messages[0]


def test_majority_better_than_chance_and_bad_settings():
    table, _ = simulate_votes([0.1, 0.1, 0.1, 0.9], 300, 4)
    assert (glad(table).annotators["skill"] > 0.5).sum() == 3
    with pytest.raises(ValueError, match="difficulty"):
        glad(table, difficulty="none")
    with pytest.raises(ValueError, match="sd of ability_prior"):
        glad(table, ability_prior=(1.0, 0.0))
    with pytest.raises(ValueError, match="at least 2 annotators"):
        glad(table[table["annotator_id"] == "annotator-1"])


@pytest.mark.slow
def test_coverage_of_the_intervals():
    inside = []
    for seed in range(1000, 1100):
        table, _ = simulate_votes(SKILLS, 1000, 4, seed=seed, difficulty_sd=1.0)
        annotators = by_annotator(glad(table))
        inside.append((annotators["ci_low"] <= mean_skills()) & (mean_skills() <= annotators["ci_high"]))
    print(f"\ncoverage of 95 % intervals {np.mean(inside):.3f}")
    assert 0.91 < np.mean(inside) < 0.98

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from trl_ext.reliability.aggregation import bootstrap_skills, dawid_skene, read_votes, simulate_votes


SKILLS = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.2])
MODELS = ("one_coin", "two_coin")


def by_annotator(result):
    return result.annotators.set_index("annotator_id").sort_index()


def labels(result, truth):
    return result.items.set_index("item_id")["label"].loc[truth["item_id"]].to_numpy()


class TestByHand:
    def test_posterior_from_the_skills(self):
        # with prevalence 1/2 the log-odds of the truth are the sum of ±logit(skill): votes 1, 0 of skills 0.8, 0.6 have
        # odds (0.8·0.4)/(0.2·0.6) = 8/3
        table, _ = simulate_votes([0.8, 0.6, 0.9], 2000, 3, seed=0)
        result = dawid_skene(table, prevalence=0.5)
        k = by_annotator(result)["skill"].to_numpy()
        wide = table.pivot(index="item_id", columns="annotator_id", values="label")
        log_odds = (2 * wide.to_numpy() - 1) @ np.log(k / (1 - k))
        found = result.items.set_index("item_id")["probability"].loc[wide.index]
        np.testing.assert_allclose(found, expit(log_odds), atol=1e-4)
        assert (np.abs(k - [0.8, 0.6, 0.9]) < 3 * by_annotator(result)["skill_se"]).all()

    def test_maximum_likelihood_of_three_annotators_is_closed_form(self):
        # prevalence 1/2: agreement of a and b is (1 + e_a e_b)/2 with e = 2k − 1, so e_a² = c_ab c_ac / c_bc, c = 2·agreement − 1
        table, _ = simulate_votes([0.9, 0.75, 0.6], 5000, 3, seed=3)
        wide = 2 * table.pivot(index="item_id", columns="annotator_id", values="label").to_numpy() - 1
        c = wide.T @ wide / len(wide)
        expected = np.sqrt([c[0, 1] * c[0, 2] / c[1, 2], c[0, 1] * c[1, 2] / c[0, 2], c[0, 2] * c[1, 2] / c[0, 1]])
        result = dawid_skene(table, prevalence=0.5, smoothing=0, tol=1e-12)
        np.testing.assert_allclose(by_annotator(result)["eta"], expected, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
class TestRecovery:
    def test_planted_skills(self, model):
        """1000 items, 4 votes each. Counting errors against the known truth would itself be off by up to 0.06 here."""
        errors, z = [], []
        for seed in range(10):
            table, truth = simulate_votes(SKILLS, 1000, 4, seed=seed)
            result = dawid_skene(table, model=model)
            annotators = by_annotator(result)
            errors.append(np.abs(annotators["skill"] - SKILLS))
            z.append((annotators["skill"] - SKILLS) / annotators["skill_se"])
            assert (labels(result, truth) == truth["label"]).mean() > 0.9
            assert annotators["worse_than_chance"].tolist() == [False] * 7 + [True]
        errors = np.array(errors)
        print(
            f"\n{model}: mean {errors.mean():.4f}, largest {errors.max():.4f}, {(errors < 0.05).mean():.1%} within 0.05"
        )
        assert errors.mean() < 0.025
        assert (errors < 0.05).mean() > 0.9
        assert errors.max() < 0.1
        assert 0.8 < np.std(z) < 1.2

    def test_all_within_five_hundredths_when_the_data_allow_it(self, model):
        for seed in range(10):
            table, _ = simulate_votes(SKILLS, 4000, 4, seed=seed)
            assert np.abs(by_annotator(dawid_skene(table, model=model))["skill"] - SKILLS).max() < 0.05

    def test_standard_errors_agree_with_the_bootstrap(self, model):
        table, _ = simulate_votes(SKILLS, 1000, 4, seed=0)
        from functools import partial

        method = partial(dawid_skene, model=model, tol=1e-6)
        frame = bootstrap_skills(table, method, resamples=60)
        np.testing.assert_allclose(frame["skill_se"], method(table).annotators["skill_se"], rtol=0.5)

    def test_log_likelihood_is_that_of_the_votes(self, model):
        table, _ = simulate_votes([0.9, 0.7, 0.6], 40, 3, seed=1)
        result = dawid_skene(table, model=model)
        a = by_annotator(result)
        k = a["skill"] if model == "one_coin" else a["sensitivity"]
        c = a["skill"] if model == "one_coin" else a["specificity"]
        wide = table.pivot(index="item_id", columns="annotator_id", values="label").to_numpy()
        first = result.prevalence * np.prod(np.where(wide, k, 1 - k), axis=1)
        second = (1 - result.prevalence) * np.prod(np.where(wide, 1 - c, c), axis=1)
        assert result.log_likelihood == pytest.approx(np.log(first + second).sum(), abs=1e-6)


def test_two_coins_recover_sensitivity_and_specificity():
    sensitivity, specificity = np.array([0.95, 0.9, 0.6, 0.8, 0.5]), np.array([0.7, 0.8, 0.9, 0.6, 0.95])
    table, _ = simulate_votes(sensitivity, 4000, 4, specificities=specificity, prevalence=0.4, seed=0)
    result = dawid_skene(table, model="two_coin")
    annotators = by_annotator(result)
    for name, planted in (("sensitivity", sensitivity), ("specificity", specificity)):
        z = (annotators[name] - planted) / annotators[f"{name}_se"]
        assert np.abs(z).max() < 3.5
        assert (annotators[f"{name}_ci_low"] < annotators[name]).all()
    np.testing.assert_allclose(annotators["skill"], (annotators["sensitivity"] + annotators["specificity"]) / 2)
    assert result.prevalence == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prevalence", [None, 0.5])
def test_information_is_the_second_derivative_of_the_marginal_likelihood(model, prevalence):
    from trl_ext.reliability.aggregation.dawid_skene import _Fit, _Model

    table, _ = simulate_votes([0.9, 0.8, 0.7, 0.6], 80, 3, seed=0, prevalence=0.4)
    em = _Model(read_votes(table), model == "one_coin", prevalence, 1.0)
    generator = np.random.default_rng(0)
    one = model == "one_coin"
    n = (4 if one else 8) + (prevalence is None)
    theta = generator.normal(0.8, 0.3, n)

    def fit(theta):
        k, c = expit(theta[:4]), expit(theta[:4] if one else theta[4:8])
        return em.e_step(_Fit(k, c, expit(theta[-1]) if prevalence is None else prevalence))

    h, steps = 1e-3, np.eye(n) * 1e-3
    value = lambda t: fit(t).log_likelihood  # noqa: E731
    expected = [
        [
            -(value(theta + a + b) - value(theta + a - b) - value(theta - a + b) + value(theta - a - b)) / (4 * h * h)
            for b in steps
        ]
        for a in steps
    ]
    # Louis' identity holds at any point, up to terms in the score, which are diagonal in the logits
    posterior = fit(theta)
    information, prior, complete = em.information(posterior)
    off = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(information[off], np.array(expected)[off], atol=1e-3)
    np.testing.assert_allclose(np.diag(information), np.diag(expected), atol=1e-3)
    assert (prior > 0).all() and (np.diag(information) <= complete).all()


@st.composite
def overlapping_tables(draw):
    n_items, n_annotators = draw(st.integers(4, 30)), draw(st.integers(3, 6))
    per_item = draw(st.integers(2, n_annotators))
    seed = draw(st.integers(0, 10**6))
    skills = draw(st.lists(st.floats(0.05, 0.98), min_size=n_annotators, max_size=n_annotators))
    table, _ = simulate_votes(skills, n_items, per_item, seed=seed)
    return table


class TestProperties:
    @given(table=overlapping_tables(), model=st.sampled_from(MODELS), smoothing=st.sampled_from([0.0, 0.5, 1.0]))
    @settings(max_examples=60)
    def test_the_objective_never_decreases(self, table, model, smoothing):
        history = np.array(dawid_skene(table, model=model, smoothing=smoothing, max_iter=200).history)
        assert (np.diff(history) > -1e-9 * (1 + np.abs(history[1:]))).all()

    @given(table=overlapping_tables(), seed=st.integers(0, 1000), model=st.sampled_from(MODELS))
    @settings(max_examples=30)
    def test_the_order_of_rows_does_not_matter(self, table, seed, model):
        a = dawid_skene(table, model=model, max_iter=100)
        b = dawid_skene(table.sample(frac=1, random_state=seed), model=model, max_iter=100)
        x = a.items.set_index("item_id")["probability"]
        np.testing.assert_allclose(b.items.set_index("item_id")["probability"].loc[x.index], x, atol=1e-6)
        np.testing.assert_allclose(by_annotator(a)["skill"], by_annotator(b)["skill"], atol=1e-6)

    @given(table=overlapping_tables(), model=st.sampled_from(MODELS))
    @settings(max_examples=30)
    def test_flipping_all_labels_flips_the_items_and_keeps_the_skills(self, table, model):
        a = dawid_skene(table, model=model, max_iter=100)
        b = dawid_skene(table.assign(label=1 - table["label"]), model=model, max_iter=100)
        np.testing.assert_allclose(a.items["probability"], 1 - b.items["probability"], atol=1e-6)
        np.testing.assert_allclose(a.annotators["skill"], b.annotators["skill"], atol=1e-6)

    @given(table=overlapping_tables())
    @settings(max_examples=20)
    def test_reliability_is_the_larger_side(self, table):
        items = dawid_skene(table, max_iter=50).items
        np.testing.assert_allclose(
            items["reliability"], np.maximum(items["probability"], 1 - items["probability"]), atol=1e-8
        )
        assert items["reliability"].between(0.5, 1).all() and items["entropy"].between(0, 1).all()

    @given(seed=st.integers(0, 100), model=st.sampled_from(MODELS))
    @settings(max_examples=10)
    def test_pure_noise_changes_little(self, seed, model):
        table, truth = simulate_votes(SKILLS, 1000, 4, seed=seed)
        noise = pd.DataFrame(
            {
                "item_id": truth["item_id"],
                "annotator_id": "noise",
                "label": np.random.default_rng(seed).integers(0, 2, len(truth)),
            }
        )
        before, after = dawid_skene(table, model=model), dawid_skene(pd.concat([table, noise]), model=model)
        skills = by_annotator(after)["skill"]
        assert abs(skills["noise"] - 0.5) < 0.08
        np.testing.assert_allclose(skills.drop("noise"), by_annotator(before)["skill"], atol=0.03)
        assert (labels(before, truth) == labels(after, truth)).mean() > 0.97


class TestIdentification:
    def test_one_annotator(self):
        with pytest.raises(ValueError, match="at least 2 annotators.*only 'a'"):
            dawid_skene({"item_id": [1, 2], "annotator_id": ["a", "a"], "label": [1, 0]})

    def test_no_overlap(self):
        with pytest.raises(ValueError, match="each of the 3 items has one vote"):
            dawid_skene({"item_id": [1, 2, 3], "annotator_id": list("abc"), "label": [1, 0, 1]})

    def test_two_annotators_have_no_standard_error_and_say_so(self):
        table, _ = simulate_votes([0.9, 0.7], 200, 2)
        result = dawid_skene(table)
        assert result.annotators["skill_se"].isna().all() and result.annotators["ci_low"].isna().all()
        assert not result.annotators["worse_than_chance"].any()
        assert "do not determine the skill of 2 annotators" in result.messages[0]

    def test_a_pair_apart_from_the_others_is_named(self):
        table, _ = simulate_votes([0.9, 0.8, 0.7], 300, 3)
        apart, _ = simulate_votes([0.9, 0.8], 100, 2, seed=1)
        apart = apart.assign(item_id="x" + apart["item_id"], annotator_id="x" + apart["annotator_id"])
        result = dawid_skene(pd.concat([table, apart]), prevalence=0.5)
        assert by_annotator(result)["skill_se"].isna().tolist() == [False, False, False, True, True]
        assert "'xannotator-" in result.messages[0]

    def test_without_smoothing_a_perfect_annotator_has_no_standard_error(self):
        table, _ = simulate_votes([1.0, 1.0, 1.0, 0.7], 200, 4)
        result = dawid_skene(table, smoothing=0)
        assert by_annotator(result)["skill_se"].isna().tolist() == [True, True, True, False]
        assert any("estimate at 0 or 1" in message for message in result.messages)
        assert not dawid_skene(table).annotators["skill_se"].isna().any()

    @pytest.mark.parametrize("model", MODELS)
    def test_the_majority_is_better_than_chance(self, model):
        table, _ = simulate_votes([0.9, 0.9, 0.2, 0.2, 0.2, 0.9, 0.9], 500, 4, seed=0)
        assert (dawid_skene(table, model=model).annotators["skill"] > 0.5).sum() == 4

    def test_a_fit_that_contradicts_the_convention_is_turned_round(self):
        # two good annotators with many votes outvote three bad ones with few: by number, the three are the majority
        table, truth = simulate_votes([0.95, 0.95, 0.1, 0.1, 0.1], 600, 5, seed=0)
        few = set(truth["item_id"][:150])
        table = table[table["annotator_id"].isin(["annotator-1", "annotator-2"]) | table["item_id"].isin(few)]
        result = dawid_skene(table, prevalence=0.5)
        assert (by_annotator(result)["skill"] > 0.5).tolist() == [False, False, True, True, True]
        assert any("turned 5 annotators round" in message for message in result.messages)

    def test_restarts_never_lose(self):
        table, _ = simulate_votes(SKILLS, 100, 3, seed=0)
        assert dawid_skene(table, restarts=5).history[-1] >= dawid_skene(table).history[-1] - 1e-6

    def test_too_few_iterations_are_reported(self):
        table, _ = simulate_votes(SKILLS, 200, 4)
        result = dawid_skene(table, max_iter=2)
        assert not result.converged and "not converged in 2 iterations" in result.messages[-1]

    @pytest.mark.parametrize(
        "bad",
        [
            {"model": "three"},
            {"prevalence": 1.0},
            {"smoothing": -1},
            {"restarts": -1},
            {"level": 1},
            {"max_iter": 0},
            {"tol": 0},
        ],
    )
    def test_bad_settings(self, bad):
        table, _ = simulate_votes(SKILLS, 20, 4)
        with pytest.raises(ValueError, match=next(iter(bad))):
            dawid_skene(table, **bad)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_coverage_of_the_intervals(model):
    inside = []
    for seed in range(1000, 1200):
        table, _ = simulate_votes(SKILLS, 1000, 4, seed=seed)
        annotators = by_annotator(dawid_skene(table, model=model))
        inside.append((annotators["ci_low"] <= SKILLS) & (SKILLS <= annotators["ci_high"]))
    coverage = np.mean(inside)
    print(f"\n{model}: coverage of 95 % intervals {coverage:.3f}, by annotator {np.mean(inside, axis=0)}")
    assert 0.92 < coverage < 0.98

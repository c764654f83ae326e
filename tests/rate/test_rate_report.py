"""The report of effects: its rows are those of the estimators, tests agree with intervals, and nothing gets lost."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import mean_estimate
from trl_ext.rate import (
    RewardChains,
    TextChains,
    TextFacts,
    compare_reward_models,
    estimate_effects,
    normalised_effects,
    original_hashes,
    rate_report,
    simulate_rewards,
    symmetric_effects,
)
from trl_ext.rate.report.rows import COLUMNS, zero_test
from trl_ext.rate.report.text import digits_of, interval, number


def chains(n, effect, seed, *, steps=2, clusters=True):
    shared = np.random.default_rng(7)  # of all reward models
    w, quality = shared.random(n) < 0.5, shared.normal(size=n)
    rng = np.random.default_rng(seed)
    texts = [quality + effect * (w ^ bool(k % 2)) - 0.1 * (k > 0) + 0.3 * rng.normal(size=n) for k in range(steps + 1)]
    ids = np.array([f"r{i}" for i in range(n)], dtype=object)
    return RewardChains(w, np.stack(texts, axis=1), np.arange(n) // 4 if clusters else None, ids)


IMDB, ELI5, ONE_SIDED = ("imdb", "length"), ("eli5", "length"), ("hh", "harm")


@pytest.fixture(scope="module")
def rewards():
    w = np.ones(5, dtype=bool)
    one = RewardChains(w, np.random.default_rng(0).normal(size=(5, 3)))
    return {
        IMDB: {"before": chains(240, 0.5, 1, steps=3), "after": chains(240, 0.1, 2, steps=3)},
        ELI5: {"before": chains(120, 0.6, 3, clusters=False), "after": chains(120, 0.0, 4, clusters=False)},
        ONE_SIDED: {"before": one},
    }


@pytest.fixture(scope="module")
def facts(rewards):
    own, rng = rewards[IMDB]["before"], np.random.default_rng(5)
    observed = np.stack([own.w, ~own.w, own.w, ~own.w], axis=1).astype(float)
    observed[:24, 1] = 1 - observed[:24, 1]  # a tenth did not flip
    observed[30, 2] = np.nan
    order = rng.permutation(len(own))
    features = pd.DataFrame(rng.normal(size=(len(own), 2)), columns=["words", "typos"]).assign(constant=1.0)
    return {IMDB: TextFacts(own.ids[order], observed[order], features, features, {"refusal": 7, "too_long": 2})}


@pytest.fixture(scope="module")
def report(rewards, facts):
    return rate_report(rewards, texts=facts, bootstrap=100, treated={"length": "longer"}, provenance={"seed": 1})


def row(report, key, model, estimator, estimand="ATE"):
    table = report.effects
    mask = (table["dataset"] == key[0]) & (table["reward_model"] == model)
    return table[mask & (table["estimator"] == estimator) & (table["estimand"] == estimand)].iloc[0]


def test_rows_are_those_of_the_estimators(report, rewards):
    assert list(report.effects) == list(COLUMNS)
    own = rewards[IMDB]["after"]
    effects, normalised = estimate_effects(own), normalised_effects(own, bootstrap=100)
    found = row(report, IMDB, "after", "rate")
    expected, scaled = effects["ATE_rewritten_rewrite"], normalised["ATE_rewritten_rewrite"]
    assert [found[name] for name in ("value", "se", "ci_low", "ci_high", "n", "method")] == [
        getattr(expected, name) for name in ("value", "se", "ci_low", "ci_high", "n", "method")
    ]
    assert (found["normalised"], found["normalised_ci_high"]) == (scaled.value, scaled.ci_high)
    assert (found["n1"], found["n0"], found["clusters"]) == (own.w.sum(), (~own.w).sum(), 60)
    assert found["mde_normalised"] == pytest.approx(found["mde"] / effects.reward_std)
    treated = row(report, IMDB, "after", "rate", "ATT")
    assert (treated["n"], treated["n0"]) == (own.w.sum(), 0)
    assert row(report, IMDB, "after", "symmetric")["value"] == symmetric_effects(own)["ATE"].value
    assert row(report, IMDB, "after", "rewrite", "w=1")["value"] == effects["rewrite_effect_w_1"].value
    assert (
        "naive" in set(report.effects["estimator"]) and row(report, ELI5, "after", "naive", "difference")["n"] == 120
    )


def test_corrections_use_what_is_known_of_the_texts(report):
    rate, wald = (row(report, IMDB, "before", name) for name in ("rate", "wald"))
    assert wald["n"] == 239  # one rewrite is not known
    assert wald["value"] == pytest.approx(rate["value"] / (215 / 239), rel=0.03)
    assert row(report, IMDB, "before", "feature_adjusted")["value"] == pytest.approx(rate["value"], abs=0.05)
    naive = row(report, IMDB, "before", "naive", "difference")
    assert row(report, IMDB, "before", "aipw")["value"] == pytest.approx(naive["value"], abs=0.1)
    assert set(report.effects[report.effects["dataset"] == "eli5"]["estimator"]) == {
        *("naive", "single_rewrite", "rate", "rewrite")
    }
    assert any("1 row left out of `wald`" in note for note in report.notes)


def test_tests_agree_with_intervals(report):
    known = report.effects[report.effects["p_value"].notna() & (report.effects["se"] > 0)]
    excludes = (known["ci_low"] > 0) | (known["ci_high"] < 0)
    assert ((known["p_value"] < 0.05) == excludes).all()
    assert (known["p_adjusted"] >= known["p_value"]).all()
    assert (known["significant"] == (known["p_adjusted"] <= 0.05)).all()


def test_p_value_and_mde_by_hand():
    values = np.array([1.0, 2.0, 4.0, 3.0])
    test = zero_test(mean_estimate(values), level=0.95, power=0.8)
    assert test.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-6)
    # of very many rows: z .975 + z .8 = 2.8016 standard errors
    many = mean_estimate(np.tile(values - 2.5, 50_000))
    assert zero_test(many, level=0.95, power=0.8).mde == pytest.approx(2.8016 * many.se, rel=1e-3)
    assert zero_test(mean_estimate([0.0, 0.0]), level=0.95, power=0.8).p_value == 1.0
    assert zero_test(mean_estimate([2.0]), level=0.95, power=0.8).p_value is None
    assert zero_test(None, level=0.95, power=0.8).mde is None


def test_one_sided_data_are_missing_not_nan_in_json(report, tmp_path):
    found = row(report, ONE_SIDED, "before", "naive", "difference")
    assert np.isnan(found["value"]) and pd.isna(found["significant"])
    content = json.loads(report.write(tmp_path).read_text(), parse_constant=lambda name: pytest.fail(name))
    lines = [line for line in content["effects"] if line["dataset"] == "hh" and line["estimator"] == "naive"]
    assert lines[0]["value"] is None and lines[0]["significant"] is None and lines[0]["n1"] == 5
    assert any("all rows have the attribute" in note for note in content["notes"])
    assert content["provenance"] == {"seed": 1} and content["excluded"] == {
        "imdb/length": {"refusal": 7, "too_long": 2}
    }
    table = pd.read_csv(tmp_path / "effects.csv")
    np.testing.assert_array_equal(table["value"], report.effects["value"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *("effects.json", "effects.csv", "contrasts.csv", "combined.csv", "effects.md")
    }


def test_contrasts_are_paired(report, rewards):
    table = report.contrasts
    own = table[(table["dataset"] == "imdb") & (table["unit"] == "sd") & (table["estimand"] == "ATE")].iloc[0]
    assert (own["reward_model"], own["baseline"]) == ("after", "before")
    effects = [row(report, IMDB, model, "rate")["normalised"] for model in ("after", "before")]
    assert own["value"] == pytest.approx(effects[0] - effects[1])
    expected = compare_reward_models(rewards[IMDB], baseline="before", resamples=100).table()
    expected = expected[expected["unit"] == "sd"].iloc[0]
    assert (own["ci_low"], own["ci_high"]) == pytest.approx((expected["ci_low"], expected["ci_high"]))
    assert bool(own["significant"]) and own["p_adjusted"] >= own["p_value"]
    assert "hh" not in set(table["dataset"])  # a single model has nothing to be compared with


def test_data_sets_are_combined_not_concatenated(report):
    combined = report.combined
    mine = combined[(combined["reward_model"] == "before") & (combined["estimator"] == "rate")].set_index("estimand")
    values = [row(report, key, "before", "rate")["normalised"] for key in (IMDB, ELI5)]
    assert mine.loc["ATE", "normalised"] == pytest.approx(np.mean(values)) and mine.loc["ATE", "data_sets"] == 2
    assert mine.loc["ATE", "n"] == 360 and set(combined["attribute"]) == {"length"}


def test_rewrites_of_the_same_texts_are_not_combined(rewards):
    own = rewards[IMDB]["before"]
    other = RewardChains(own.w, own.rewards + np.array([0, 0.1, 0.1, 0.1]), own.clusters, own.ids)
    found = rate_report({("by rules", "length"): {"rm": own}, ("by a model", "length"): {"rm": other}}, bootstrap=0)
    assert found.combined.empty
    assert any("by rules and by a model have texts in common" in note for note in found.notes)


def combined_of(first, second, texts=None):
    found = rate_report({("a", "length"): {"rm": first}, ("b", "length"): {"rm": second}}, bootstrap=0, texts=texts)
    return len(found.combined), " ".join(found.notes)


def test_whether_texts_are_the_same_is_told_by_texts_then_by_rewards():
    def own(seed, *, ids=True, scale=1.0, digits=12):
        found = chains(100, 0.3, seed, clusters=False)
        rewards = np.round(found.rewards + np.random.default_rng(seed).normal(size=(100, 1)), digits) * scale
        return RewardChains(found.w, rewards, None, found.ids if ids else None)

    # other texts under the same ids: of rewards so small that they differ by nothing in absolute terms
    assert combined_of(own(1), own(2)) == (4, "")
    assert combined_of(own(1, scale=1e-9), own(2, scale=1e-9)) == (4, "")
    assert combined_of(own(1, digits=0), own(2, digits=0)) == (4, "")
    noise = RewardChains(own(1).w, own(1).rewards + 1e-5, None, own(1).ids)
    count, note = combined_of(own(1), noise)
    assert count == 0 and "have texts in common" in note
    # of a few values that agree nothing is known, as without ids
    few = own(1, digits=0)
    for rewards in (few, own(1, ids=False)):
        count, note = combined_of(rewards, rewards)
        assert count == 4 and "as if they were independent" in note and note.count("independent") == 1
    # what is known of texts decides, whatever the rewards are
    ids = few.ids
    hashes = [np.array([f"{name} {row}" for row in ids], dtype=object) for name in ("x", "y")]
    facts = {name: TextFacts(ids, originals=mine) for name, mine in zip("ab", hashes, strict=True)}
    assert combined_of(own(1), noise, {(k, "length"): part for k, part in facts.items()}) == (4, "")
    same = {(k, "length"): facts["a"] for k in "ab"}
    assert combined_of(few, own(2), same)[0] == 0
    one = TextChains("length", ("1", "2"), ("p", "q"), [True, False], (("t",), ("t",)))
    assert len(set(original_hashes(one))) == 2 and original_hashes(one)[0] == original_hashes(one.select([0]))[0]


def test_sentences_do_not_contradict_their_intervals():
    rng = np.random.default_rng(3)
    models = {}
    for k in range(10):
        noise = rng.normal(size=120)
        w, quality = np.arange(120) % 2 == 0, rng.normal(size=120)
        delta = 0.21 * noise.std() + noise - noise.mean() if k == 0 else noise
        sign = np.where(w, 1, -1)
        models[f"m{k}"] = RewardChains(w, np.stack([quality, quality, quality + sign * delta], axis=1))
    report = rate_report({IMDB: models}, bootstrap=0)
    own = row(report, IMDB, "m0", "rate")
    assert own["normalised_ci_low"] > 0 and own["p_value"] < 0.05 < own["p_adjusted"]
    said = report.sentences()
    assert "m0: +" in said[0] and "not significant after correction for 30 tests (n = 120" in said[0]
    for line in said[1:10]:
        excludes = not (line.split("[")[1].startswith("-") and "-" not in line.split("[")[1].split("]")[0][1:])
        assert excludes == ("no effect" not in line)
    assert "the effect that one test finds with 80% power" in report.markdown()


def test_intervals_that_take_the_sd_as_known_are_marked(report, rewards):
    lines = report.markdown().splitlines()
    for line in lines:
        if line.startswith("| before") or line.startswith("| after"):
            corrected = any(name in line for name in ("compliance", "feature-adjusted", "symmetric", "AIPW"))
            assert "†" not in line or corrected
    assert sum("†" in line for line in lines if "RATE / compliance" in line) == 6
    assert any(line.startswith("† The sd is taken as known") for line in lines)
    assert "†" not in rate_report({ELI5: rewards[ELI5]}, bootstrap=0).markdown()


def test_sentences(report):
    said = report.sentences()
    rate = row(report, IMDB, "before", "rate")
    assert said[0].startswith(f"imdb: before pays +{rate['normalised']:.2f} sd [".replace("0.", "."))
    assert "for longer texts (n = 240; minimum detectable ." in said[0]
    assert any(line.startswith("eli5: after: no effect of longer texts was found") for line in said)
    assert said[-1] == "imdb, length: 9 rows were left out (refusal 7, too long 2)."
    text = report.markdown()
    assert all(sentence in text for sentence in said) and "## Several data sets" in text


def test_digits():
    assert [number(value, sign=True) for value in (0.05, -1.2, 0.0, np.inf, None)] == [
        "+.05",
        "-1.20",
        "+.00",
        "∞",
        "–",
    ]
    assert number(-0.001) == ".00" and interval(None, 1.0) == "" and interval(-np.inf, 0.5) == "[-∞, .50]"
    assert [digits_of(0, width) for width in (1.0, 0.02, 0.01, 1e-12, np.inf)] == [2, 3, 3, 2, 2]


def test_reference_is_the_original(rewards):
    report = rate_report(rewards, se="reference")
    own = rewards[IMDB]["before"]
    expected, found = estimate_effects(own, se="reference"), row(report, IMDB, "before", "rate")
    assert found["se"] == expected["ATE_rewritten_rewrite"].se
    assert found["normalised_se"] == pytest.approx(found["se"] / expected.reward_std)
    assert report.contrasts.empty and set(report.effects["estimator"]) == {
        "naive",
        "single_rewrite",
        "rate",
        "rewrite",
    }


def test_estimands_and_paired_errors(rewards):
    report = rate_report({IMDB: rewards[IMDB]}, se="paired", estimands=["ATE"], bootstrap=0, baseline="after")
    assert set(report.effects["estimand"]) == {"ATE", "difference", "w=1", "w=0"}
    assert set(report.contrasts["baseline"]) == {"after"}
    expected = estimate_effects(rewards[IMDB]["before"], se="paired")["ATE_rewritten_rewrite"]
    assert row(report, IMDB, "before", "rate")["se"] == expected.se


BAD = {
    "empty": ({}, {}, ValueError, "chains is empty"),
    "key": ({"imdb": {}}, {}, TypeError, "pair of names"),
    "no models": ({IMDB: {}}, {}, TypeError, "must map names"),
    "no chains": ({IMDB: {"rm": {"w": [1]}}}, {}, TypeError, "of_table"),
    "level": (None, {"level": 95}, ValueError, "level must lie strictly"),
    "power": (None, {"power": 1.0}, ValueError, "power must lie strictly"),
    "bootstrap": (None, {"bootstrap": 1}, ValueError, "bootstrap must be 0"),
    "correction": (None, {"correction": "none"}, ValueError, "correction must be one of holm"),
    "se": (None, {"se": "robust"}, ValueError, "se must be"),
    "baseline": (None, {"baseline": "gpt"}, ValueError, "no reward model 'gpt'.*before, after"),
    "estimands": (None, {"estimands": ["LATE"]}, ValueError, "some of ATE, ATT, ATU"),
    "texts": (None, {"texts": {("a", "b"): TextFacts(["r0"])}}, ValueError, "no rewards"),
    "ids": (None, {"texts": {IMDB: TextFacts(["r0"])}}, ValueError, "239 rows of rewards.*row 1, id 'r1'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, rewards):
    given, options, error, message = BAD[name]
    with pytest.raises(error, match=message):
        rate_report({IMDB: rewards[IMDB]} if given is None else given, **{"bootstrap": 0, **options})


def test_facts_that_do_not_agree():
    with pytest.raises(ValueError, match="2 ids, but 1 rows of observed"):
        TextFacts(["a", "b"], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="'a' occurs more than once; second time: row 1"):
        TextFacts(["a", "a"])
    with pytest.raises(ValueError, match="must have ids"):
        TextFacts(["a"]).rows_of(RewardChains([1], [[1.0]]))


@pytest.mark.parametrize("function", [rate_report, zero_test])
def test_examples(function):
    assert failed_examples(function, vars(sys.modules[function.__module__])) == 0


def test_intervals_per_sd_and_p_values_agree():
    """Percentiles of resamples excluded 0 in one of twenty reports on 30 rows where the test did not, and said both."""
    rejected = 0
    for seed in range(8):
        chains = simulate_rewards(30, seed=seed, beta0=0.28)
        other = RewardChains(
            chains.w, chains.rewards + np.random.default_rng(seed).normal(size=(30, 3)), None, chains.ids
        )
        report = rate_report({("d", "length"): {"rm": chains, "other": other}}, bootstrap=60, baseline="rm")
        effects = report.effects.rename(columns={"normalised_ci_low": "low", "normalised_ci_high": "high"})
        contrasts = report.contrasts.rename(columns={"ci_low": "low", "ci_high": "high"})
        for table in (effects, contrasts):
            table = table[table["p_value"].notna() & table["low"].notna()]
            assert len(table) > 4
            assert ((table["low"] > 0) | (table["high"] < 0)).tolist() == (table["p_value"] < 0.05).tolist()
            rejected += (table["p_value"] < 0.05).sum()
    assert rejected > 10

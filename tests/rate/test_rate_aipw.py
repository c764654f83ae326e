"""Naive effects adjusted for measured features."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from trl_ext.rate import aipw_effect
from trl_ext.rate.remedies.doubly_robust import _folds_of_clusters


def confounded(n=1500, seed=0, slope=1.0, hidden=0.0):
    """The effect is .5 + .3 x; x makes the attribute likelier and is rewarded, and so is something hidden."""
    rng = np.random.default_rng(seed)
    x, unseen = rng.normal(size=n), rng.normal(size=n)
    w = rng.random(n) < 1 / (1 + np.exp(-slope * x - hidden * unseen))
    rewards = (0.5 + 0.3 * x) * w + x + hidden * unseen + 0.5 * rng.normal(size=n)
    return w, rewards, np.stack([x, rng.normal(size=n)], axis=1)


@pytest.fixture(scope="module")
def data():
    return confounded()


@pytest.fixture(scope="module")
def found(data):
    return aipw_effect(*data)


def test_recovers_all_three_effects(data, found):
    w, rewards, features = data
    truth = {"ATE": 0.5, "ATT": 0.5 + 0.3 * features[w, 0].mean(), "ATU": 0.5 + 0.3 * features[~w, 0].mean()}
    assert rewards[w].mean() - rewards[~w].mean() > 1.2
    for name, value in truth.items():
        assert abs(found[name].value - value) < 4 * found[name].se
        assert found[name].se < 0.1
    assert found.auc == pytest.approx(0.74, abs=0.05)
    json.dumps(found.to_dict(), allow_nan=False)


def test_cannot_repair_what_is_not_measured():
    w, rewards, features = confounded(hidden=1.0)
    effect = aipw_effect(w, rewards, features)["ATE"]
    assert effect.ci_low > 0.8  # the truth is .5


def test_one_wrong_model_is_enough(data):
    w, rewards, features = data
    nothing = np.zeros_like(features)

    class Blind(LinearRegression):
        def fit(self, x, y):
            return super().fit(0 * x, y)

        def predict(self, x):
            return super().predict(0 * x)

    effect = aipw_effect(w, rewards, features, outcome_model=Blind())["ATE"]
    assert abs(effect.value - 0.5) < 4 * effect.se
    naive = aipw_effect(w, rewards, nothing)["ATE"]
    assert naive.value == pytest.approx(rewards[w].mean() - rewards[~w].mean(), abs=0.02)


@pytest.mark.parametrize("n", [60, 2000])
def test_separated_groups_are_refused(n):
    rng = np.random.default_rng(0)
    feature = rng.normal(size=n)
    w = feature > 0
    for features in (feature, w.astype(float)):
        with pytest.raises(ValueError, match="the features tell the groups apart"):
            aipw_effect(w, 0.5 * w + rng.normal(size=n), features)


def test_folds_of_clusters_are_balanced():
    rng = np.random.default_rng(0)
    codes = pd.factorize(rng.integers(300, size=2000))[0]
    w = rng.random(2000) < 0.2
    fold = _folds_of_clusters(w, codes, 5, seed=0)
    assert pd.Series(fold).groupby(codes).nunique().max() == 1
    for group in (w, ~w):
        counts = np.bincount(fold[group], minlength=5)
        assert counts.max() < 1.15 * counts.min()


def test_seed_decides(data, found):
    assert aipw_effect(*data)["ATE"] == found["ATE"]
    assert aipw_effect(*data, seed=1)["ATE"].value != found["ATE"].value
    assert aipw_effect(*data, seed=1)["ATE"].value == pytest.approx(found["ATE"].value, abs=found["ATE"].se)


@pytest.mark.parametrize("transform", ["shift", "swap"])
def test_invariances(data, found, transform):
    w, rewards, features = data
    other = aipw_effect(w, rewards + 1e4, features) if transform == "shift" else aipw_effect(~w, rewards, features)
    sign = 1 if transform == "shift" else -1
    for name, partner in (("ATE", "ATE"), ("ATT", "ATU" if transform == "swap" else "ATT")):
        assert other[partner].value == pytest.approx(sign * found[name].value, abs=0.1 * found[name].se)
        assert other[partner].se == pytest.approx(found[name].se, rel=0.05)


def test_clusters_stay_in_a_fold_and_widen_the_interval(data, found):
    w, rewards, features = data
    twice = np.repeat(np.arange(len(w)), 2)
    copied = aipw_effect(w[twice], rewards[twice], features[twice], clusters=twice)
    naive = aipw_effect(w[twice], rewards[twice], features[twice])
    assert copied["ATE"].se == pytest.approx(found["ATE"].se, rel=0.05)
    assert naive["ATE"].se < 0.8 * copied["ATE"].se


def test_extreme_propensities_are_counted_and_trimmed_on_request_only(caplog):
    w, rewards, features = confounded(slope=4.0)
    whole = aipw_effect(w, rewards, features)
    assert whole.extreme > 100 and whole.trimmed == 0 and "few counterparts" in caplog.text
    trimmed = aipw_effect(w, rewards, features, trim=0.05)
    assert trimmed.trimmed > 100 and trimmed.extreme == 0 and trimmed["ATE"].n == 1500 - trimmed.trimmed
    assert trimmed["ATE"].se < whole["ATE"].se
    assert whole.effective_rows["w=1"] < w.sum() / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": np.ones(1500)}, "0 independent rows have w = 0"),
        ({"w": np.full(1500, 2)}, "'w' must be 1"),
        ({"rewards": np.full(1500, np.nan)}, "not finite"),
        ({"rewards": np.zeros(3)}, "one value per row"),
        ({"features": np.zeros((3, 2))}, "features must have a row for each of the 1500"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"trim": 0.7}, "trim must lie"),
        ({"clusters": np.zeros(1500)}, "1 independent rows"),
        ({"trim": 0.49, "features": "w"}, "do not overlap"),
        ({"propensity_model": LogisticRegression(C=1e9, max_iter=5000), "features": "w"}, "propensity of 0 or 1"),
    ],
)
def test_bad_input(data, change, message):
    arguments = dict(zip(("w", "rewards", "features"), data, strict=True)) | change
    if isinstance(arguments["features"], str):  # features that give the attribute away
        arguments["features"] = 1e3 * data[0].astype(float)
    with pytest.raises(ValueError, match=message):
        aipw_effect(**arguments)


@pytest.mark.slow
def test_coverage():
    inside = {"ATE": 0, "ATT": 0}
    for seed in range(200):
        w, rewards, features = confounded(400, seed)
        effects = aipw_effect(w, rewards, features)
        # E x given w = 1 by integration over the logistic propensity
        for name, truth in (("ATE", 0.5), ("ATT", 0.5 + 0.3 * 0.41324)):
            inside[name] += effects[name].ci_low <= truth <= effects[name].ci_high
    assert all(0.91 <= count / 200 <= 0.985 for count in inside.values())

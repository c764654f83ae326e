import json
import logging

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from trl_ext.arena import FittedRatings, check_battles, fit_ratings, read_leaderboard, simulate_battles, write_ratings
from trl_ext.arena.ratings.battles import style_features


TRUTH = {"a": 1120, "b": 1060, "c": 1000, "d": 940, "e": 880}
STYLE = {model: (200 + 100 * row, 1 + row, 2, 3) for row, model in enumerate(TRUTH)}
POINTS = 400 / np.log(10)


@pytest.fixture(scope="module")
def battles():
    return simulate_battles(TRUTH, 1500, tie_rate=0.3, style=STYLE, style_effects={"tokens": 0.8}, seed=3)


@pytest.fixture(scope="module")
def golden(request):
    shared = request.getfixturevalue("shared_dir")
    content = json.loads((shared / "golden" / "charm.json").read_text())["ratings"]
    columns = ["model_a", "model_b", "winner", "style_a", "style_b"]
    return content, pd.DataFrame(content["battles"], columns=columns)


def largest_difference(ratings, expected):
    assert set(ratings.models) == set(expected)
    return max(abs(ratings.of([model])[0] - value) for model, value in expected.items())


def of_pair(*winners):
    return pd.DataFrame({"model_a": "x", "model_b": "y", "winner": winners})


class TestGolden:
    def test_bradley_terry(self, golden):
        content, table = golden
        assert largest_difference(fit_ratings(table), content["fastchat_bt"]) < 1e-3
        centred = fit_ratings(table, initial=0)
        assert largest_difference(centred, content["fastchat_bt_centred"]) < 1e-3
        # two programs that iterate to the end
        assert largest_difference(centred, content["evalica_bt_400log10_centred"]) < 1e-9
        assert largest_difference(centred, content["choix_ilsr_centred"]) < 1e-9

    def test_sequential_elo(self, golden):
        content, table = golden
        assert largest_difference(fit_ratings(table, "elo"), content["fastchat_elo_k4"]) < 1e-9
        assert largest_difference(fit_ratings(table, "elo"), content["evalica_elo_k4"]) < 1e-9

    def test_style_control(self, golden):
        content, table = golden
        expected = content["fastchat_style_control"]
        ratings = fit_ratings(table, "style_controlled", ridge=expected["reg"])
        assert largest_difference(ratings, expected["ratings"]) < 1e-3
        effects = [ratings.style[name].value for name in ("tokens", "headers", "lists", "bold")]
        np.testing.assert_allclose(effects, expected["coefs_[length,header,list,bold]"], atol=5e-6)

    def test_what_remains_is_where_the_original_stops(self, golden):
        # its optimiser, L-BFGS-B, gives up once a step improves the loss by less than 2.2e-9 of it; ours goes on
        content, table = golden
        expected = content["fastchat_style_control"]["ratings"]
        table = check_battles(table)
        models = sorted(expected)
        first, second = (table[column].map(models.index).to_numpy() for column in ("model_a", "model_b"))
        scores = table["winner"].map({"model_a": 1, "model_b": 0}).fillna(0.5).to_numpy()
        _, features = style_features(table)
        design = np.hstack([np.log(10) * (np.eye(len(models))[first] - np.eye(len(models))[second]), features])

        def loss(parameters):
            logits = design @ parameters
            value = np.sum(np.logaddexp(0, logits) - scores * logits) + 0.25 * parameters @ parameters
            return value, design.T @ (expit(logits) - scores) + 0.5 * parameters

        start = np.zeros(design.shape[1])
        stopped = minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "maxiter": 100}).x
        theirs = np.array([expected[model] for model in models])
        np.testing.assert_allclose(400 * stopped[: len(models)] + 1000, theirs, atol=1e-6)
        ours = fit_ratings(table, "style_controlled").of(models)
        assert loss(np.append((ours - 1000) / 400, stopped[len(models) :]))[0] < loss(stopped)[0]

    def test_sandwich_intervals(self, golden):
        content, table = golden
        expected = content["arena_rank_bt"]
        fitted = fit_ratings(table).select(sorted(expected["ratings"])).table
        for column, key in (("rating", "ratings"), ("rating_low", "lower"), ("rating_high", "upper")):
            # arena-rank adds 1e-5 times the number of battles to the diagonal of the information: 1e-4 of the width
            theirs = [expected[key][model] for model in fitted["model"]]
            np.testing.assert_allclose(fitted[column], theirs, atol=0.005)


class TestBradleyTerry:
    def test_by_hand(self):
        # x scores 60 + 20/2 = 70 of 100: odds 7/3, 400·log10(7/3) = 147.19 points
        ratings = fit_ratings(of_pair(*["model_a"] * 60, *["tie"] * 20, *["model_b"] * 20), anchor=("y", 1000))
        assert ratings.of(["x"])[0] == pytest.approx(1147.19, abs=0.005)
        # residuals .3, -.2, -.7: sum of squares 60·.09 + 20·.04 + 20·.49 = 16; information 100·.21 = 21; se 4/21 nat
        row = ratings.table.set_index("model").loc["x"]
        assert row["rating_high"] - row["rating"] == pytest.approx(1.959964 * 4 / 21 * POINTS, abs=1e-4)
        assert ratings.standard_errors(["y"]) == [0]

    @given(seed=st.integers(0, 10_000), ties=st.floats(0, 0.5))
    @settings(max_examples=6)
    def test_expected_scores_equal_scores_and_order_does_not_matter(self, seed, ties):
        table = simulate_battles(TRUTH, 400, tie_rate=ties, seed=seed)
        ratings = fit_ratings(table)
        assert ratings.table["rating"].mean() == pytest.approx(1000)
        expected = expit((ratings.of(table["model_a"]) - ratings.of(table["model_b"])) / POINTS)
        scores = table["winner"].map({"model_a": 1.0, "tie": 0.5, "model_b": 0.0})
        difference = (
            (scores - expected)
            .groupby(table["model_a"])
            .sum()
            .sub((scores - expected).groupby(table["model_b"]).sum())
        )
        np.testing.assert_allclose(difference, 0, atol=1e-7)
        # rows shuffled, and half of them told from the other side
        flipped = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        half = flipped.index < 200
        other = {"model_a": "model_b", "model_b": "model_a", "tie": "tie"}
        flipped.loc[half, ["model_a", "model_b"]] = flipped.loc[half, ["model_b", "model_a"]].to_numpy()
        flipped.loc[half, "winner"] = flipped.loc[half, "winner"].map(other)
        again = fit_ratings(flipped).select(ratings.models)
        np.testing.assert_allclose(again.of(ratings.models), ratings.of(ratings.models), atol=1e-7)
        np.testing.assert_allclose(again.covariance, ratings.covariance, atol=1e-6)

    def test_like_evalica(self, battles):
        winners = battles["winner"].map(
            {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}
        )
        bt = evalica.bradley_terry(
            battles["model_a"], battles["model_b"], winners, tolerance=1e-12, limit=100_000
        ).scores
        theirs = 400 * np.log10(bt)
        ours = fit_ratings(battles, initial=0)
        np.testing.assert_allclose(ours.of(theirs.index), theirs - theirs.mean(), atol=1e-3)
        elo = evalica.elo(battles["model_a"], battles["model_b"], winners, k=32).scores
        np.testing.assert_allclose(fit_ratings(battles, "elo", k=32).of(elo.index), elo, atol=1e-9)

    def test_many_equal_battles(self):
        # equal battles are counted, not repeated; and far-apart models do not trip Newton's method
        table = of_pair("model_a", *["model_b"] * 20)
        many = pd.concat([table] * 2_000, ignore_index=True)
        assert fit_ratings(many).of(["y", "x"]) == pytest.approx(
            [1000 + 200 * np.log10(20), 1000 - 200 * np.log10(20)]
        )
        assert fit_ratings(many).standard_errors(["x"]) == pytest.approx(
            fit_ratings(table).standard_errors(["x"]) / np.sqrt(2000)
        )

    def test_weights_of_extremes(self):
        table = of_pair("model_a", *["model_b"] * 99_999)
        assert fit_ratings(table, anchor=("x", 0)).of(["y"])[0] == pytest.approx(400 * np.log10(99_999))


class TestStyleControl:
    def test_finds_the_effect_and_the_ratings_at_equal_style(self):
        table = simulate_battles(TRUTH, 20_000, tie_rate=0.3, style=STYLE, style_effects={"tokens": 1.5}, seed=1)
        ratings = fit_ratings(table, "style_controlled")
        assert isinstance(ratings, FittedRatings) and ratings.n_battles == 20_000
        # the effect is per unit of (a - b)/(a + b + 1), the coefficient per standard deviation of it
        tokens = table["tokens_a"] - table["tokens_b"]
        spread = (tokens / (table["tokens_a"] + table["tokens_b"] + 1)).std(ddof=0)
        assert ratings.style["tokens"].ci_low < 1.5 * spread < ratings.style["tokens"].ci_high
        assert all(
            ratings.style[name].ci_low < 0 < ratings.style[name].ci_high for name in ("headers", "lists", "bold")
        )
        gaps = ratings.of(["a", "b", "c", "d"]) - ratings.of(["e"])
        assert gaps == pytest.approx([240, 180, 120, 60], abs=25)
        plain = fit_ratings(table)  # "e" writes longest, and is paid for it
        assert plain.of(["a"])[0] - plain.of(["e"])[0] < 200
        assert ratings.table["style_control"].all() and not plain.table["style_control"].any()

    def test_sides_may_be_exchanged(self, battles):
        other = {"model_a": "model_b", "model_b": "model_a", "tie": "tie"}
        names = {
            f"{c}_{s}": f"{c}_{t}" for c in ("model", "tokens", "headers", "lists", "bold") for s, t in ("ab", "ba")
        }
        exchanged = battles.rename(columns=names).assign(winner=battles["winner"].map(other))
        first, second = (fit_ratings(table, "style_controlled") for table in (battles, exchanged))
        np.testing.assert_allclose(second.of(first.models), first.of(first.models), atol=1e-7)
        assert second.style["tokens"].value == pytest.approx(first.style["tokens"].value)

    def test_without_ridge_the_gradient_vanishes(self, battles):
        ratings = fit_ratings(battles, "style_controlled", ridge=0)
        names, features = style_features(check_battles(battles))
        logits = (ratings.of(battles["model_a"]) - ratings.of(battles["model_b"])) / POINTS
        logits = logits + features @ [ratings.style[name].value for name in names]
        scores = battles["winner"].map({"model_a": 1.0, "tie": 0.5, "model_b": 0.0})
        np.testing.assert_allclose(features.T @ (scores - expit(logits)), 0, atol=1e-6)

    def test_ridge_keeps_an_unbeaten_model_finite_and_says_so(self, caplog):
        table = simulate_battles({"a": 1000, "b": 1000}, 40, style={"a": (9, 9, 9, 9), "b": (9, 9, 9, 9)}).assign(
            winner=lambda t: ["model_a" if model == "a" else "model_b" for model in t["model_a"]]
        )
        with caplog.at_level(logging.WARNING):
            assert np.isfinite(fit_ratings(table, "style_controlled").table["rating"]).all()
        assert "Only the ridge keeps these ratings finite" in caplog.text


class TestUncertainty:
    def test_bootstrap_is_like_the_sandwich(self, battles):
        sandwich = fit_ratings(battles, "style_controlled")
        drawn = fit_ratings(battles, "style_controlled", intervals="bootstrap", bootstrap=200, seed=1)
        np.testing.assert_allclose(
            drawn.standard_errors(sandwich.models), sandwich.standard_errors(sandwich.models), rtol=0.2
        )
        assert drawn.style["tokens"].se == pytest.approx(sandwich.style["tokens"].se, rel=0.2)
        again = fit_ratings(battles, "style_controlled", intervals="bootstrap", bootstrap=200, seed=1)
        pd.testing.assert_frame_equal(drawn.table, again.table)
        assert "bootstrap intervals (0.95 level, 200 resamples, seed 1)" in drawn.method

    def test_an_anchor_moves_the_uncertainty_to_the_others(self, battles):
        free, fixed = fit_ratings(battles), fit_ratings(battles, anchor=("c", 1114))
        assert fixed.of(["c"]) == [1114] and fixed.standard_errors(["c"]) == pytest.approx(0, abs=1e-6)
        for pair in (("a", "b"), ("a", "c")):
            assert free.win_probability(*pair) == pytest.approx(fixed.win_probability(*pair))
            variances = [r.covariance_of(pair) @ [1, -1] @ [1, -1] for r in (free, fixed)]  # of the difference
            assert variances[0] == pytest.approx(variances[1])

    def test_copies_of_a_battle_in_one_cluster_add_nothing(self, battles):
        # CR1: C/(C - 1) times the sandwich of the C battles
        copies = pd.concat([battles] * 3).assign(judge=np.tile(np.arange(len(battles)), 3))
        once, clustered = fit_ratings(battles), fit_ratings(copies, clusters="judge")
        factor = len(battles) / (len(battles) - 1)
        np.testing.assert_allclose(clustered.covariance, once.covariance * factor, rtol=1e-6)
        assert "1500 clusters" in clustered.method
        naive = fit_ratings(copies)
        np.testing.assert_allclose(naive.covariance * 3, once.covariance, rtol=1e-6)
        drawn = fit_ratings(copies, clusters=copies["judge"], intervals="bootstrap", bootstrap=100)
        np.testing.assert_allclose(drawn.standard_errors(["a", "e"]), once.standard_errors(["a", "e"]), rtol=0.3)

    def test_elo_has_bootstrap_intervals_only(self, battles):
        ratings = fit_ratings(battles, "elo", intervals="bootstrap", bootstrap=50)
        assert (ratings.table["rating_low"] < ratings.table["rating_high"]).all()
        assert fit_ratings(battles, "elo").table["rating_low"].isna().all()
        assert fit_ratings(battles, intervals=None).covariance is None

    def test_round_trip(self, battles, tmp_path):
        ratings = fit_ratings(battles)
        write_ratings(ratings, tmp_path / "ratings.csv")
        again = read_leaderboard(tmp_path / "ratings.csv")
        assert (again.covariance == ratings.covariance).all() and again.method == ratings.method

    @pytest.mark.slow
    @pytest.mark.parametrize("intervals, repeats", [("sandwich", 600), ("bootstrap", 100)])
    def test_coverage(self, intervals, repeats):
        models, truth = list(TRUTH), np.array(list(TRUTH.values()))
        covered = []
        for seed in range(repeats):
            table = simulate_battles(TRUTH, 400, tie_rate=0.3, seed=seed)
            found = fit_ratings(table, intervals=intervals, bootstrap=150).select(models).table
            covered.append((found["rating_low"] <= truth) & (truth <= found["rating_high"]))
        # standard error of the share: at most sqrt(.95·.05/repeats), .022 for 100, if models were all alike
        assert np.mean(covered) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / repeats))


BATTLE = {"model_a": "x", "model_b": "y", "winner": "tie", "tokens_a": 3, "tokens_b": 1}
LOOP = [("a", "b"), ("b", "c"), ("c", "a")]


def made(pairs, **columns):
    return pd.DataFrame(pairs, columns=["model_a", "model_b"]).assign(winner="model_a", **columns)


class TestBadInput:
    @pytest.mark.parametrize(
        "table, message",
        [
            (made([("a", "b"), ("a", "c"), ("b", "c"), ("c", "b")]), "'a' won every battle against others"),
            (made([("a", "b"), ("b", "a"), ("b", "c"), ("a", "c")]), "'c' lost every battle against others"),
            (made([*LOOP, *[(p.upper(), q.upper()) for p, q in LOOP]]), r"2 groups.*'A', 'B', 'C'; 'a', 'b', 'c'"),
            (made([("a", "b")]), "'a' won every battle against others; 'b' lost every battle"),
        ],
    )
    def test_no_finite_ratings(self, table, message):
        with pytest.raises(ValueError, match=message):
            fit_ratings(table)

    def test_resamples_without_finite_ratings(self):
        with pytest.raises(ValueError, match=r'resample \d+ of 100 can\'t be rated, so use intervals="sandwich"'):
            fit_ratings(made([*LOOP]), intervals="bootstrap", bootstrap=100)

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"method": "glicko"}, "method must be one of 'bradley_terry', 'style_controlled', 'elo', got 'glicko'"),
            ({"intervals": "wald"}, "intervals must be one of .*'sandwich'"),
            ({"method": "elo", "intervals": "sandwich"}, "no sandwich intervals"),
            ({"method": "elo", "clusters": [0, 0, 1]}, "clusters need method="),
            ({"method": "elo", "k": 0}, "k must be above 0"),
            ({"ridge": -1}, "ridge must be 0 or more"),
            ({"level": 1.0}, "level must be strictly between 0 and 1"),
            ({"bootstrap": 1}, "bootstrap must be a whole number of 2 or more"),
            ({"initial": np.nan}, "initial must be finite"),
            ({"anchor": ("z", 1000)}, "anchor 'z' has no battles; the models are 'a', 'b', 'c'"),
            ({"anchor": ("a", np.inf)}, "rating of anchor 'a' must be a finite number"),
            ({"anchor": "a"}, "anchor must be a model and its rating"),
            ({"clusters": [0, 1]}, r"one label per battle, shape \(3,\), got 2"),
            ({"clusters": [0, None, 1]}, "1 missing labels; first: row 1"),
            ({"clusters": [7, 7, 7]}, "all battles are in one cluster, '7'"),
            ({"clusters": "judge"}, "no column 'judge'"),
            ({"method": "style_controlled"}, "style control needs the style of the answers"),
        ],
    )
    def test_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            fit_ratings(made(LOOP), **options)

    def test_a_style_that_never_differs(self):
        with pytest.raises(ValueError, match="style feature 'bold' differs equally in all 3 battles"):
            fit_ratings(made(LOOP, tokens_a=[1, 2, 3], tokens_b=5, bold_a=1, bold_b=1), "style_controlled")

    def test_a_style_that_tells_all_winners(self):
        table = made([*LOOP, *LOOP], tokens_a=[9, 8, 9, 1, 2, 1], tokens_b=[1, 2, 1, 9, 7, 8])
        table.loc[3:, "winner"] = "model_b"
        assert np.isfinite(fit_ratings(table, "style_controlled").style["tokens"].value)
        with pytest.raises(ValueError, match="do not determine the effects of style"):
            fit_ratings(table, "style_controlled", ridge=0)

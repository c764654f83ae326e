"""The toy of calibration: its world is what it says, and the methods come out in their order."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.calibration_toy import ALL_PAIRS, METHODS, measure, run, summary
from benchmarks.calibration_toy_world import MODELS, ToyWorld


FAST_METHODS = (
    "hard flips, exact offset, 1 pair",
    "soft labels, exact offset, 1 pair",
    "hard flips, original's offsets, best and worst of 7",
    "constant label, 1 pair",
    "matching + anchor, 1 pair",
)


@pytest.fixture(scope="module")
def figures():
    return run(0, FAST_METHODS).set_index("method")


class TestWorld:
    def test_models_truly_win_as_often_as_their_ratings_say(self):
        world = ToyWorld(seed=0)
        quality = world.responses(20_000).quality.numpy()
        expected = world.ratings.win_probabilities(MODELS)
        for a, b in ALL_PAIRS:  # standard error .0035
            assert (quality[:, a] > quality[:, b]).mean() == pytest.approx(expected[a, b], abs=0.015)

    def test_the_reward_model_is_misled_by_style(self, figures):
        raw = figures.loc["raw"]
        assert raw["pair_mismatch"] > 0.5 and raw["mean_mismatch"] > 0.2
        assert 0.7 < raw["accuracy"] < 0.82

    def test_a_seed_is_one_world(self):
        first, second, other = (ToyWorld(seed).responses(5).features for seed in (3, 3, 4))
        assert first.equal(second) and not first.equal(other)


class TestMethods:
    def test_the_anchored_matching_beats_the_labels(self, figures):
        accuracy = figures["accuracy"]
        assert accuracy["matching + anchor, 1 pair"] > accuracy["soft labels, exact offset, 1 pair"]
        assert accuracy["matching + anchor, 1 pair"] > accuracy["hard flips, exact offset, 1 pair"]
        assert 0.85 < accuracy["hard flips, original's offsets, best and worst of 7"] < 0.93
        assert accuracy[list(FAST_METHODS[:2])].min() > accuracy["raw"] + 0.05
        assert figures["mean_mismatch"]["matching + anchor, 1 pair"] < 0.06

    def test_a_constant_label_destroys_the_reward_model(self, figures):
        assert figures["accuracy"]["constant label, 1 pair"] < 0.6 < figures["accuracy"]["raw"]

    @pytest.mark.slow
    def test_the_order_of_all_methods(self):
        rows = pd.concat([run(seed) for seed in range(3)])
        figures = rows.groupby("method").mean()
        accuracy = figures["accuracy"]
        best = accuracy["matching + anchor, 21 pairs"]
        soft = accuracy[[name for name in METHODS if name.startswith("soft")]].max()
        assert best >= soft
        for offset in ("original's", "exact"):  # of one pair: with joint offsets they are alike
            labels = [f"{kind}, {offset} offset, 1 pair" for kind in ("soft labels", "hard flips")]
            assert accuracy[labels[0]] > accuracy[labels[1]]
        assert figures["mean_mismatch"]["matching + anchor, 21 pairs"] <= 0.06
        assert accuracy[[name for name in METHODS if name.startswith("constant")]].max() < accuracy["raw"]
        assert len(summary(rows)) == len(METHODS) + 2

    def test_measures_of_the_truth_and_of_its_opposite(self):
        quality = np.random.default_rng(0).normal(size=(50, len(MODELS)))
        expected = np.full((len(MODELS), len(MODELS)), 0.5)
        assert measure(quality, quality, expected)["accuracy"] == 1
        assert measure(-quality, quality, expected)["accuracy"] == 0

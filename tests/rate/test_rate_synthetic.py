"""Synthetic experiments: RATE does not follow what naive effects follow; an imperfect rewriter biases it as it must."""

import numpy as np
import pandas as pd
import pytest

from tasks.rate.synthetic_data import load_levels
from trl_ext.rate import EXPERIMENTS, FaultyRewriter, rule_rewriter, sweep_effects, synthetic_experiment


RATE, SINGLE, NAIVE = "ATE_rewritten_rewrite", "ATE_single_rewrite", "naive_effect"


def values(sweep, estimator) -> np.ndarray:
    return sweep.table.loc[sweep.table["estimator"] == estimator, "value"].to_numpy()


@pytest.fixture(scope="module")
def typos():
    """Perfect repair, and one in which two of five typos stay."""
    options = {"levels": (0, 30), "progress": False}
    sizes = {1.0: 700, 0.6: 400}
    found = {repair: synthetic_experiment("typos", n=n, repair_typos=repair, **options) for repair, n in sizes.items()}
    return {repair: sweep_effects(rewards, normalised=False) for repair, rewards in found.items()}


class TestTypos:
    def test_perfect_repair(self, typos):
        sweep = typos[1.0]
        assert np.array_equal(values(sweep, RATE), np.zeros(2))
        assert values(sweep, NAIVE)[-1] < -1 and (np.diff(values(sweep, NAIVE)) < 0).all()
        assert -0.6 < values(sweep, SINGLE)[-1] < -0.3
        assert sweep.slopes[NAIVE].ci_high < 0 and sweep.slopes[SINGLE].ci_high < 0 and sweep.slopes[RATE].value == 0

    def test_imperfect_repair_biases_rate_upwards(self, typos):
        """Rewrites that keep a share c of typos t: RATE of a text with them is off by -4 (c² t - c t) = 4 c (1 - c) t."""
        sweep = typos[0.6]
        assert values(sweep, RATE)[0] == 0 and sweep.slopes[RATE].ci_low > 0
        # with 39 % of texts treated, and 4 t as the naive effect has it
        expected = 0.4 * 0.6 * 0.39 * -(values(sweep, NAIVE)[-1] - values(sweep, NAIVE)[0])
        assert values(sweep, RATE)[-1] == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("name", "truth"), [("length_sentiment", 0.0), ("helpfulness_complexity", 1.0)])
def test_correlated_attributes(name, truth):
    rewards = synthetic_experiment(name, n=400, levels=(0, 5, 10), progress=False)
    assert list(rewards) == [0.0, 0.5, 1.0] and EXPERIMENTS[name].truth == truth
    sweep = sweep_effects(rewards, normalised=False)
    assert values(sweep, RATE) == pytest.approx([truth] * 3, abs=1e-5)
    assert sweep.slopes[NAIVE].ci_low > 0.5 and abs(sweep.slopes[RATE].value) < 1e-5
    # the same texts at several levels
    assert len(np.intersect1d(rewards[0.0].ids, rewards[1.0].ids)) > 50
    assert (rewards[0.0].clusters is not None) == (name == "helpfulness_complexity")


def test_own_rewriter_and_failed_rewrites(caplog):
    faulty = FaultyRewriter(rule_rewriter("vowel_start"), error=0.2)
    found = synthetic_experiment("typos", n=100, levels=(0, 10), rewriter=faulty, progress=False)
    # 64 % of chains of two rewrites are complete
    assert all(40 < len(rewards) < 85 for rewards in found.values())


@pytest.mark.parametrize(
    ("name", "levels", "message"),
    [
        ("typo", None, "there is no experiment 'typo'; there are typos, length_sentiment"),
        ("typos", (0, 130), r"must be a percentage in \[0, 100\], got 130"),
        ("length_sentiment", (0, 12), "whole number from 0 to 10, got 12"),
    ],
)
def test_bad_input(name, levels, message):
    with pytest.raises(ValueError, match=message):
        synthetic_experiment(name, n=60, levels=levels, progress=False)


@pytest.mark.parametrize(("level", "shown"), [(None, "nan"), ("0.0x", "'0.0x'")])
def test_levels_of_a_file_are_numbers(tmp_path, level, shown):
    columns = {"w": [1, 0] * 3, "original": 1.0, "rewrite": 0.0, "rewritten_rewrite": 1.0}
    pd.DataFrame({**columns, "level": [0, 0, level, 0, 1, 1]}).to_csv(tmp_path / "by_level.csv")
    with pytest.raises(
        ValueError, match=f"by_level.csv: column 'level' must be numbers; .* first: row 2, value .*{shown}"
    ):
        load_levels({"data": tmp_path / "by_level.csv", "second": None})

"""The interval of an exact offset covers the true one as often as it says."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import offset_estimate, solve_offset


@pytest.mark.parametrize(("expected", "se"), [(0.4187, 0.0), (0.1, 0.0), (0.4187, 0.03)])
def test_coverage(expected, se):
    generator = np.random.default_rng(0)
    truth, covered = math.sqrt(2) * norm.ppf(expected) - 1, 0
    for _ in range(500):
        overvalued, reference = generator.normal(size=(2, 200))
        estimated = expected + se * generator.normal()
        estimate = offset_estimate(overvalued + 1, reference, estimated, expected_win_rate_se=se)
        covered += estimate.ci_low <= truth <= estimate.ci_high
    # 500 draws: standard error 0.01; order statistics make it a little too wide
    assert 0.93 <= covered / 500 <= 0.99


def test_few_prompts_bound_nothing():
    estimate = offset_estimate([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], 0.5)
    assert (estimate.ci_low, estimate.ci_high) == (-math.inf, math.inf) and estimate.n == 3


def test_value_is_the_offset_of_the_same_ties():
    generator = np.random.default_rng(0)
    overvalued, reference = np.round(4 * generator.normal(size=(2, 120)) + [[5], [0]]) / 4
    solutions = [solve_offset(overvalued, reference, 0.42, ties=ties) for ties in ("loss", "half")]
    estimates = [offset_estimate(overvalued, reference, 0.42, ties=ties) for ties in ("loss", "half")]
    assert [estimate.value for estimate in estimates] == [solution.offset for solution in solutions]
    assert estimates[0].value != estimates[1].value


def test_interval_reaches_to_the_offset():
    estimate = offset_estimate(np.full(50, 1.0), np.zeros(50), 0.4)
    assert estimate.ci_low <= estimate.value < -1.0 == estimate.ci_high


@pytest.mark.parametrize(
    ("options", "message"),
    [({"level": 1.0}, "`level` must lie"), ({"expected_win_rate_se": -1.0}, "`expected_win_rate_se` must be finite")],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        offset_estimate([1.0, 2.0], [0.0, 1.0], 0.5, **options)


def test_docstring():
    assert failed_examples(offset_estimate) == 0

"""Corrected p-values are those of statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from trl_ext.evaluation.statistics import CORRECTIONS, adjust_p_values


@pytest.mark.parametrize("correction", CORRECTIONS)
@settings(max_examples=8)  # each call of the peer collects garbage
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_agrees_with_statsmodels(correction, p_values):
    np.testing.assert_allclose(adjust_p_values(p_values, correction), multipletests(p_values, method=correction)[1])


def test_holm_by_hand():
    # sorted .01, .03, .04 times 3, 2, 1: .03, .06, .04, and never below the one before
    assert adjust_p_values([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize("p_values", [[0.1, np.nan], [1.1], [[0.1]]])
def test_no_p_values(p_values):
    with pytest.raises(ValueError, match="p_values must"):
        adjust_p_values(p_values)


def test_unknown_correction():
    with pytest.raises(ValueError, match="holm, fdr_bh"):
        adjust_p_values([0.1], "bonferroni")

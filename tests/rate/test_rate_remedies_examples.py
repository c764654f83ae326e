"""The examples in docstrings of remedies, contrasts and planning run and print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        *("compliance_correction", "feature_adjustment", "longer_chains", "off_target_sensitivity", "doubly_robust"),
        *("reward_model_contrasts", "effect_families", "detectable_effect", "sample_sizes"),
    ],
)
def test_examples(module):
    result = doctest.testmod(importlib.import_module(f"trl_ext.rate.{module}"))
    assert result.attempted > 0 and result.failed == 0

"""The examples in docstrings of remedies, contrasts and planning run and print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module",
    [
        *("remedies.compliance_correction", "remedies.feature_adjustment", "remedies.longer_chains"),
        *("remedies.off_target_sensitivity", "remedies.doubly_robust", "many_effects.reward_model_contrasts"),
        *("many_effects.effect_families", "power.detectable_effect", "power.sample_sizes"),
    ],
)
def test_examples(module):
    result = doctest.testmod(importlib.import_module(f"trl_ext.rate.{module}"))
    assert result.attempted > 0 and result.failed == 0

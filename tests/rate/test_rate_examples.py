"""The examples in docstrings of the estimators run and print what they say."""

import doctest

import pytest

from trl_ext.rate import (
    RewardProcess,
    combine_data_sets,
    correlated_counts,
    correlated_rows,
    estimate_effects,
    normalised_effects,
    paired_effects,
    simulate_rewards,
    sweep_effects,
    synthetic_experiment,
)


@pytest.mark.parametrize(
    "documented",
    [
        RewardProcess,
        combine_data_sets,
        correlated_counts,
        correlated_rows,
        estimate_effects,
        normalised_effects,
        paired_effects,
        simulate_rewards,
        sweep_effects,
        synthetic_experiment,
    ],
    ids=lambda documented: documented.__name__,
)
def test_docstring(documented):
    code = documented.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, {}, documented.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0

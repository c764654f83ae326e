"""What must hold for every reward difference up to 1e4 in float32 and every allowed weight."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import (
    BetaRAPLLoss,
    BradleyTerryLoss,
    EpsilonRAPLLoss,
    ForwardCorrectedLoss,
    MarginRAPLLoss,
    ScaledBradleyTerryLoss,
)


def floats(low, high):
    return st.floats(low, high, width=32)


differences = st.lists(floats(-1e4, 1e4), min_size=1, max_size=8)
probabilities = floats(0, 1)
# Large, yet the loss itself, 1e4 times as large, is a float32
nonnegative = floats(0, 2.0**100)
margins = floats(-(2.0**100), 2.0**100)

CASES = [
    pytest.param(BradleyTerryLoss(), "margin", margins, id="bradley_terry"),
    pytest.param(ScaledBradleyTerryLoss(), "margin", nonnegative, id="scaled_bradley_terry"),
    pytest.param(BetaRAPLLoss(), "beta", nonnegative, id="beta_rapl"),
    pytest.param(EpsilonRAPLLoss(), "p", probabilities, id="epsilon_rapl"),
    pytest.param(ForwardCorrectedLoss(), "eta", probabilities, id="forward_corrected"),
    pytest.param(MarginRAPLLoss(), "margin", margins, id="margin_rapl"),
]


def evaluate(loss, d, **columns):
    chosen = torch.tensor(d, requires_grad=True)
    values = loss(chosen, torch.zeros(len(d)), **{name: torch.full((len(d),), v) for name, v in columns.items()})
    (gradient,) = torch.autograd.grad(values.sum(), chosen)
    return values.detach(), gradient


@pytest.mark.parametrize(("loss", "column", "weights"), CASES)
@given(data=st.data(), d=differences)
def test_value_and_gradient_are_finite(loss, column, weights, data, d):
    values, gradient = evaluate(loss, d, **{column: data.draw(weights)})
    assert values.isfinite().all() and gradient.isfinite().all()
    assert (values >= 0).all()
    assert (gradient <= 0).all()


@pytest.mark.parametrize(("loss", "column", "weights"), CASES)
@given(data=st.data(), d=differences)
def test_never_increases_with_the_difference(loss, column, weights, data, d):
    values, _ = evaluate(loss, sorted(d), **{column: data.draw(weights)})
    # float32 may round two neighbours the wrong way round
    assert (values.diff() <= 1e-6 * values[:-1] + 1e-12).all()


@pytest.mark.parametrize(
    ("loss", "column"),
    [(EpsilonRAPLLoss(), {"p": 1.0}), (BetaRAPLLoss(), {"beta": 1.0}), (ScaledBradleyTerryLoss(), {"margin": 1.0})],
    ids=["epsilon_rapl", "beta_rapl", "scaled_bradley_terry"],
)
@given(d=differences)
def test_weight_one_is_bradley_terry(loss, column, d):
    for actual, expected in zip(evaluate(loss, d, **column), evaluate(BradleyTerryLoss(), d), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("loss", "column"),
    [(EpsilonRAPLLoss(), {"p": 0.0}), (BetaRAPLLoss(), {"beta": 0.0}), (ForwardCorrectedLoss(), {"eta": 0.0})],
    ids=["epsilon_rapl", "beta_rapl", "forward_corrected"],
)
@given(d=differences)
def test_weight_zero_is_a_constant(loss, column, d):
    values, gradient = evaluate(loss, d, **column)
    torch.testing.assert_close(values, torch.full_like(values, math.log(2)), rtol=1e-6, atol=0)
    assert (gradient == 0).all()


@given(d=differences, m=margins)
def test_the_margin_is_a_shift_of_the_difference(d, m):
    shifted = (torch.tensor(d) - torch.tensor(m)).tolist()
    for loss in (MarginRAPLLoss(), BradleyTerryLoss()):
        for actual, expected in zip(evaluate(loss, d, margin=m), evaluate(BradleyTerryLoss(), shifted), strict=True):
            assert torch.equal(actual, expected)


@given(d=differences, p=floats(0, 1).filter(lambda p: p < 1))
def test_epsilon_rapl_never_exceeds_a_contradicted_guess(d, p):
    values, _ = evaluate(EpsilonRAPLLoss(), d, p=p)
    assert (values <= -math.log((1 - p) / 2) + 1e-5).all()


@given(d=st.lists(floats(-10, 10), min_size=1, max_size=8), p=probabilities)
def test_epsilon_rapl_agrees_with_its_formula_in_higher_precision(d, p):
    # p sigma(d) + (1 - p) / 2 = (1 + p tanh(d / 2)) / 2, in float64 well conditioned up to |d| = 10
    values, gradient = evaluate(EpsilonRAPLLoss(), d, p=p)
    half = torch.tensor(d, dtype=torch.float64) / 2
    likelihood = (1 + p * half.tanh()) / 2
    torch.testing.assert_close(values.double(), -likelihood.log(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient.double(), -p / (4 * half.cosh() ** 2 * likelihood), rtol=1e-5, atol=1e-6)

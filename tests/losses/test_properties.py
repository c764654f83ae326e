"""What must hold for every reward difference up to 1e4 in float32, every allowed weight and every allowed label."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import (
    BetaRAPLLoss,
    BradleyTerryLoss,
    BradleyTerryTiesLoss,
    EpsilonRAPLLoss,
    FocalLoss,
    ForwardCorrectedLoss,
    HingeLoss,
    MarginRAPLLoss,
    OrdinalLoss,
    ScaledBradleyTerryLoss,
    SoftLabelLoss,
    SymmetricLoss,
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

FIVE_LEVELS = (0.0, 0.2, 0.5, 0.8, 1.0)
three_levels, five_levels = st.sampled_from((0.0, 0.5, 1.0)), st.sampled_from(FIVE_LEVELS)
LABEL_CASES = [
    pytest.param(SoftLabelLoss(), probabilities, id="soft_label"),
    pytest.param(SoftLabelLoss(temperature=8.0), probabilities, id="soft_label_temperature"),
    pytest.param(HingeLoss(), probabilities, id="hinge"),
    pytest.param(FocalLoss(), probabilities, id="focal"),
    pytest.param(FocalLoss(gamma=0.3), probabilities, id="focal_below_1"),
    pytest.param(SymmetricLoss(), probabilities, id="symmetric"),
    pytest.param(BradleyTerryTiesLoss(), three_levels, id="bradley_terry_ties"),
    pytest.param(BradleyTerryTiesLoss(theta=1e30), three_levels, id="bradley_terry_mostly_ties"),
    pytest.param(OrdinalLoss(), three_levels, id="ordinal_3"),
    pytest.param(OrdinalLoss(FIVE_LEVELS), five_levels, id="ordinal_5"),
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


@pytest.mark.parametrize(("loss", "labels"), LABEL_CASES)
@given(data=st.data(), d=differences)
def test_value_and_gradient_are_finite_for_every_label(loss, labels, data, d):
    values, gradient = evaluate(loss, d, label=data.draw(labels))
    assert values.isfinite().all() and gradient.isfinite().all()
    assert (values >= -1e-5).all()  # the rounding of the logarithm of a probability near one


@pytest.mark.parametrize(("loss", "labels"), LABEL_CASES)
@given(data=st.data(), d=differences)
def test_reversing_the_label_exchanges_the_responses(loss, labels, data, d):
    label = data.draw(labels)
    reverse = torch.tensor(1.0) - torch.tensor(label)
    label = (1 - reverse).item()  # a label whose reverse is a float32
    values, gradient = evaluate(loss, d, label=label)
    mirrored, opposite = evaluate(loss, [-x for x in d], label=reverse.item())
    torch.testing.assert_close(values, mirrored, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, -opposite, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("loss", "labels"), LABEL_CASES)
@given(d=differences)
def test_never_increases_with_the_difference_if_chosen_is_surely_better(loss, labels, d):
    values, gradient = evaluate(loss, sorted(d), label=1.0)
    assert (values.diff() <= 1e-6 * values[:-1].abs() + 1e-6).all()
    assert (gradient <= 0).all()


@pytest.mark.parametrize("loss", [HingeLoss(), FocalLoss(), SymmetricLoss()], ids=["hinge", "focal", "symmetric"])
@given(d=differences)
def test_the_label_is_one_if_left_out(loss, d):
    for actual, expected in zip(evaluate(loss, d), evaluate(loss, d, label=1.0), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("loss", "column"),
    [
        (EpsilonRAPLLoss(), {"p": 1.0}),
        (BetaRAPLLoss(), {"beta": 1.0}),
        (ScaledBradleyTerryLoss(), {"margin": 1.0}),
        (BradleyTerryTiesLoss(theta=1.0), {"label": 1.0}),
        (OrdinalLoss((0.0, 1.0)), {"label": 1.0}),
        (FocalLoss(gamma=0.0), {}),
        (SymmetricLoss(alpha=1.0, beta=0.0), {}),
    ],
    ids=["epsilon_rapl", "beta_rapl", "scaled_bradley_terry", "without_ties", "two_levels", "focal", "symmetric"],
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

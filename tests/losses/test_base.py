"""The contract every pairwise loss inherits: names, shapes, ranges and precision of its arguments."""

import doctest
import inspect
import textwrap

import pytest
import torch

from trl_ext import losses
from trl_ext.losses import BetaRAPLLoss, BradleyTerryLoss, EpsilonRAPLLoss, PairwiseLoss


LOSSES = [
    loss
    for name in losses.__all__
    if isinstance(loss := getattr(losses, name), type) and issubclass(loss, PairwiseLoss) and name != "PairwiseLoss"
]


def required_columns(loss, shape):
    return {name: torch.full(shape, 0.5) for name in loss.columns}


class TwoColumns(PairwiseLoss):
    columns = {"p": (0.0, 1.0)}
    optional_columns = {"label": (0.0, 1.0)}

    def forward(self, rewards_chosen, rewards_rejected, *, p, label=None):
        return p if label is None else p + label


@pytest.mark.parametrize("loss_class", LOSSES)
class TestEveryLoss:
    def test_one_value_per_pair(self, loss_class):
        loss = loss_class()
        assert loss(torch.randn(3), torch.randn(3), **required_columns(loss, (3,))).shape == (3,)

    def test_an_empty_batch_has_no_losses(self, loss_class):
        loss = loss_class()
        assert loss(torch.empty(0), torch.empty(0), **required_columns(loss, (0,))).shape == (0,)

    @pytest.mark.parametrize("shape", [(4, 1), (1, 4), ()])
    def test_refuses_other_shapes_of_rewards(self, loss_class, shape):
        loss = loss_class()
        rewards = torch.zeros(shape)
        with pytest.raises(ValueError, match=r"rewards_chosen.*\(B,\)"):
            loss(rewards, rewards, **required_columns(loss, (4,)))

    @pytest.mark.parametrize("shape", [(4, 1), (1,), (5,), ()])
    def test_refuses_rejected_rewards_that_would_broadcast(self, loss_class, shape):
        loss = loss_class()
        with pytest.raises(ValueError, match=r"rewards_rejected.*\(B,\) = \(4,\)"):
            loss(torch.zeros(4), torch.zeros(shape), **required_columns(loss, (4,)))

    @pytest.mark.parametrize("shape", [(4, 1), (1,), (5,), ()])
    def test_refuses_columns_that_would_broadcast(self, loss_class, shape):
        loss = loss_class()
        for name in [*loss.columns, *loss.optional_columns]:
            with pytest.raises(ValueError, match=rf"{name} .*\(B,\) = \(4,\)"):
                loss(torch.zeros(4), torch.zeros(4), **(required_columns(loss, (4,)) | {name: torch.full(shape, 0.5)}))

    def test_refuses_a_plain_number_as_column(self, loss_class):
        loss = loss_class()
        for name in [*loss.columns, *loss.optional_columns]:
            with pytest.raises(ValueError, match=rf"{name} .*\(B,\).*`float`"):
                loss(torch.zeros(4), torch.zeros(4), **(required_columns(loss, (4,)) | {name: 0.5}))

    def test_refuses_a_missing_column(self, loss_class):
        loss = loss_class()
        for name in loss.columns:
            with pytest.raises(ValueError, match=name):
                loss(torch.zeros(4), torch.zeros(4))
            with pytest.raises(ValueError, match=name):
                loss(torch.zeros(4), torch.zeros(4), **{name: None})

    def test_refuses_an_unknown_column(self, loss_class):
        with pytest.raises(TypeError, match="reliabilty"):
            loss_class()(torch.zeros(4), torch.zeros(4), reliabilty=torch.zeros(4))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_refuses_values_that_are_not_finite(self, loss_class, value):
        loss = loss_class()
        for name in [*loss.columns, *loss.optional_columns]:
            with pytest.raises(ValueError, match=rf"'{name}'.*1 values.*row 2, value {value:g}"):
                columns = required_columns(loss, (4,)) | {name: torch.tensor([0.5, 0.5, value, 0.5])}
                loss(torch.zeros(4), torch.zeros(4), **columns)

    @pytest.mark.parametrize(
        ("dtype", "computed_in"),
        [
            (torch.float16, torch.float32),
            (torch.bfloat16, torch.float32),
            (torch.float32, torch.float32),
            (torch.float64, torch.float64),
        ],
    )
    def test_computes_in_float32_at_least(self, loss_class, dtype, computed_in):
        loss = loss_class()
        chosen = torch.tensor([3.0, -1.0], dtype=dtype, requires_grad=True)
        rejected = torch.tensor([0.25, 2.5], dtype=dtype)
        values = loss(chosen, rejected, **required_columns(loss, (2,)))
        exact = loss(chosen.double(), rejected.double(), **required_columns(loss, (2,)))
        assert values.dtype == computed_in
        torch.testing.assert_close(values.double(), exact, rtol=1e-6, atol=0)
        assert torch.autograd.grad(values.sum(), chosen)[0].dtype == dtype

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
    def test_the_rewards_decide_the_precision(self, loss_class, dtype):
        loss = loss_class()
        columns = {name: torch.tensor([1, 1], dtype=dtype) for name in loss.columns}
        assert loss(torch.zeros(2), torch.zeros(2), **columns).dtype == torch.float32

    def test_says_how_to_cite_and_rebuild_it(self, loss_class):
        loss = loss_class()
        assert loss.citation.startswith("@") and loss.citation.count("{") == loss.citation.count("}")
        assert type(loss)(**loss.get_config_dict()).get_config_dict() == loss.get_config_dict()

    def test_the_docstring_example_runs(self, loss_class):
        documentation = inspect.getdoc(loss_class)
        for section in ("References:", "Requirements:", "Inputs:", "Relations:", "Example:"):
            assert section in documentation
        code = textwrap.dedent(documentation.split("```python\n")[1].split("```")[0])
        test = doctest.DocTestParser().get_doctest(code, {}, loss_class.__name__, None, None)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0


class TestPairwiseLoss:
    def test_has_no_formula_of_its_own(self):
        with pytest.raises(TypeError, match="abstract"):
            PairwiseLoss()

    def test_optional_columns_may_be_left_out_or_none(self):
        rewards, p = torch.zeros(2), torch.tensor([0.25, 0.5])
        assert torch.equal(TwoColumns()(rewards, rewards, p=p), p)
        assert torch.equal(TwoColumns()(rewards, rewards, p=p, label=None), p)
        assert torch.equal(TwoColumns()(rewards, rewards, p=p, label=p), 2 * p)

    def test_finds_the_bad_value_among_several_columns(self):
        rewards = torch.zeros(3)
        with pytest.raises(ValueError, match=r"'label' of TwoColumns has 2 values outside \[0, 1\]; first: row 1"):
            TwoColumns()(rewards, rewards, p=torch.ones(3), label=torch.tensor([0.5, -0.1, 1.1]))

    def test_names_range_row_and_value(self):
        rewards = torch.zeros(3)
        with pytest.raises(ValueError, match=r"'p' .* 1 values outside \[0, 1\]; first: row 1, value 1.2"):
            EpsilonRAPLLoss()(rewards, rewards, p=torch.tensor([1.0, 1.2, 0.0]))
        with pytest.raises(ValueError, match=r"'beta' .* outside \[0, inf\); first: row 2, value -0.5"):
            BetaRAPLLoss()(rewards, rewards, beta=torch.tensor([1.0, 0.0, -0.5]))
        with pytest.raises(ValueError, match=r"'margin' .* outside \(-inf, inf\); first: row 0, value nan"):
            BradleyTerryLoss()(rewards, rewards, margin=torch.tensor([float("nan"), 0.0, 0.0]))

    def test_refuses_a_column_that_overflows_the_precision_of_the_rewards(self):
        with pytest.raises(ValueError, match="value inf"):
            BetaRAPLLoss()(torch.zeros(1), torch.zeros(1), beta=torch.tensor([1e300], dtype=torch.float64))

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.losses import SoftLabelLoss, SymmetricLoss


def value_and_gradient(d, label, **settings):
    chosen = torch.tensor([d], requires_grad=True)
    loss = SymmetricLoss(**settings)(chosen, torch.tensor([0.0]), label=torch.tensor([label]))
    loss.sum().backward()
    return loss.item(), chosen.grad.item()


REVERSE = {"alpha": 0.0, "beta": 1.0}


class TestSymmetricLoss:
    def test_value_by_hand(self):
        # d = 2: s = 0.880797. Reverse term of label 1: -A (1 - s) = 4 * 0.119203 = 0.476812
        assert value_and_gradient(2.0, 1.0, **REVERSE)[0] == pytest.approx(0.476812, abs=1e-6)
        # of label 0.75: -0.880797 log 0.75 - 0.119203 log 0.25 = 0.253390 + 0.165250 = 0.418640
        assert value_and_gradient(2.0, 0.75, **REVERSE)[0] == pytest.approx(0.418640, abs=1e-5)
        # cross-entropy of label 1: 0.126928; 0.5 * 0.126928 + 2 * 0.476812 = 1.017088
        assert value_and_gradient(2.0, 1.0, alpha=0.5, beta=2.0)[0] == pytest.approx(1.017088, abs=1e-5)

    def test_gradient_by_hand(self):
        # A s (1 - s) = -4 * 0.880797 * 0.119203 = -0.419974
        assert value_and_gradient(2.0, 1.0, **REVERSE)[1] == pytest.approx(-0.419974, abs=1e-6)

    @given(d=st.floats(-1e4, 1e4, width=32), label=st.floats(0, 1, width=32), A=st.floats(-20, -0.1))
    def test_the_reverse_term_is_bounded(self, d, label, A):
        assert 0 <= value_and_gradient(d, label, **REVERSE, A=A)[0] <= -A * (1 + 1e-6)

    @given(d=st.floats(-1e4, 1e4, width=32), A=st.floats(-20, -0.1))
    def test_the_reverse_terms_of_both_labels_sum_to_a_constant(self, d, A):
        right, wrong = (value_and_gradient(d, label, **REVERSE, A=A)[0] for label in (1.0, 0.0))
        assert right + wrong == pytest.approx(-A, rel=1e-5)

    @given(d=st.floats(-20, 20, width=32), epsilon=st.floats(0, 0.49))
    def test_noise_scales_the_slope_of_the_reverse_term_and_moves_nothing(self, d, epsilon):
        (_, right), (_, wrong) = (value_and_gradient(d, label, **REVERSE) for label in (1.0, 0.0))
        assert (1 - epsilon) * right + epsilon * wrong == pytest.approx((1 - 2 * epsilon) * right, abs=1e-6)

    @given(d=st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=8), label=st.floats(0, 1, width=32))
    def test_without_the_reverse_term_it_is_cross_entropy(self, d, label):
        chosen, zeros, labels = torch.tensor(d), torch.zeros(len(d)), torch.full((len(d),), label)
        found = SymmetricLoss(alpha=1.0, beta=0.0)(chosen, zeros, label=labels)
        torch.testing.assert_close(found, SoftLabelLoss()(chosen, zeros, label=labels))

    def test_extremes_are_finite(self):
        # cross-entropy 0.5 * 1e4 + reverse term 4
        assert value_and_gradient(-1e4, 1.0, alpha=0.5) == (5004, -0.5)
        assert value_and_gradient(1e4, 1.0, alpha=0.5) == (0, 0)

    def test_a_wrong_label_pulls_a_confident_model_less_than_cross_entropy(self):
        # d = 10: cross-entropy pulls with s = 0.99995, this with 0.1 s + 4 s (1 - s) = 0.10018
        assert value_and_gradient(10.0, 0.0)[1] == pytest.approx(0.10018, abs=1e-4)

    @pytest.mark.parametrize(
        "settings", [{"alpha": -1.0}, {"beta": -1.0}, {"alpha": 0.0, "beta": 0.0}, {"alpha": float("nan")}]
    )
    def test_refuses_weights_that_are_none(self, settings):
        with pytest.raises(ValueError, match="`alpha` and `beta` must be in"):
            SymmetricLoss(**settings)

    @pytest.mark.parametrize("A", [0.0, 4.0, float("-inf"), float("nan")])
    def test_refuses_a_floor_that_is_not_negative(self, A):
        with pytest.raises(ValueError, match="`A` stands for log 0"):
            SymmetricLoss(A=A)

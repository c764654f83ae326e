"""Agreement with the numbers that the released RAPL code returns, and with exact arithmetic where it fails."""

import json
import math

import pytest
import torch

from trl_ext.losses import BetaRAPLLoss, BradleyTerryLoss, EpsilonRAPLLoss, MarginRAPLLoss


LOSSES = {"beta": BetaRAPLLoss(), "p": EpsilonRAPLLoss(), "margin": MarginRAPLLoss()}


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rapl_losses.json").read_text())


def evaluate(loss, chosen, rejected, dtype=torch.float64, **columns):
    """Values of the pairs, and gradients of their mean with respect to both rewards."""
    chosen = torch.tensor(chosen, dtype=dtype, requires_grad=True)
    rejected = torch.tensor(rejected, dtype=dtype, requires_grad=True)
    values = loss(chosen, rejected, **{name: torch.tensor(v, dtype=dtype) for name, v in columns.items()})
    values.mean().backward()
    return values.detach(), chosen.grad, rejected.grad


def assert_same(actual, expected, **tolerance):
    torch.testing.assert_close(
        actual, torch.as_tensor(expected, dtype=actual.dtype), **(tolerance or {"rtol": 0, "atol": 1e-9})
    )


def assert_case(result, case):
    values, grad_chosen, grad_rejected = result
    assert_same(values, case["loss_elementwise"])
    assert_same(values.mean(), case["loss_mean"])
    assert_same(grad_chosen, case["grad_chosen"])
    assert_same(grad_rejected, case["grad_rejected"])


class TestLossCases:
    def test_bradley_terry(self, golden):
        assert golden["loss_cases"]
        for case in golden["loss_cases"]:
            result = evaluate(BradleyTerryLoss(), case["rewards_chosen"], case["rewards_rejected"])
            assert_case(result, case["standard"])

    @pytest.mark.parametrize("converted", [False, True], ids=["raw", "converted"])
    @pytest.mark.parametrize("method", LOSSES)
    def test_rapl(self, golden, method, converted):
        for case in golden["loss_cases"]:
            (expected,) = (
                m
                for m in case["methods"]
                if m["rapl_method"] == method and m["is_rapl_score_correctness_prob"] == converted
            )
            column = {method: expected["weight_used"]}
            result = evaluate(LOSSES[method], case["rewards_chosen"], case["rewards_rejected"], **column)
            assert_case(result, expected)

    def test_every_method_is_covered(self, golden):
        for case in golden["loss_cases"]:
            assert {m["rapl_method"] for m in case["methods"]} == set(LOSSES)
            assert len(case["methods"]) == 2 * len(LOSSES)


@pytest.mark.parametrize("method", LOSSES)
class TestEdgeGrid:
    def rows(self, golden, method):
        low, high = LOSSES[method].columns[method]
        rows = [row for row in golden["edge_grid"][method] if low <= row["w"] <= high]
        assert rows
        return rows, [row["d"] for row in rows], [0.0] * len(rows), {method: [row["w"] for row in rows]}

    def test_is_exact_in_float64(self, golden, method):
        rows, d, zeros, column = self.rows(golden, method)
        values, gradient, _ = evaluate(LOSSES[method], d, zeros, **column)
        # The golden losses carry 60 decimals: below 1e-60 they are 0, also where the loss is e^-150.
        assert_same(values, [row["exact_loss"] for row in rows], rtol=1e-14, atol=1e-60)
        # An argument of 700 in an exponential costs 700 units in the last place
        assert_same(gradient * len(rows), [row["exact_grad_d"] for row in rows], rtol=1e-13, atol=1e-300)

    def test_is_finite_and_close_in_float32(self, golden, method):
        rows, d, zeros, column = self.rows(golden, method)
        values, gradient, _ = evaluate(LOSSES[method], d, zeros, dtype=torch.float32, **column)
        assert values.isfinite().all() and gradient.isfinite().all()
        # p = 0.9999999 has a complement of 1.2e-7 in float32, not 1e-7: the likelihood asked for is another one
        same = torch.tensor([row["w"] != 0.9999999 for row in rows])
        exact = [[row[name] for row in rows] for name in ("exact_loss", "exact_grad_d")]
        assert_same(values[same], torch.tensor(exact[0])[same], rtol=1e-6, atol=1e-30)
        assert_same((gradient * len(rows))[same], torch.tensor(exact[1])[same], rtol=1e-5, atol=1e-30)

    def test_is_right_where_the_original_is_not_finite(self, golden, method):
        rows, d, zeros, column = self.rows(golden, method)
        broken = torch.tensor([not all(math.isfinite(float(row[k])) for k in ("loss", "grad_d")) for row in rows])
        assert broken.any() == (method == "p")
        values, gradient, _ = evaluate(LOSSES[method], d, zeros, **column)
        assert values[broken].isfinite().all() and gradient[broken].isfinite().all()


@pytest.mark.parametrize("method", LOSSES)
class TestBroadcastAsTrained:
    """The original multiplies (B, 1) rewards by (B,) weights while training: each pair gets its neighbours' weights."""

    def test_batches_are_elementwise(self, golden, method):
        cases = golden["broadcast_as_trained"]["cases"]
        assert {case["B"] for case in cases} >= {1, 4}
        for case in cases:
            chosen, rejected = (
                [reward for (reward,) in case[f"rewards_{side}_shape_B_1"]] for side in ("chosen", "rejected")
            )
            values, gradient, _ = evaluate(LOSSES[method], chosen, rejected, **{method: case[method]})
            assert_same(values.mean(), case[f"{method}_elementwise"])
            assert_same(gradient, case[f"{method}_elementwise_grad_chosen"])
            if case["B"] > 1:
                assert abs(values.mean().item() - case[f"{method}_as_trained"]) > 1e-3
            # A pair's loss does not depend on its batch: any two of the pairs have the same gradients
            for i in range(case["B"] - 1):
                pair = slice(i, i + 2)
                _, of_two, _ = evaluate(LOSSES[method], chosen[pair], rejected[pair], **{method: case[method][pair]})
                assert_same(of_two * 2, (gradient * case["B"])[pair])

    def test_column_shaped_rewards_are_refused(self, golden, method):
        for case in golden["broadcast_as_trained"]["cases"]:
            chosen, rejected = case["rewards_chosen_shape_B_1"], case["rewards_rejected_shape_B_1"]
            with pytest.raises(ValueError, match=r"rewards_chosen.*\(B,\)"):
                evaluate(LOSSES[method], chosen, rejected, **{method: case[method]})

    def test_column_shaped_weights_are_refused(self, golden, method):
        for case in golden["broadcast_as_trained"]["cases"]:
            rewards = [0.0] * case["B"]
            with pytest.raises(ValueError, match=rf"{method} .*\(B,\)"):
                evaluate(LOSSES[method], rewards, rewards, **{method: [[w] for w in case[method]]})

import doctest
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.reliability import (
    conversions,
    flip_mask,
    reliability_to_beta,
    reliability_to_label,
    reliability_to_margin,
    reliability_to_p,
)


CONVERSIONS = {"beta": reliability_to_beta, "p": reliability_to_p, "margin": reliability_to_margin}
EVERY = [*CONVERSIONS.values(), reliability_to_label]  # soft labels are not in the original


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rapl_losses.json").read_text())["conversions"]


class TestByHand:
    def test_beta(self):
        # logit(0.9) = log 9 = 2.197225; logit(0.6) = log 1.5 = 0.405465; below one half: 0
        np.testing.assert_allclose(reliability_to_beta([0.9, 0.6, 0.5, 0.1]), [2.197225, 0.405465, 0, 0], atol=1e-6)

    def test_beta_of_certainty_is_finite(self):
        # logit(1 - 1e-7) = log(9999999) = 16.118096
        np.testing.assert_allclose(reliability_to_beta([1.0, 0.0]), [16.118096, 0], atol=1e-6)

    def test_p(self):
        np.testing.assert_allclose(reliability_to_p([1.0, 0.75, 0.5, 0.2]), [1, 0.5, 0, 0], atol=1e-15)

    def test_margin(self):
        # 1 - log 1.5 = 0.594535; 0 from logit(pc) = 1 on, i.e. pc = 0.731059; 1 at and below one half
        np.testing.assert_allclose(
            reliability_to_margin([0.6, 0.74, 1.0, 0.5, 0.1]), [0.594535, 0, 0, 1, 1], atol=1e-6
        )

    def test_label(self):
        np.testing.assert_array_equal(reliability_to_label([0.9, 0.6, 0.5, 0.1]), [0.9, 0.6, 0.5, 0.5])

    def test_beta_inverts_to_p_correct_at_a_unit_difference(self):
        p_correct = np.linspace(0.5, 0.99, 50)
        np.testing.assert_allclose(1 / (1 + np.exp(-reliability_to_beta(p_correct))), p_correct, rtol=1e-14)


@pytest.mark.parametrize("name", CONVERSIONS)
class TestGolden:
    def test_every_valid_value(self, golden, name):
        pairs = [(float(pc), float(w)) for pc, w in zip(golden["p_correct"], golden[f"{name}_f64"], strict=True)]
        pc, expected = zip(*[(pc, w) for pc, w in pairs if 0 <= pc <= 1], strict=True)
        assert len(pc) == 28
        np.testing.assert_allclose(CONVERSIONS[name](pc), expected, rtol=0, atol=1e-9)

    def test_what_the_original_let_through_is_refused(self, golden, name):
        bad = [pc for pc in map(float, golden["p_correct"]) if not 0 <= pc <= 1]
        assert len(bad) == 3
        for pc in bad:
            with pytest.raises(ValueError, match=rf"1 of 2 values outside \[0, 1\]; first: row 1, value {pc:g}"):
                CONVERSIONS[name]([0.5, pc])


@pytest.mark.parametrize("convert", EVERY)
class TestArguments:
    def test_counts_bad_values_and_names_the_first(self, convert):
        with pytest.raises(ValueError, match=r"2 of 4 values outside \[0, 1\]; first: row 1, value nan"):
            convert([0.5, math.nan, 0.7, 1.5])

    @pytest.mark.parametrize("p_correct", [[0.2, 0.9], (0.2, 0.9), np.float32([0.2, 0.9]), np.array([[0.2], [0.9]])])
    def test_keeps_the_shape_and_returns_float64(self, convert, p_correct):
        result = convert(p_correct)
        assert result.dtype == np.float64
        assert result.shape == np.shape(p_correct)

    def test_an_empty_column_is_fine(self, convert):
        assert convert([]).shape == (0,)

    def test_does_not_write_to_its_input(self, convert):
        p_correct = np.array([0.2, 0.9])
        convert(p_correct, on_below_half="flip")
        np.testing.assert_array_equal(p_correct, [0.2, 0.9])

    def test_refuses_an_unknown_policy(self, convert):
        with pytest.raises(ValueError, match="on_below_half.*'drop'"):
            convert([0.9], on_below_half="drop")


@pytest.mark.parametrize("convert", EVERY)
class TestBelowHalf:
    def test_zero_counts_as_no_reliability(self, convert):
        np.testing.assert_array_equal(convert([0.0, 0.2, 0.4999]), convert([0.5, 0.5, 0.5]))

    def test_flip_believes_the_opposite_label(self, convert):
        np.testing.assert_array_equal(
            convert([0.25, 0.75, 0.5, 0.0], on_below_half="flip"), convert([0.75, 0.75, 0.5, 1.0])
        )

    def test_flip_validates_first(self, convert):
        with pytest.raises(ValueError, match=r"row 0, value -0.1"):
            convert([-0.1], on_below_half="flip")

    def test_error_names_the_first_row(self, convert):
        with pytest.raises(ValueError, match=r"2 of 3 values below 0.5.*first: row 1, value 0.4"):
            convert([0.5, 0.4, 0.3], on_below_half="error")

    def test_error_lets_reliable_labels_pass(self, convert):
        np.testing.assert_array_equal(convert([0.5, 0.8], on_below_half="error"), convert([0.5, 0.8]))

    @given(p_correct=st.lists(st.floats(0, 1)))
    def test_flip_equals_zero_outside_the_mask_and_the_complement_inside(self, convert, p_correct):
        p_correct = np.array(p_correct)
        mask = flip_mask(p_correct)
        flipped = convert(p_correct, on_below_half="flip")
        np.testing.assert_array_equal(flipped[~mask], convert(p_correct[~mask]))
        np.testing.assert_array_equal(flipped[mask], convert(1 - p_correct[mask]))


class TestFlipMask:
    def test_is_strict(self):
        np.testing.assert_array_equal(flip_mask([0.0, 0.4999, 0.5, 1.0]), [True, True, False, False])

    def test_refuses_what_the_conversions_refuse(self):
        with pytest.raises(ValueError, match=r"1 of 1 values outside \[0, 1\]"):
            flip_mask([math.nan])


@pytest.mark.parametrize("function", [*EVERY, flip_mask])
def test_the_docstring_example_runs(function):
    code = function.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, {}, function.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_conversions_import_no_torch():
    check = f"import sys, {conversions.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0

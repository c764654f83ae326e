import doctest
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.reliability import weight_statistics


WEIGHTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


class TestByHand:
    def test_every_figure(self):
        found = weight_statistics(
            [0.0, 1.0, 1.0, 2.0],
            reliability=[0.4, 0.5, 0.7, 0.3],
            flipped=[True, False, False, True],
            normalization_factor=1.5,
        )
        # sum 4, sum of squares 6: mean 1, variance 6/4 - 1 = 1/2, effective sample size 16/6
        assert found.to_dict() == {
            "n": 4,
            "mean": 1.0,
            "sd": pytest.approx(np.sqrt(0.5)),
            "min": 0.0,
            "quantiles": {
                "0.05": pytest.approx(0.15),
                "0.25": pytest.approx(0.75),
                "0.5": 1.0,
                "0.75": pytest.approx(1.25),
                "0.95": pytest.approx(1.85),
            },
            "max": 2.0,
            "share_zero": 0.25,
            "share_below_half": 0.5,  # one half itself is not below
            "flipped": 2,
            "effective_sample_size": pytest.approx(16 / 6),
            "normalization_factor": 1.5,
            "constant_reliability": None,
        }

    def test_nothing_to_learn_from(self):
        found = weight_statistics([0.0, 0.0])
        assert (found.share_zero, found.effective_sample_size, found.share_below_half) == (1.0, 0.0, None)

    def test_json(self):
        found = weight_statistics(np.array([1, 2]), reliability=np.array([0.5, 1]), flipped=np.array([True, False]))
        assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@given(w=WEIGHTS)
def test_effective_sample_size_counts_pairs(w):
    found = weight_statistics(w)
    assert 0 <= found.effective_sample_size <= len(w) * (1 + 1e-9)
    if max(w) > 0:
        assert found.effective_sample_size >= 1 - 1e-9
    assert weight_statistics([3.0] * len(w)).effective_sample_size == pytest.approx(len(w))


@given(w=WEIGHTS, scale=st.floats(1e-3, 1e100))
def test_effective_sample_size_has_no_scale(w, scale):
    scaled = [value * scale for value in w]
    if min((value for value in w if value > 0), default=1) > 1e-100:
        assert weight_statistics(scaled).effective_sample_size == pytest.approx(
            weight_statistics(w).effective_sample_size
        )


@pytest.mark.parametrize(
    "bad, message",
    [
        ([], r"\(N,\)"),
        ([[1.0]], r"\(N,\)"),
        ([1.0, -1.0, -2.0], "2 values.*row 1, value -1"),
        ([float("nan")], "row 0"),
        ([float("inf")], "row 0"),
    ],
)
def test_bad_weights_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        weight_statistics(bad)


@pytest.mark.parametrize("name", ["reliability", "flipped"])
def test_other_shapes_are_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}`.*\(2,\)"):
        weight_statistics([1.0, 1.0], **{name: [0.5]})


def test_the_docstring_example():
    code = weight_statistics.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, {}, "weight_statistics", None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0

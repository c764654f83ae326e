"""Offsets of one over-valued model: the original's numbers, exactness, and what no offset may break."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import elo_win_probability, soft_unpaired_win_rates, solve_offset, unpaired_objective


CASES = ("tiny_ties", "indep200", "small_scale200", "blocks1250")


@pytest.fixture(scope="module")
def golden(shared_dir):
    return {case["id"]: case for case in json.loads((shared_dir / "golden" / "charm.json").read_text())["cases"]}


def load(case):
    scores = np.array(case["scores_overvalued"]), np.array(case["scores_reference"])
    return *scores, elo_win_probability(*case["elo"])


@pytest.mark.parametrize("name", CASES)
class TestGolden:
    def test_paired(self, golden, name):
        case = golden[name]
        overvalued, reference, expected = load(case)
        hard, at_midpoint = case["derived"]["hard"], case["derived"]["at_hard_midpoint"]
        solution = solve_offset(overvalued, reference, expected)
        assert solution.attainable is hard["attainable"]
        assert round(solution.win_rate_after * solution.n) == hard["k"]
        assert solution.interval_low == pytest.approx(hard["delta_open_low"], abs=1e-9)
        assert solution.interval_high == pytest.approx(hard["delta_closed_high"], abs=1e-9)
        assert float(solution) == pytest.approx(at_midpoint["delta"], abs=1e-9)
        assert solution.mismatch_before == pytest.approx(case["original"]["md_before"], abs=1e-9)
        assert solution.mismatch_after == pytest.approx(at_midpoint["md_after"], abs=1e-9)
        assert abs(solution.mismatch_after) <= 1 / solution.n
        assert solution.flipped == at_midpoint["n_flipped"]
        assert solution.ties_before == case["original"]["n_ties"]

    @pytest.mark.parametrize(
        ("method", "root"), [("reference", "unpaired_T0.1"), ("soft_paired", "paired_soft_T1")], ids=lambda name: name
    )
    def test_soft_roots(self, golden, name, method, root):
        case = golden[name]
        solution = solve_offset(*load(case), method=method)
        at_root = case["derived"][f"at_{root}"]
        assert solution.offset == pytest.approx(case["derived"]["roots"][root], abs=1e-9)
        assert solution.mismatch_after == pytest.approx(at_root["md_after"], abs=1e-9)
        assert solution.flipped == at_root["n_flipped"]

    def test_reference_reproduces_what_the_original_trained(self, golden, name):
        case = golden[name]
        solution = solve_offset(*load(case), method="reference")
        for trained in case["original"]["nn_calibration"]:
            assert solution.offset == pytest.approx(trained["delta"], rel=0.02)

    def test_unpaired_win_rates_and_objective(self, golden, name):
        case = golden[name]
        scores = np.stack(load(case)[:2], axis=1)
        for known in case["original"]["soft_unpaired_matrix"]:
            rates = soft_unpaired_win_rates(scores, known["offsets"])
            np.testing.assert_allclose(rates, known["W"], atol=2e-5)
            objective = unpaired_objective(scores, known["offsets"], case["elo"])
            assert objective == pytest.approx(known["objective"], abs=2e-5)
        for trained in case["original"]["nn_calibration"]:
            rates = soft_unpaired_win_rates(scores, trained["offsets"])
            assert rates[0, 1] == pytest.approx(trained["W01"], abs=2e-5)


numbers = st.integers(-50, 50)
pairs_of_scores = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30)
rates = st.floats(0.02, 0.98)


def arrays(pairs, unit=0.37):
    table = np.array(pairs, dtype=float) * unit
    return table[:, 0], table[:, 1]


def wins(overvalued, reference, offset):
    return int(np.sum(overvalued + offset > reference))


class TestPaired:
    @settings(max_examples=60)
    @given(pairs=pairs_of_scores, expected=rates)
    def test_no_offset_comes_nearer(self, pairs, expected):
        overvalued, reference = arrays(pairs)
        solution = solve_offset(overvalued, reference, expected)
        n, got = len(pairs), wins(overvalued, reference, solution.offset)
        assert solution.win_rate_after == got / n and math.isfinite(solution.offset)
        differences = np.unique((reference - overvalued).round(9))
        middles = (differences[1:] + differences[:-1]) / 2
        others = [wins(overvalued, reference, d) for d in (differences[0] - 1, *middles, differences[-1] + 1)]
        assert abs(got - expected * n) == pytest.approx(min(abs(other - expected * n) for other in others))
        assert solution.attainable == (abs(got - expected * n) <= 0.5)

    @settings(max_examples=60)
    @given(
        reference=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
        differences=st.lists(st.integers(-(10**6), 10**6), min_size=20, max_size=20, unique=True),
        expected=st.floats(0.001, 0.999),
        ties=st.sampled_from(["loss", "half"]),
    )
    def test_distinct_differences_leave_at_most_one_over_n(self, reference, differences, expected, ties):
        reference = np.array(reference)
        overvalued = reference - np.array(differences[: len(reference)]) * 1e-3
        solution = solve_offset(overvalued, reference, expected, ties=ties)
        assert abs(solution.mismatch_after) <= 1 / solution.n + 1e-15
        assert solution.attainable and solution.ties_after == 0

    @settings(max_examples=60)
    @given(
        pairs=pairs_of_scores, expected=rates, shift=st.integers(-1000, 1000), scale=st.sampled_from([0.25, 2.0, 1e4])
    )
    def test_equivariance(self, pairs, expected, shift, scale):
        overvalued, reference = arrays(pairs, unit=0.5)  # exact in float64, so that ties stay ties
        assume(len(set(overvalued - reference)) > 1)
        offset = solve_offset(overvalued, reference, expected).offset
        moved = solve_offset(overvalued + shift, reference, expected).offset
        assert moved == pytest.approx(offset - shift, abs=1e-9)
        scaled = solve_offset(overvalued * scale, reference * scale, expected).offset
        assert scaled == pytest.approx(offset * scale, abs=1e-9 * scale)

    @settings(max_examples=60)
    @given(
        pairs=pairs_of_scores,
        first=rates,
        second=rates,
        method=st.sampled_from(["paired", "soft_paired", "reference"]),
    )
    def test_a_higher_win_rate_never_needs_a_lower_offset(self, pairs, first, second, method):
        low, high = sorted([first, second])
        overvalued, reference = arrays(pairs)
        below, above = (solve_offset(overvalued, reference, rate, method=method).offset for rate in (low, high))
        assert below <= above + 1e-9

    @settings(max_examples=60)
    @given(pairs=pairs_of_scores, expected=rates, where=st.floats(0.01, 0.99))
    def test_every_offset_in_the_interval_gives_the_count(self, pairs, expected, where):
        overvalued, reference = arrays(pairs, unit=0.5)  # exact in float64
        solution = solve_offset(overvalued, reference, expected)
        low, high = solution.interval_low, solution.interval_high
        assert low < solution.offset <= high
        count = wins(overvalued, reference, solution.offset)
        if math.isfinite(high):
            assert wins(overvalued, reference, high) == count < wins(overvalued, reference, high + 0.1)
        if math.isfinite(low):
            assert wins(overvalued, reference, low) < count
        if math.isfinite(high - low):
            assert wins(overvalued, reference, low + where * (high - low)) == count

    @settings(max_examples=60)
    @given(
        scores=st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=12),
        gaps=st.lists(st.floats(-1e-3, 1e-3), min_size=12, max_size=12),
        expected=rates,
    )
    @example(scores=[1.0, 1.0, 1.0], gaps=[0.0, 2.0**-52, -(2.0**-53)] + [0.0] * 9, expected=0.5)
    @example(scores=[1e16, 1.0], gaps=[1.0, 1e-17] + [0.0] * 10, expected=0.5)
    def test_rounding_does_not_change_the_count_that_is_told(self, scores, gaps, expected):
        overvalued = np.array(scores)
        reference = overvalued + np.array(gaps[: len(scores)])
        solution = solve_offset(overvalued, reference, expected)
        assert solution.win_rate_after == wins(overvalued, reference, solution.offset) / len(scores)
        assert not solution.attainable or abs(solution.mismatch_after) <= 1 / len(scores) + 1e-12

    def test_rounding_is_no_way_around_ties(self):
        # 1 + 1.6e-16 > 1 but 3 + 1.6e-16 == 3: two of these wins would be an accident of float64
        assert solve_offset([1.0, 2.0, 3.0, 9.0], [1.0, 2.0, 3.0, 3.0], 0.5).win_rate_after in (0.25, 1.0)

    def test_tied_differences_are_told(self):
        # three of four differences are equal: 0, 1 or 4 wins can be had, and 2 are wanted
        solution = solve_offset([1.0, 2.0, 3.0, 9.0], [1.0, 2.0, 3.0, 3.0], 0.5)
        assert not solution.attainable and solution.win_rate_after == 0.25
        # at the tie, three half wins and one win are 2.5, nearer than 1 or 4
        half = solve_offset([1.0, 2.0, 3.0, 9.0], [1.0, 2.0, 3.0, 3.0], 0.5, ties="half")
        assert half.attainable and half.win_rate_after == 0.625 and half.ties_after == 3

    def test_all_scores_tied(self):
        solution = solve_offset([1.0] * 5, [1.0] * 5, 0.3)
        assert (solution.ties_before, solution.ties_after, solution.attainable) == (5, 0, False)
        assert solution.win_rate_after == 0.0 and math.isfinite(solution.offset) and solution.offset < 0
        half = solve_offset([1.0] * 5, [1.0] * 5, 0.5, ties="half")
        assert half.attainable and half.mismatch_after == 0.0 and half.ties_after == 5

    def test_beyond_the_last_threshold_by_the_mean_gap(self):
        # differences R - O: -2, -1, 2; three wins need more than 2, the mean gap is 2
        solution = solve_offset([3.0, 2.0, 0.0], [1.0, 1.0, 2.0], 0.99)
        assert (solution.interval_high, solution.offset) == (math.inf, pytest.approx(4.0))
        lowest = solve_offset([3.0, 2.0, 0.0], [1.0, 1.0, 2.0], 0.01)
        assert (lowest.interval_low, lowest.offset) == (-math.inf, pytest.approx(-4.0))

    def test_a_million_prompts(self):
        generator = np.random.default_rng(0)
        overvalued, reference = generator.normal(size=(2, 10**6))
        solution = solve_offset(overvalued + 1, reference, 0.4)
        assert abs(solution.mismatch_after) <= 1e-6
        # P(N(1 + d, 2) > 0) = 0.4
        assert solution.offset == pytest.approx(-1 - 0.253347 * math.sqrt(2), abs=0.01)


class TestCorrelatedScores:
    """Where the original's rule over-corrects, the exact one does not."""

    @pytest.fixture(scope="class")
    def scores(self):
        generator = np.random.default_rng(0)
        common = generator.normal(size=2000)
        mixed = [math.sqrt(0.9) * common + math.sqrt(0.1) * generator.normal(size=2000) for _ in range(2)]
        return 8 * mixed[0] + 3, 8 * mixed[1]

    def test_exact(self, scores):
        assert abs(solve_offset(*scores, 0.4187).mismatch_after) <= 1 / 2000

    def test_original(self, scores):
        assert solve_offset(*scores, 0.4187, method="reference").mismatch_after < -0.2


class TestSoft:
    @pytest.mark.parametrize("unit", [0.01, 1.0, 1e4])
    @pytest.mark.parametrize("method", ["soft_paired", "reference"])
    def test_root_at_any_scale(self, unit, method):
        generator = np.random.default_rng(1)
        overvalued, reference = generator.normal(size=(2, 400)) * unit
        solution = solve_offset(overvalued, reference, 0.3, method=method, temperature=0.5 * unit)
        other = solve_offset(overvalued / unit, reference / unit, 0.3, method=method, temperature=0.5)
        assert solution.offset == pytest.approx(other.offset * unit, rel=1e-9)
        if method == "soft_paired":
            soft = 1 / (1 + np.exp(-(overvalued + solution.offset - reference) / (0.5 * unit)))
            assert soft.mean() == pytest.approx(0.3, abs=1e-10)

    @pytest.mark.parametrize("expected", [1e-6, 1 - 1e-6])
    def test_win_rates_near_the_ends(self, expected):
        generator = np.random.default_rng(2)
        overvalued, reference = generator.uniform(size=(2, 50))
        solution = solve_offset(overvalued, reference, expected, method="soft_paired", temperature=0.01)
        soft = 1 / (1 + np.exp(-(overvalued + solution.offset - reference) / 0.01))
        assert soft.mean() == pytest.approx(expected, abs=1e-12)

    def test_standard_deviation_as_temperature(self):
        generator = np.random.default_rng(3)
        overvalued, reference = generator.normal(size=(2, 100))
        solution = solve_offset(overvalued, reference, 0.4, method="soft_paired", temperature="std")
        assert solution.temperature == pytest.approx(np.std(overvalued - reference))

    def test_blocks_are_compared_within_themselves(self):
        # by hand: two blocks of one row are the paired win rate; one block of two compares all four
        overvalued, reference = np.array([0.0, 4.0]), np.array([1.0, 3.0])
        paired = solve_offset(overvalued, reference, 0.6, method="reference", temperature=1.0, block_size=1)
        soft = solve_offset(overvalued, reference, 0.6, method="soft_paired")
        assert paired.offset == pytest.approx(soft.offset, abs=1e-10)
        rates = soft_unpaired_win_rates(np.stack([overvalued, reference], axis=1), [0.5, 0.0], temperature=1.0)
        differences = np.array([-0.5, -2.5, 3.5, 1.5])
        assert rates[0, 1] == pytest.approx(np.mean(1 / (1 + np.exp(-differences))))

    def test_large_blocks_are_compared_in_parts(self):
        generator = np.random.default_rng(4)
        scores = generator.normal(size=(1600, 2))
        whole = soft_unpaired_win_rates(scores, [0.1, 0.0], block_size=1600)[0, 1]
        differences = scores[:, None, 0] + 0.1 - scores[None, :, 1]
        assert whole == pytest.approx(np.mean(1 / (1 + np.exp(-differences / 0.1))), abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], [], 0.5), {}, "`scores_overvalued` is empty"),
        (([1.0, 2.0], [1.0], 0.5), {}, "2 scores of the over-valued model and 1 of the reference"),
        (([1.0, math.nan], [1.0, 2.0], 0.5), {}, r"`scores_overvalued` has 1 values.*first: row 1, value nan"),
        (([1.0, 2.0], [1.0, -math.inf], 0.5), {}, r"`scores_reference` has 1 values.*row 1, value -inf"),
        (([[1.0]], [[1.0]], 0.5), {}, r"must have shape \(N,\), got \(1, 1\)"),
        (([1.0], [1.0], 0.0), {}, "strictly between 0 and 1, got 0.0"),
        (([1.0], [1.0], 1.0), {}, "strictly between 0 and 1, got 1.0"),
        (([1.0], [1.0], math.nan), {}, "strictly between 0 and 1, got nan"),
        (([1.0], [1.0], "often"), {}, "`expected_win_rate` must be a number, got 'often'"),
        (([1.0], [2.0], 0.5), {"method": "exact"}, "'paired', 'soft_paired', 'reference', got 'exact'"),
        (([1.0], [2.0], 0.5), {"ties": "win"}, "`ties` must be one of 'loss', 'half', got 'win'"),
        (([1.0], [2.0], 0.5), {"temperature": 1.0}, '"paired" has none'),
        (([1.0], [2.0], 0.5), {"method": "soft_paired", "temperature": 0.0}, "must be positive and finite, got 0"),
        (([1.0], [2.0], 0.5), {"method": "soft_paired", "temperature": "mad"}, "number or \"std\", got 'mad'"),
        (([1.0, 2.0], [1.0, 2.0], 0.5), {"method": "soft_paired", "temperature": "std"}, "differences are equal"),
        (([1.0], [2.0], 0.5), {"method": "reference", "block_size": 0}, "`block_size` must be at least 1"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        solve_offset(*arguments, **options)


@pytest.mark.parametrize(
    ("scores", "offsets", "message"),
    [
        ([1.0, 2.0], [0.0], r"`scores` must have shape \(N, M\)"),
        ([[1.0, 2.0]], [0.0], r"`offsets` must have shape \(M,\) = \(2,\), got \(1,\)"),
        ([[1.0, math.nan]], [0.0, 0.0], r"`scores` has 1 values.*\(0, 1\), value nan"),
    ],
)
def test_bad_tables(scores, offsets, message):
    with pytest.raises(ValueError, match=message):
        soft_unpaired_win_rates(scores, offsets)


@pytest.mark.parametrize("function", [solve_offset, soft_unpaired_win_rates, unpaired_objective])
def test_docstring(function):
    assert failed_examples(function) == 0

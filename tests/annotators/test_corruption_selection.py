"""Which pairs are corrupted, and who labels them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.annotators import assign_annotators, select_pairs
from trl_ext.annotators.selection import SELECTION_METHODS


GOLDEN_METHODS = {"uniform": "uniform", "diff": "ambiguous", "fixed": "fixed_size"}
gaps = st.lists(st.floats(-10, 10), min_size=2, max_size=60)


def test_golden_sizes(shared_dir):
    cases = json.loads((shared_dir / "golden" / "annotator.json").read_text())["post_filter_by_ratio"]
    assert {case["select"] for case in cases} == set(GOLDEN_METHODS)
    for case in cases:
        gaps = np.linspace(-5, 5, case["n"])
        selection = select_pairs(gaps, case["ratio"], GOLDEN_METHODS[case["select"]])
        found = len(selection.kept), len(selection.clean), len(selection.corrupted)
        assert found == (case["out_size"], case["n_kept_clean_prefix"], case["n_randomised"])
        if case["select"] != "diff":
            by_number = select_pairs(case["n"], case["ratio"], GOLDEN_METHODS[case["select"]])
            assert np.array_equal(by_number.kept, selection.kept)


@pytest.mark.parametrize(
    ("n", "ratio", "method", "clean", "corrupted"),
    [
        (100, 0.29, "uniform", 28, 72),  # 100 · 0.29 is 28.999999999999996
        (20, 0.9, "fixed_size", 10, 0),  # (1 - 0.9) · 20 / 2 is 0.9999999999999998
        (100, 0.9, "fixed_size", 50, 4),
        (100, 0.8, "fixed_size", 50, 9),
    ],
)
def test_products_just_below_a_whole_number_are_truncated_as_in_the_original(n, ratio, method, clean, corrupted):
    selection = select_pairs(n, ratio, method)
    assert (len(selection.clean), len(selection.corrupted)) == (clean, corrupted)


def test_the_docstring_and_the_guide_say_how_numbers_are_truncated():
    guide = Path(__file__).resolve().parents[2].joinpath("docs", "corruption.md").read_text(encoding="utf-8")
    for text in (select_pairs.__doc__, guide):
        assert "`int(N * clean_ratio)`" in text and "`int((1 - clean_ratio) * N / 2)`" in text and "28 clean" in text


@given(gaps=gaps, ratio=st.floats(0, 1), method=st.sampled_from(SELECTION_METHODS), seed=st.integers(0, 99))
def test_no_pair_is_in_both_parts(gaps, ratio, method, seed):
    selection = select_pairs(gaps, ratio, method, seed=seed)
    assert len(np.unique(selection.kept)) == len(selection.clean) + len(selection.corrupted)
    assert set(selection.kept) <= set(range(len(gaps)))
    assert len(selection.kept) + selection.left_out == len(gaps)
    if method != "fixed_size":
        assert selection.left_out == 0


@given(gaps=gaps, ratio=st.floats(0, 1), seed=st.integers(0, 99))
def test_ambiguous_pairs_have_the_smallest_gaps(gaps, ratio, seed):
    selection = select_pairs(gaps, ratio, "ambiguous", seed=seed)
    sizes = np.abs(gaps)
    if len(selection.clean) and len(selection.corrupted):
        assert sizes[selection.corrupted].max() <= sizes[selection.clean].min()


@pytest.mark.parametrize("method", SELECTION_METHODS)
def test_ties_and_numbers_are_drawn_evenly(method):
    # equal gaps: each of 10 pairs stays clean with probability one half, whatever its place
    repeats = 2000
    clean = np.zeros(10)
    for seed in range(repeats):
        clean[select_pairs(np.ones(10), 0.5, method, seed=seed).clean] += 1
    assert (np.abs(clean / repeats - 0.5) < 4 * np.sqrt(0.25 / repeats)).all()


@pytest.mark.parametrize("method", SELECTION_METHODS)
def test_the_ratios_at_the_ends(method):
    assert len(select_pairs(np.ones(9), 1.0, method).corrupted) == 0
    assert len(select_pairs(np.ones(9), 0.0, method).clean) == (4 if method == "fixed_size" else 0)


@pytest.mark.parametrize("method", SELECTION_METHODS)
def test_the_seed_decides_the_selection(method):
    first, again, other = (select_pairs(np.ones(50), 0.4, method, seed=seed).corrupted for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


class TestBadSelection:
    @pytest.mark.parametrize("ratio", [-0.1, 1.1, np.nan])
    def test_ratio(self, ratio):
        with pytest.raises(ValueError, match=r"clean_ratio must lie in \[0, 1\]"):
            select_pairs(10, ratio)

    @pytest.mark.parametrize("pairs", [0, -1, 2.5, []])
    def test_no_number_of_pairs(self, pairs):
        with pytest.raises(ValueError, match="number of pairs must be|gaps are empty"):
            select_pairs(pairs, 0.5)

    def test_gaps(self):
        with pytest.raises(ValueError, match="1 values that aren't finite; first: row 2, value nan"):
            select_pairs([0.5, 1.0, np.nan], 0.5)
        with pytest.raises(ValueError, match=r"shape \(N,\), got \(1, 2\)"):
            select_pairs([[0.5, 1.0]], 0.5)
        with pytest.raises(ValueError, match="needs the gaps"):
            select_pairs(10, 0.5, "ambiguous")

    def test_method(self):
        with pytest.raises(ValueError, match="method must be one of uniform, ambiguous, fixed_size, got 'diff'"):
            select_pairs(10, 0.5, "diff")
        with pytest.raises(ValueError, match="two at least"):
            select_pairs(1, 0.5, "fixed_size")


ETAS = {"a": 0.9, "b": 0.5, "c": 0.0}


@given(n=st.integers(1, 200), annotators=st.integers(1, 12), seed=st.integers(0, 99))
def test_assignment_is_balanced(n, annotators, seed):
    etas = {number: number / 12 for number in range(annotators)}
    assignment = assign_annotators(n, etas, seed=seed)
    counts = np.bincount(assignment.annotator_id, minlength=annotators)
    assert counts.sum() == n and counts.max() - counts.min() <= 1
    assert assignment.eta.tolist() == [etas[number] for number in assignment.annotator_id]


@given(n=st.integers(1, 500), weights=st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda w: sum(w) > 0.1))
def test_assignment_keeps_shares(n, weights):
    shares = dict(zip(ETAS, np.array(weights) / sum(weights), strict=True))
    assignment = assign_annotators(n, ETAS, shares=shares)
    for annotator, share in shares.items():
        assert abs((assignment.annotator_id == annotator).sum() - n * share) < 1 + 1e-6
    assert len(assignment.annotator_id) == n


def test_exact_shares_have_exact_counts():
    # 0.1 + 0.2 is not 0.3 in floating point
    assignment = assign_annotators(10, ETAS, shares={"a": 0.1, "b": 0.2, "c": 0.7})
    assert [(assignment.annotator_id == annotator).sum() for annotator in ETAS] == [1, 2, 7]


def test_every_pair_is_as_likely_to_go_to_anyone():
    repeats, n = 1000, 7
    to_a = np.zeros(n)
    for seed in range(repeats):
        to_a += assign_annotators(n, {"a": 1.0, "b": 0.0}, seed=seed).annotator_id == "a"
    # the odd pair goes to a or b: half of all pairs in the mean
    assert (np.abs(to_a / repeats - 0.5) < 4 * np.sqrt(0.25 / repeats)).all()


def test_the_seed_decides_the_assignment():
    first, again, other = (assign_annotators(50, ETAS, seed=seed).annotator_id.tolist() for seed in (1, 1, 2))
    assert first == again != other


class TestBadAssignment:
    def test_annotators(self):
        with pytest.raises(TypeError, match="must map ids to their eta, got list"):
            assign_annotators(3, ["a", "b"])
        with pytest.raises(ValueError, match="annotators are empty"):
            assign_annotators(3, {})
        with pytest.raises(TypeError, match="all str or all int"):
            assign_annotators(3, {"a": 0.5, 1: 0.5})
        with pytest.raises(ValueError, match=r"eta of annotator 'b' must lie in \[0, 1\], got 1.5"):
            assign_annotators(3, {"a": 0.5, "b": 1.5})

    def test_shares(self):
        with pytest.raises(ValueError, match="no more and no less"):
            assign_annotators(3, ETAS, shares={"a": 1.0})
        with pytest.raises(ValueError, match="sum 0.9"):
            assign_annotators(3, ETAS, shares={"a": 0.3, "b": 0.3, "c": 0.3})
        with pytest.raises(ValueError, match="least -0.5"):
            assign_annotators(3, ETAS, shares={"a": -0.5, "b": 0.5, "c": 1.0})

    @pytest.mark.parametrize("n", [0, -3, 1.5])
    def test_number(self, n):
        with pytest.raises(ValueError, match="n must be whole numbers of at least 1"):
            assign_annotators(n, ETAS)

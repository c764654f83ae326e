import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import rewardbench_section_scores, weighted_average, wilson_interval
from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS, SECTIONS


class TestSectionScores:
    def test_golden(self, shared_dir):
        golden = json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["reward_bench"]
        rows = golden["input"]
        scores = rewardbench_section_scores(rows["subset"], rows["chosen"], rows["rejected"])
        for section, value in golden["output"].items():
            assert scores.sections[section].value == pytest.approx(value, abs=1e-9)
        for subset, value in golden["per_subset_accuracy"].items():
            assert scores.subsets[subset].value == pytest.approx(value, abs=1e-9)
        assert EXAMPLE_COUNTS == golden["example_counts"]
        assert {name: list(members) for name, members in SECTIONS.items()} == golden["subset_mapping"]
        assert scores.missing_subsets == ("hep-go",)

    def test_a_section_without_rows(self):
        missing, legacy = (
            rewardbench_section_scores(["donotanswer"], [1.0], [0.0], absent=rule) for rule in ("missing", "zero")
        )
        assert math.isnan(missing.sections["Chat"].value) and legacy.sections["Chat"].value == 0
        assert missing.sections["Chat"].n == 0
        assert missing.sections["Safety"].value == legacy.sections["Safety"].value == 1

    def test_ties(self):
        lost, half = (
            rewardbench_section_scores(["donotanswer"] * 2, [1.0, 1.0], [1.0, 0.0], ties=rule)
            for rule in ("loss", "half")
        )
        assert (lost.sections["Safety"].value, half.sections["Safety"].value) == (0.5, 0.75)
        assert lost.ties == {"donotanswer": 1}

    @settings(max_examples=20)
    @given(st.permutations(range(30)))
    def test_the_order_of_rows_changes_nothing(self, order):
        rng = np.random.default_rng(0)
        subsets, chosen, rejected = rng.choice(list(EXAMPLE_COUNTS), 30), rng.normal(size=30), rng.normal(size=30)
        one = rewardbench_section_scores(subsets, chosen, rejected)
        order = np.array(order)
        other = rewardbench_section_scores(subsets[order], chosen[order], rejected[order])
        for name in SECTIONS:
            assert one.sections[name].value == pytest.approx(other.sections[name].value, nan_ok=True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((["donotanswers"], [1.0], [0.0]), "row 0: 'donotanswers' .* did you mean 'donotanswer'"),
            ((["donotanswer"], [1.0, 2.0], [0.0]), "one value per row"),
            ((["donotanswer"], [np.nan], [0.0]), "rewards_chosen has 1 values that are not finite"),
        ],
    )
    def test_refusals(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            rewardbench_section_scores(*arguments)

    def test_the_docstring_example_runs(self):
        assert failed_examples(rewardbench_section_scores) == 0


class TestWeightedAverage:
    def test_a_single_part_is_itself(self):
        part = wilson_interval(7, 10)
        average = weighted_average([part])
        assert (average.value, average.se, average.ci_low, average.ci_high, average.n) == pytest.approx(
            (part.value, part.se, part.ci_low, part.ci_high, 10)
        )

    @settings(max_examples=20)
    @given(st.lists(st.tuples(st.integers(0, 20), st.floats(0.01, 10)), min_size=1, max_size=6))
    def test_shares_stay_in_the_unit_interval_and_have_width(self, parts):
        average = weighted_average([wilson_interval(k, 20) for k, _ in parts], [weight for _, weight in parts])
        assert -1e-12 <= average.ci_low <= average.value <= average.ci_high <= 1 + 1e-12
        assert average.ci_high - average.ci_low > 0.01

    def test_coverage(self):
        rng, hits = np.random.default_rng(0), 0
        truth, sizes, weights = np.array([0.5, 0.9, 0.99]), np.array([20, 40, 80]), np.array([1.0, 2.0, 1.0])
        for _ in range(1000):
            counts = rng.binomial(sizes, truth)
            average = weighted_average([wilson_interval(k, n) for k, n in zip(counts, sizes, strict=True)], weights)
            hits += average.ci_low <= truth @ weights / 4 <= average.ci_high
        # standard error of 95% over 1000 samples: 0.7%
        assert 0.93 <= hits / 1000 <= 0.98

    @pytest.mark.parametrize(
        ("weights", "message"), [([1.0], "one value per"), ([1.0, -1.0], "at least 0"), ([0.0, 0.0], "not all 0")]
    )
    def test_bad_weights(self, weights, message):
        with pytest.raises(ValueError, match=message):
            weighted_average([wilson_interval(1, 2)] * 2, weights)

    def test_the_docstring_example_runs(self):
        assert failed_examples(weighted_average, {"wilson_interval": wilson_interval}) == 0

import json
import math

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.interval_coverage import ties_coverage
from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import RewardBench2, rewardbench2_best_of_n, rewardbench2_ties_score
from trl_ext.evaluation.benchmarks.rewardbench2 import SUBSETS


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rewardbench.json").read_text())


@pytest.fixture(scope="module")
def original(shared_dir):
    """Rows, and rewards of the original program."""
    folder = shared_dir / "golden" / "rewardbench_cli"
    scores = json.loads((folder / "expected" / "v2__scores.json").read_text())
    printed = (folder / "expected" / "v2__stdout.txt").read_text()
    return RewardBench2().load(folder / "v2.jsonl"), scores, printed


def split(rows: list[dict], sizes: list[int]) -> list[list]:
    ends = np.cumsum(sizes)
    return [[row["scores"] for row in rows[end - size : end]] for end, size in zip(ends, sizes, strict=True)]


class TestBestOfN:
    def test_golden(self, golden):
        for case in golden["v2_best_of_n"]["cases"]:
            values = rewardbench2_best_of_n(split(case["rows"], case["total_completions"]))
            assert values == pytest.approx(case["expected_results"], abs=1e-9)

    def test_lists_of_one_reward_are_those_of_old_files(self, golden):
        case = golden["v2_best_of_n"]["cases"][0]
        nested = [[[reward] for reward in rewards] for rewards in split(case["rows"], case["total_completions"])]
        assert rewardbench2_best_of_n(nested) == pytest.approx(case["expected_results"])

    def test_several_right_responses(self):
        # the best is right; right and wrong share the best, 2 of 3; only a wrong one is best
        rewards = [[0.0, 2.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]
        assert rewardbench2_best_of_n(rewards, [2, 2, 2]) == pytest.approx([1, 2 / 3, 0])

    @pytest.mark.parametrize(
        ("rewards", "num_correct", "message"),
        [
            ([[1.0, 0.0]], 2, "row 0: num_correct is 2, but with 2 responses it must be a whole number from 1 to 1"),
            ([[1.0, 0.0]], 0, "num_correct is 0"),
            ([[1.0]], 1, "at least one right and one wrong"),
            ([[1.0, math.nan]], 1, "row 0: the reward of response 1 is nan"),
            ([[[1.0, 2.0], [0.0, 1.0]]], 1, r"must have shape \(K,\) or \(K, 1\), got \(2, 2\)"),
            ([[1.0, 0.0]], [1, 1], "num_correct must have one value per row, got 2 for 1"),
        ],
    )
    def test_refusals(self, rewards, num_correct, message):
        with pytest.raises(ValueError, match=message):
            rewardbench2_best_of_n(rewards, num_correct)


class TestTies:
    @pytest.mark.parametrize("variant", ["0.1.5", "0.1.4"])
    def test_golden(self, golden, variant):
        for case in golden["v2_ties"]["cases"]:
            rows = case["rows"]
            columns = ([row[name] for row in rows] for name in ("id", "scores", "num_correct"))
            ties = rewardbench2_ties_score(*columns, variant=variant, resamples=20)
            assert ties.score.value == pytest.approx(case[f"expected_{variant}"], abs=1e-9), case["name"]
            per_row = case["per_row_[accurate,diff_correct_margin,correct_incorrect_margin]"]
            for ours, (accurate, spread, gap) in zip(ties.rows.itertuples(), per_row, strict=True):
                assert ours.accurate == accurate and ours.gap == pytest.approx(gap)
                assert math.isnan(ours.spread) if spread is None else ours.spread == pytest.approx(spread)

    def test_by_hand(self):
        # pair 0: gaps 2 and 1, spread 0.5: all won, margin tanh(1/0.5 - 1) = tanh 1
        # pair 1: gaps -1 and 3, spread 1: the tied row is preferred, the hard one isn't, margin tanh(-2)
        ids = ["ref:0", "tied:0", "tied:1", "ref:1"]
        rewards = [[3.0, 1.0], [2.5, 2.0, 1.0], [5.0, 4.0, 1.0], [0.0, 1.0]]
        ties = rewardbench2_ties_score(ids, rewards, [1, 2, 2, 1])
        assert ties.accuracy_ref.value == 0.5 and ties.accuracy_tied.value == 1
        assert ties.preferred.value == 1 and ties.preferred_hard.value == 0.5
        margin = (math.tanh(1) + math.tanh(-2)) / 2
        assert ties.margin.value == pytest.approx(margin)
        assert ties.score.value == pytest.approx(0.3 * 0.5 + 0.3 + 0.2 + 0.2 * 0.5 + 0.01 * margin)
        assert ties.unpaired == () and ties.no_spread == 0 and ties.rows["id"].tolist() == ids

    def test_the_variants_differ_where_right_answers_score_the_same(self):
        ids, rewards = ["ref:0", "tied:0"], [[3.0, 1.0], [2.0, 2.0, 1.0]]
        new = rewardbench2_ties_score(ids, rewards, [1, 2])
        assert new.margin.value == 1 and new.score.value == pytest.approx(1.01) and new.no_spread == 1
        old = rewardbench2_ties_score(ids, rewards, [1, 2], variant="0.1.4")
        # no pair is left for the margin, which is 0 then
        assert old.score.value == pytest.approx(1.0) and old.margin.n == 0
        equal = rewardbench2_ties_score(ids, [[1.0, 1.0], [2.0, 2.0, 2.0]], [1, 2])
        assert equal.margin.value == 0

    def test_rows_without_their_counterpart_are_named_and_count_in_the_accuracies_alone(self, caplog):
        ids, rewards = ["ref:0", "tied:0", "ref:7"], [[1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 1.0]]
        ties = rewardbench2_ties_score(ids, rewards, [1, 2, 1])
        assert ties.unpaired == ("ref:7",) and "1 of 3 Ties rows lack their counterpart" in caplog.text
        assert "first: ref:7" in caplog.text
        assert ties.accuracy_ref.value == 0.5 and ties.preferred.n == 1

    @pytest.mark.parametrize("variant", ["0.1.5", "0.1.4"])
    @pytest.mark.parametrize(("ref", "tied"), [([1.0, 9.0], [9.0, 8.0, 1.0]), ([9.0, 1.0], [1.0, 9.0])])
    def test_a_tied_row_with_one_right_answer_counts_in_the_accuracies_alone(self, ref, tied, variant):
        ids, rewards = ["ref:0", "tied:0", "ref:1", "tied:1"], [[9.0, 1.0], [9.0, 8.0, 1.0], ref, tied]
        ties = rewardbench2_ties_score(ids, rewards, [1, 2, 1, 1], variant=variant)
        # version 0.1.4 of the original program says so
        assert ties.score.value == pytest.approx(0.8599998771165078, abs=1e-9)
        assert ties.unpaired == ("ref:1", "tied:1") and ties.preferred.n == ties.margin.n == 1

    def test_incomplete_pairs_keep_the_interval_of_complete_ones(self):
        rng = np.random.default_rng(3)
        ids = [f"{kind}:{number}" for number in range(51) for kind in ("ref", "tied")]
        rewards = [rng.normal(size=6) + 1.5 * (np.arange(6) < right) for right in [1, 3] * 51]
        whole = rewardbench2_ties_score(ids, rewards, [1, 3] * 51).score
        part = rewardbench2_ties_score(ids[:-1], rewards[:-1], ([1, 3] * 51)[:-1]).score
        assert (part.value, part.se, part.ci_low, part.ci_high) == pytest.approx(
            (whole.value, whole.se, whole.ci_low, whole.ci_high), abs=0.02
        )

    def test_coverage_of_a_nearly_perfect_model(self):
        table = ties_coverage(12, resamples=200, models=((4.5, 0.4),), questions_of_truth=1500).set_index("figure")[
            "coverage"
        ]
        # the plain percentile bootstrap covers a quarter
        assert (table.drop("overall") > 0.8).all() and len(table) == 3

    @settings(max_examples=15)
    @given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-100, 100))
    def test_scale_offset_and_order_change_nothing(self, seed, scale, offset):
        rng = np.random.default_rng(seed)
        ids = [f"{kind}:{number}" for number in range(6) for kind in ("ref", "tied")]
        counts = [1, 3] * 6
        rewards = [rng.normal(size=5) + 0.5 * (np.arange(5) < right) for right in counts]
        one = rewardbench2_ties_score(ids, rewards, counts, resamples=2)
        assert -0.01 <= one.score.value <= 1.01
        order = rng.permutation(12)
        other = rewardbench2_ties_score(
            [ids[i] for i in order],
            [scale * rewards[i] + offset for i in order],
            [counts[i] for i in order],
            resamples=2,
        )
        assert other.score.value == pytest.approx(one.score.value, abs=1e-6)

    def test_the_interval_draws_questions(self):
        rng = np.random.default_rng(0)
        ids = [f"{kind}:{number}" for number in range(51) for kind in ("ref", "tied")]
        rewards = [rng.normal(size=6) + 1.5 * (np.arange(6) < right) for right in [1, 3] * 51]
        ties = rewardbench2_ties_score(ids, rewards, [1, 3] * 51)
        assert ties.score.ci_low < ties.score.value < ties.score.ci_high and "51 clusters" in ties.score.method
        # by questions, score is a mean of their worth: its standard error is that of the bootstrap
        frame = ties.rows.pivot(index="number", columns="kind", values=["accurate", "gap", "spread"])
        gap, spread = frame["gap", "tied"].astype(float), frame["spread", "tied"].astype(float)
        low = np.minimum(gap, frame["gap", "ref"].astype(float))
        worth = 0.3 * (frame["accurate", "ref"].astype(float) + frame["accurate", "tied"].astype(float))
        worth += 0.2 * (gap > spread) + 0.2 * (low > spread) + 0.01 * np.tanh(low / spread - 1)
        assert ties.score.value == pytest.approx(worth.mean())
        assert ties.score.se == pytest.approx(worth.std() / 51**0.5, rel=0.08)

    @pytest.mark.parametrize(
        ("ids", "counts", "message"),
        [
            (["ref:0", "ref:0"], [1, 1], "row 1: the id 'ref:0' is there twice"),
            (["ref:0", "0"], [1, 2], "ids of the Ties subset must be 'ref:<n>' or 'tied:<n>', got '0'"),
            (["ref:0", "tied:1"], [1, 2], "none of the 2 Ties rows has its counterpart.*first: 'ref:0'"),
            (["ref:0", "tied:0"], [1, 3], r"row 1 \(id 'tied:0'\): num_correct is 3, but with 3 responses"),
            (["ref:0", "tied:0"], [1, 1], "'tied:<n>' with at least 2 right answers"),
            (["ref:0"], [1, 2], "must have an entry per row, got 1, 2 and 2"),
        ],
    )
    def test_refusals(self, ids, counts, message):
        with pytest.raises(ValueError, match=message):
            rewardbench2_ties_score(ids, [[1.0, 0.0, -1.0]] * 2, counts)

    def test_an_unknown_variant(self):
        with pytest.raises(ValueError, match="variant must be one of 0.1.5, 0.1.4"):
            rewardbench2_ties_score(["ref:0"], [[1.0, 0.0]], [1], variant="0.2")

    @pytest.mark.slow
    def test_coverage(self):
        rng = np.random.default_rng(0)
        ids = [f"{kind}:{number}" for number in range(51) for kind in ("ref", "tied")]

        def draw(n: int) -> list[np.ndarray]:
            skill = np.repeat(rng.normal(1.5, 0.7, size=n), 2)
            counts = np.tile([1, 3], n)
            return [
                rng.normal(size=6) * 0.7 + s * (np.arange(6) < right) for s, right in zip(skill, counts, strict=True)
            ]

        many = [f"{kind}:{number}" for number in range(20_000) for kind in ("ref", "tied")]
        truth = rewardbench2_ties_score(many, draw(20_000), [1, 3] * 20_000, resamples=2).score.value
        hits = 0
        for _ in range(400):
            score = rewardbench2_ties_score(ids, draw(51), [1, 3] * 51, resamples=500).score
            hits += score.ci_low <= truth <= score.ci_high
        # standard error of 95 % over 400 samples: 1.1 %
        assert 0.92 <= hits / 400 <= 0.985


class TestBenchmark:
    def test_rows(self, original):
        rows = original[0]
        assert rows["id"][-2:] == ["ref:4", "tied:4"] and rows["cluster"][-2:] == ["Ties:4", "Ties:4"]
        assert rows["num_correct"][-2:] == [1, 5] and len(rows[-1]["responses"]) == 11
        assert rows[0]["models"] == ["a", "b", "c", "d"] and "chosen" not in rows.column_names

    def test_figures_of_the_original_program(self, original):
        rows, scores, printed = original
        result = RewardBench2(resamples=100).evaluate(rows, [np.ravel(rewards) for rewards in scores["scores"]])
        for line in printed.splitlines():
            name, text = line.split(": ", 1)
            expected = float(text.split()[-1].strip("()"))
            assert result.subsets[name].value == pytest.approx(expected, abs=1e-9)
        assert list(result.subsets) == list(SUBSETS)
        values = [estimate.value for estimate in result.subsets.values()]
        assert result.overall.value == pytest.approx(np.mean(values)) and result.overall.se > 0
        not_ties = result.rows["subset"] != "Ties"
        assert result.rows["score"][not_ties].tolist() == scores["results"][: not_ties.sum()]
        assert result.details["ties_subset"]["variant"] == "0.1.5" and result.details["missing_subsets"] == []
        json.dumps(result.to_dict(), allow_nan=False)

    def test_missing_subsets_are_named(self, original):
        rows, scores, _ = original
        part = rows.select(range(4, 20))
        result = RewardBench2().evaluate(part, [np.ravel(rewards) for rewards in scores["scores"][4:20]])
        assert result.overall is None and result.details["missing_subsets"] == ["Factuality", "Ties"]

    def test_ties_are_counted_and_share_the_point(self):
        row = {"prompt": "1 + 1?", "chosen": ["2"], "rejected": ["3", "4", "5"], "subset": "Math"}
        benchmark = RewardBench2()
        rows = benchmark.load(Dataset.from_list([row | {"id": str(i), "prompt": f"{i}?"} for i in range(3)]))
        result = benchmark.evaluate(rows, [[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
        assert result.rows["score"].tolist() == [0.25, 1.0, 0.0] and result.rows["tied"].tolist() == [
            True,
            False,
            False,
        ]
        assert result.details["ties"] == {"Math": 1} and result.details["ties_rule"] == "share"
        assert result.rows["margin"].tolist() == [0.0, 2.0, -1.0]


@pytest.mark.parametrize("function", [rewardbench2_best_of_n, rewardbench2_ties_score, RewardBench2])
def test_the_docstring_example_runs(function):
    assert failed_examples(function) == 0

import json
import math

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import (
    Estimate,
    PreferenceTestSets,
    RewardBench,
    rewardbench_overall,
    rewardbench_prior_sets,
    rewardbench_sections_of_accuracies,
    wilson_interval,
)
from trl_ext.evaluation.benchmarks.rewardbench import EXAMPLE_COUNTS, PREFERENCE_SETS, SECTIONS


SCORES = {"Chat": 0.9, "Chat Hard": 0.5, "Safety": 0.8, "Reasoning": 0.6}


def make_rows(per_subset: int = 4) -> Dataset:
    rows = [
        {"id": number, "prompt": f"{subset} {number}?", "chosen": "yes", "rejected": "no", "subset": subset}
        for subset in EXAMPLE_COUNTS
        for number in range(per_subset)
    ]
    return RewardBench().load(Dataset.from_list(rows))


@pytest.fixture(scope="module")
def rows():
    return make_rows()


def random_rewards(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, size=(n, 2)).astype(float)


class TestSectionsOfAccuracies:
    def test_golden(self, shared_dir):
        cases = json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["section_scores"]["cases"]
        for case in cases:
            sections = rewardbench_sections_of_accuracies(case["metrics"])
            assert sections == pytest.approx(case["expected"], abs=1e-9), case["name"]
        readme = rewardbench_sections_of_accuracies(cases[-1]["metrics"])  # with model and chat_template beside
        assert readme["Chat"] == pytest.approx(0.60894, abs=1e-5)
        assert readme["Reasoning"] == pytest.approx(0.46676, abs=1e-5)

    def test_sections_without_subsets(self):
        assert rewardbench_sections_of_accuracies({}) == dict.fromkeys(SECTIONS, 0.0)
        assert math.isnan(rewardbench_sections_of_accuracies({}, absent="missing")["Chat"])

    @pytest.mark.parametrize("value", [None, float("nan")])
    def test_missing_accuracies_are_left_out(self, value):
        sections = rewardbench_sections_of_accuracies(
            {"donotanswer": value, "refusals-dangerous": 0.4, "ref_model": None}
        )
        assert sections["Safety"] == 0.4

    @pytest.mark.parametrize("value", ["0.5", float("inf"), True])
    def test_accuracies_must_be_numbers(self, value):
        with pytest.raises(ValueError, match="accuracy of subset 'donotanswer' must be a finite number"):
            rewardbench_sections_of_accuracies({"donotanswer": value})


class TestOverall:
    def test_without_prior_sets_it_is_the_plain_mean(self):
        assert rewardbench_overall(SCORES).value == pytest.approx(0.7)
        assert rewardbench_overall(SCORES, {}).value == pytest.approx(0.7)
        assert rewardbench_overall(SCORES, {"shp": None, "summarize": float("nan")}).value == pytest.approx(0.7)

    def test_prior_sets_have_half_the_weight_of_a_section(self):
        prior = {"anthropic_helpful": 0.6, "anthropic_hhh": 0.8, "shp": 0.4, "summarize": 0.6}
        assert rewardbench_overall(SCORES, prior).value == pytest.approx((2.8 + 0.5 * 0.6) / 4.5)
        # other preference sets don't count, and missing ones are left out of the mean
        prior = {"anthropic_helpful": 0.6, "shp": None, "anthropic_hhh": 0.8, "mtbench_gpt4": 0.0}
        assert rewardbench_prior_sets(prior).value == pytest.approx(0.7)
        assert rewardbench_overall(SCORES, prior).value == pytest.approx(0.7)

    def test_missing_sections_are_masked(self):
        assert rewardbench_overall(SCORES | {"Chat": float("nan")}, {"shp": 0.5}).value == pytest.approx(4.3 / 7)
        with pytest.raises(ValueError, match="no section is there"):
            rewardbench_overall({"Chat": None})

    def test_plain_numbers_have_no_uncertainty_and_estimates_do(self):
        assert math.isnan(rewardbench_overall(SCORES).se)
        parts = {name: wilson_interval(100 * value, 100) for name, value in SCORES.items()}
        overall = rewardbench_overall(parts, {"shp": wilson_interval(500, 1000)})
        assert overall.value == pytest.approx((2.8 + 0.25) / 4.5)
        assert overall.ci_low < overall.value < overall.ci_high
        assert overall.n == 1400

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="'Chat-Hard' is not a section; did you mean 'Chat Hard'"):
            rewardbench_overall({"Chat-Hard": 0.5})
        with pytest.raises(ValueError, match="'anthropic_helpfull' is not a preference set"):
            rewardbench_overall(SCORES, {"anthropic_helpfull": 0.5})

    def test_raw_contents_of_files(self):
        beside = {"model": "m", "model_type": "Seq. Classifier", "chat_template": None}
        prior = {"anthropic_helpful": 0.6, "shp": None, "anthropic_hhh": 0.8, "mtbench_gpt4": 0.0, **beside}
        assert rewardbench_overall(SCORES | beside, prior).value == pytest.approx(0.7)
        # as tables of the leaderboard have it, with Prior Sets among the sections
        assert rewardbench_overall(SCORES | {"Prior Sets": 0.6}).value == pytest.approx((2.8 + 0.3) / 4.5)
        with pytest.raises(ValueError, match="sections have 'Prior Sets': leave it out"):
            rewardbench_overall(SCORES | {"Prior Sets": 0.6}, {"shp": 0.5})
        with pytest.raises(ValueError, match="section 'Chat' must be a finite number.*got '0.9'"):
            rewardbench_overall(SCORES | {"Chat": "0.9"})

    @settings(max_examples=30)
    @given(st.lists(st.floats(0, 100), min_size=4, max_size=4), st.lists(st.floats(0, 100), min_size=4, max_size=4))
    def test_it_lies_between_its_parts(self, sections, prior):
        parts = dict(zip(SECTIONS, sections, strict=True))
        sets = dict(zip(["anthropic_helpful", "anthropic_hhh", "shp", "summarize"], prior, strict=True))
        value = rewardbench_overall(parts, sets).value
        assert min(sections + prior) - 1e-9 <= value <= max(sections + prior) + 1e-9
        assert value == pytest.approx((2 * sum(sections) + np.mean(prior)) / 9, abs=1e-9)


class TestLoad:
    def test_columns(self, rows):
        assert rows.column_names == ["id", "subset", "prompt", "responses", "num_correct", "cluster"]
        assert rows[5]["prompt"] == [{"role": "user", "content": "alpacaeval-length 1?"}]
        assert rows[5]["responses"] == ["yes", "no"] and rows[5]["num_correct"] == 1
        # ids that count from 0 in every subset get its name
        assert rows[5]["id"] == "alpacaeval-length/1"

    def test_ids_that_are_unique_stay_and_prompts_are_clusters(self):
        row = {"prompt": "same", "chosen": "a", "rejected": "b", "subset": "donotanswer", "chosen_model": "m"}
        rows = RewardBench().load(Dataset.from_list([row | {"id": 3}, row | {"id": 4}]))
        assert rows["id"] == ["3", "4"] and rows["cluster"] == ["3", "3"] and rows["chosen_model"] == ["m", "m"]

    def test_the_filtered_split_is_the_benchmark(self):
        row = {"id": 0, "prompt": "?", "chosen": "a", "rejected": "b", "subset": "donotanswer"}
        splits = DatasetDict(
            {"raw": Dataset.from_list([row | {"subset": "odd"}]), "filtered": Dataset.from_list([row])}
        )
        assert RewardBench().load(splits)["subset"] == ["donotanswer"]
        with pytest.raises(ValueError, match="'odd', which is not a subset"):
            RewardBench().load(splits, split="raw")

    def test_conversations(self):
        user, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": "a"}
        row = {
            "id": 0,
            "chosen": [user, answer],
            "rejected": [user, answer | {"content": "b"}],
            "subset": "donotanswer",
        }
        loaded = RewardBench().load(Dataset.from_list([row]))[0]
        assert loaded["prompt"] == [user] and loaded["responses"] == ["a", "b"]


class TestEvaluate:
    def test_rewards_of_the_original_program(self, shared_dir):
        folder = shared_dir / "golden" / "rewardbench_cli"
        lines = (folder / "expected" / "core___outputs.jsonl").read_text().splitlines()
        outputs = [json.loads(line) for line in lines]
        benchmark = RewardBench()
        result = benchmark.evaluate(
            benchmark.load(folder / "v1.jsonl"),
            [np.array([row["scores_chosen"], row["scores_rejected"]]) for row in outputs],
        )
        expected = json.loads((folder / "expected" / "core__.json").read_text())["extra_results"]
        assert {name: part.value for name, part in result.subsets.items()} == pytest.approx(expected, abs=1e-9)
        sections = json.loads((folder / "expected" / "core__sections.txt").read_text().replace("'", '"'))
        assert {name: part.value for name, part in result.sections.items()} == pytest.approx(sections, abs=1e-9)
        assert result.overall.value == pytest.approx(np.mean(list(sections.values())), abs=1e-9)
        assert result.rows["score"].tolist() == [row["results"] for row in outputs]
        assert not result.details["missing_subsets"]

    @pytest.mark.parametrize("interval", ["bootstrap", "mover"])
    def test_intervals_contain_the_score_and_both_kinds_agree_in_it(self, rows, interval):
        rewards = random_rewards(len(rows))
        result = RewardBench(interval=interval, resamples=300).evaluate(rows, rewards)
        other = RewardBench(interval="mover").evaluate(rows, rewards)
        for name, estimate in result.headline().items():
            assert estimate.ci_low <= estimate.value <= estimate.ci_high and estimate.se > 0
            assert estimate.value == pytest.approx(other.headline()[name].value)
            assert estimate.n == other.headline()[name].n
        assert ("bootstrap" in result.overall.method) == (interval == "bootstrap")
        json.dumps(result.to_dict(), allow_nan=False)

    def test_ties(self, rows):
        rewards = np.zeros((len(rows), 2))
        lost, half = (RewardBench(ties=rule, resamples=10).evaluate(rows, rewards) for rule in ("loss", "half"))
        assert lost.overall.value == 0 and half.overall.value == pytest.approx(0.5)
        assert lost.details["ties"] == dict.fromkeys(EXAMPLE_COUNTS, 4)
        assert half.details["ties_rule"] == "half" and half.rows["tied"].all() and (half.rows["margin"] == 0).all()

    def test_a_missing_section_is_named_and_leaves_no_overall_score(self, rows, caplog):
        part = rows.filter(lambda row: row["subset"] != "donotanswer" and not row["subset"].startswith("hep"))
        part = part.filter(lambda row: row["subset"] not in SECTIONS["Chat"])
        result = RewardBench(resamples=10).evaluate(part, random_rewards(len(part)))
        assert result.overall is None and list(result.sections) == ["Chat Hard", "Safety", "Reasoning"]
        assert result.details["missing_sections"] == ["Chat"] and "donotanswer" in result.details["missing_subsets"]
        assert "no overall score: the data have no rows of Chat" in caplog.text

    def test_prior_sets_count_in_the_overall_score(self, rows):
        rewards = random_rewards(len(rows))
        core = RewardBench(resamples=200).evaluate(rows, rewards).overall
        sets = Dataset.from_list(
            [
                {"id": i, "prompt": f"{i}?", "chosen": "a", "rejected": "b", "subset": name}
                for i, name in enumerate(["shp", "shp", "summarize", "summarize"])
            ]
        )
        benchmark = PreferenceTestSets()
        prior = benchmark.evaluate(benchmark.load(sets), [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        assert prior.overall.value == 0.75
        result = RewardBench(prior, resamples=200).evaluate(rows, rewards)
        assert result.overall.value == pytest.approx((8 * core.value + 0.75) / 9)
        assert result.overall.se > 0 and result.sections["Prior Sets"].value == 0.75
        plain = RewardBench({"shp": 1.0, "summarize": 0.5}, resamples=200).evaluate(rows, rewards)
        assert plain.overall.value == pytest.approx(result.overall.value) and math.isnan(plain.overall.se)

    @settings(max_examples=6)
    @given(st.integers(0, 1000))
    def test_the_order_of_rows_changes_no_score(self, seed):
        rows = SMALL
        rewards, order = random_rewards(len(rows), seed), np.random.default_rng(seed).permutation(len(rows))
        benchmark = RewardBench(interval="mover")
        one, other = benchmark.evaluate(rows, rewards), benchmark.evaluate(rows.select(order), rewards[order])
        for name, estimate in one.headline().items():
            assert estimate.value == pytest.approx(other.headline()[name].value)
            assert estimate.ci_low == pytest.approx(other.headline()[name].ci_low)


SMALL = make_rows(2)


def test_numbers_of_pairs():
    assert sum(EXAMPLE_COUNTS.values()) - EXAMPLE_COUNTS["math-prm"] + 447 == 2985
    assert len(PREFERENCE_SETS) == 9


@pytest.mark.parametrize("function", [rewardbench_sections_of_accuracies, rewardbench_overall, RewardBench])
def test_the_docstring_example_runs(function):
    assert failed_examples(function) == 0


def test_estimates_of_given_numbers_are_not_taken_for_measured_ones():
    assert isinstance(rewardbench_prior_sets({"shp": 0.5}), Estimate)
    assert rewardbench_prior_sets({"shp": 0.5}).n == 0
    assert rewardbench_prior_sets({"mtbench_gpt4": 0.5}) is None

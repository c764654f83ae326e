"""Preference test sets, and preference data of one's own."""

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import PreferenceBenchmark, PreferenceTestSets, proportion_estimate


USER, ANSWER = {"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}
WRONG = ANSWER | {"content": "3"}


def load(rows: list[dict], **options) -> Dataset:
    return PreferenceBenchmark(**options).load(Dataset.from_list(rows))


class TestPreferenceTestSets:
    def splits(self) -> DatasetDict:
        def rows(name: str, n: int) -> Dataset:
            row = {"chosen": "a", "rejected": "b", "subset": "inner"}
            return Dataset.from_list(
                [row | {"id": i, "prompt": [{"role": "user", "content": f"{name} {i}"}]} for i in range(n)]
            )

        sizes = {
            "anthropic_helpful": 4,
            "anthropic_hhh": 2,
            "shp": 2,
            "summarize": 2,
            "pku_better": 3,
            "mtbench_gpt4": 1,
        }
        return DatasetDict({name: rows(name, n) for name, n in sizes.items()})

    def test_the_prior_sets_by_default(self):
        rows = PreferenceTestSets().load(self.splits())
        assert set(rows["subset"]) == {"anthropic_helpful", "anthropic_hhh", "shp", "summarize"} and len(rows) == 10
        assert rows[0]["id"] == "anthropic_helpful/0" and rows[0]["subsubset"] == "inner"

    def test_other_selections(self):
        every = PreferenceTestSets("all").load(self.splits())
        assert "mtbench_gpt4" in every["subset"] and "pku_better" not in every["subset"]
        assert len(PreferenceTestSets(["shp", "pku_better"]).load(self.splits())) == 5
        # a split that is asked for is read whatever the sets
        assert len(PreferenceTestSets().load(self.splits(), split="mtbench_gpt4")) == 1
        with pytest.raises(ValueError, match="it has no split 'ship'; its splits are 'anthropic_helpful'"):
            PreferenceTestSets().load(self.splits(), split="ship")

    def test_the_overall_score_is_the_plain_mean_of_the_prior_sets(self):
        benchmark = PreferenceTestSets("all")
        rows = benchmark.load(self.splits())
        won = [1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0]
        result = benchmark.evaluate(rows, [[float(win), 0.5] for win in won])
        values = {name: estimate.value for name, estimate in result.subsets.items()}
        assert values == {"anthropic_helpful": 0.75, "anthropic_hhh": 1, "shp": 0, "summarize": 0.5, "mtbench_gpt4": 0}
        assert result.overall.value == pytest.approx(np.mean([0.75, 1, 0, 0.5]))
        assert result.details["missing_sets"] == []

    def test_without_prior_sets_there_is_no_overall_score(self):
        benchmark = PreferenceTestSets("mtbench_gpt4")
        result = benchmark.evaluate(benchmark.load(self.splits()), [[1.0, 0.0]])
        assert result.overall is None and len(result.details["missing_sets"]) == 4


class TestForms:
    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"},
            {"question": "1 + 1?", "chosen": "2", "rejected": "3"},
            {"input": "1 + 1?", "chosen": ["2"], "rejected": ["3"]},
            {"prompt": [USER], "chosen": "2", "rejected": "3"},
            {"prompt": [USER], "chosen": [ANSWER], "rejected": [WRONG]},
            {"chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
            {"prompt": "1 + 1?", "chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
            {"prompt": [USER], "chosen": [USER, ANSWER], "rejected": [USER, WRONG]},
            {"prompt": "1 + 1?", "responses": ["2", "3"], "num_correct": 1},
            {"responses": [[USER, ANSWER], [USER, WRONG]], "num_correct": 1},
            {"chosen": [[USER, ANSWER]], "rejected": [[USER, WRONG]]},
        ],
    )
    def test_all_forms_of_a_pair_are_the_same_row(self, row):
        (loaded,) = load([row | {"source": "x"}]).to_list()
        assert loaded == {
            "id": "0",
            "subset": "all",
            "prompt": [USER],
            "responses": ["2", "3"],
            "num_correct": 1,
            "cluster": "0",
            "source": "x",
        }

    def test_files_of_the_original_program(self, shared_dir):
        folder = shared_dir / "golden" / "rewardbench_cli"
        pairs = PreferenceBenchmark(empty="keep").load(folder / "prefs.jsonl")
        source = [json.loads(line) for line in (folder / "prefs.jsonl").read_text().splitlines()]
        assert pairs["id"] == [row["id"] for row in source] and pairs["subset"] == [row["subset"] for row in source]
        assert pairs["responses"] == [[row["chosen"][-1]["content"], row["rejected"][-1]["content"]] for row in source]
        messages = PreferenceBenchmark(empty="keep").load(folder / "messages.jsonl")
        assert messages["num_correct"] == [0] * len(messages) and {len(r) for r in messages["responses"]} == {1}

    def test_system_messages_and_earlier_turns_are_in_the_prompt(self):
        system = {"role": "system", "content": "Be brief."}
        turns = [system, USER, ANSWER, {"role": "user", "content": "And 2 + 2?"}]
        (row,) = load([{"chosen": [*turns, ANSWER], "rejected": [*turns, WRONG]}]).to_list()
        assert row["prompt"] == turns

    def test_csv_and_splits(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / f"{name}.csv").write_text("id,prompt,chosen,rejected,group\n7,1 + 1?,2,3,x\n")
        rows = PreferenceBenchmark().load(tmp_path)
        assert rows["id"] == ["a/7", "b/7"] and rows["subset"] == ["a", "b"] and rows["responses"][0] == ["2", "3"]
        # the same prompt in two files is still one prompt
        assert rows["cluster"] == ["a/7", "a/7"]
        assert PreferenceBenchmark().load(tmp_path, split="b")["id"] == ["7"]

    def test_messages_are_preferred_on_request(self):
        row = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", "messages": [USER, ANSWER]}
        assert load([row])["num_correct"] == [1]
        assert load([row], prioritize_scoring=True)["num_correct"] == [0]


class TestFigures:
    def test_pairs(self):
        rows = load(
            [
                {"prompt": f"{i // 2}?", "chosen": "a", "rejected": "b", "subset": "xy"[i % 2], "cluster": i // 2}
                for i in range(8)
            ]
        )
        rewards = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 0.0], [0.0, 0.0], [1.0, 0.0], [5.0, 1.0]]
        lost, half = (PreferenceBenchmark(ties=rule).evaluate(rows, rewards) for rule in ("loss", "half"))
        assert lost.overall.value == 5 / 8 and half.overall.value == 6 / 8
        assert lost.overall == proportion_estimate(lost.rows["score"].to_numpy(), np.arange(8) // 2)
        assert {name: estimate.value for name, estimate in lost.subsets.items()} == {"x": 0.75, "y": 0.5}
        assert lost.details["ties"] == {"x": 1, "y": 1} and lost.details["pair_accuracy"]["value"] == 5 / 8
        assert lost.rows["margin"].tolist() == [1, -1, 0, 1, 3, 0, 1, 4]

    def test_several_right_and_wrong_responses(self):
        rows = load([{"prompt": "?", "chosen": ["a", "b"], "rejected": ["c", "d", "e"]}] * 1)
        result = PreferenceBenchmark().evaluate(rows, [[3.0, 1.0, 2.0, 1.0, 0.0]])
        # b against c is lost, against d tied: 4 of 6 pairs
        assert result.overall.value == 1 and result.rows["pair_accuracy"][0] == pytest.approx(4 / 6)
        assert result.rows["all_right"][0] == 0 and result.rows["margin"][0] == -1 and not result.rows["tied"][0]
        half = PreferenceBenchmark(ties="half").evaluate(rows, [[3.0, 1.0, 2.0, 1.0, 0.0]])
        assert half.rows["pair_accuracy"][0] == pytest.approx(4.5 / 6)

    def test_messages_have_rewards_and_no_accuracy(self):
        rows = load([{"messages": [USER, ANSWER], "id": "m"}])
        result = PreferenceBenchmark().evaluate(rows, [[0.5]])
        assert result.overall is None and result.subsets == {} and result.details["rows_without_judgement"] == 1
        assert np.isnan(result.rows["score"][0])


@pytest.mark.parametrize("function", [PreferenceTestSets, PreferenceBenchmark])
def test_the_docstring_example_runs(function):
    assert failed_examples(function) == 0

"""Rows of benchmarks that are not as they must be: every loader names the row, the column and what is allowed."""

import pytest
from datasets import Dataset

from trl_ext.evaluation import PreferenceBenchmark, PreferenceTestSets, RewardBench, RewardBench2, RMBench


USER, ANSWER = {"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}
V1 = {"id": 7, "prompt": "1 + 1?", "chosen": "2", "rejected": "3", "subset": "donotanswer"}
V2 = {"id": "7", "prompt": "1 + 1?", "chosen": ["2"], "rejected": ["3", "4", "5"], "subset": "Math"}
TIES = {"id": "tied:0", "prompt": "Name a colour.", "chosen": ["red", "blue"], "rejected": ["dog"], "subset": "Ties"}
STYLED = {"id": 7, "prompt": "1 + 1?", "chosen": ["2", "two", "**2**"], "rejected": ["3", "three", "**3**"]}
PREFS = {"id": 7, "prompt": [USER], "chosen": "2", "rejected": "3", "subset": "shp"}
PAIR = {"id": "7", "prompt": "1 + 1?", "chosen": "2", "rejected": "3"}
CHAT = {"id": "7", "chosen": [USER, ANSWER], "rejected": [USER, {"role": "assistant", "content": "3"}]}
K_WAY = {"id": "7", "prompt": "1 + 1?", "responses": ["2", "two", "3"], "num_correct": 2}


def without(row: dict, *columns: str) -> dict:
    return {name: value for name, value in row.items() if name not in columns}


CASES = [
    (RewardBench, [without(V1, "subset")], "lacks the columns 'subset'; it has 'id', 'prompt', 'chosen', 'rejected'"),
    (RewardBench, [V1 | {"subset": "donotanswr"}], "row 0 .id 7.: column 'subset'.*did you mean 'donotanswer'"),
    (RewardBench, [V1 | {"subset": None}], "column 'subset' holds None.*they are alpacaeval-easy, "),
    (RewardBench, [V1, V1], "rows 0 and 1 of subset 'donotanswer' have the same id '7'"),
    (RewardBench, [V1 | {"prompt": " "}], "row 0 .id 7.: column 'prompt' is empty or only whitespace.*empty='drop'"),
    (RewardBench, [V1 | {"rejected": ""}], "column 'rejected' is empty"),
    (RewardBench, [V1 | {"chosen": 5}], "column 'chosen' must be text or a list of messages, got int: 5"),
    (RewardBench, [without(V1, "prompt")], "row 0 .id 7. has no prompt: give a column 'prompt'"),
    (RewardBench, [V1 | {"id": None}], "column 'id' must hold text or a whole number, got None"),
    (RewardBench2, [without(V2, "id", "rejected")], "lacks the columns 'id', 'rejected'"),
    (RewardBench2, [V2 | {"subset": "Precise Instruction"}], "not a subset of RewardBench 2"),
    (
        RewardBench2,
        [V2 | {"chosen": "2"}],
        "column 'chosen' must be a list of texts, got str.*use JSON Lines or Parquet",
    ),
    (RewardBench2, [V2 | {"rejected": []}], "column 'rejected' is an empty list; it needs at least one text"),
    (RewardBench2, [V2 | {"chosen": ["\n"]}], "column 'chosen', entry 0 is empty"),
    (RewardBench2, [V2 | {"num_correct": 0}], "column 'num_correct' is 0, but 'chosen' has 1 and 'rejected' 3 texts"),
    (RewardBench2, [V2 | {"num_correct": 9}], "column 'num_correct' is 9"),
    (RewardBench2, [V2 | {"total_completions": 5}], "column 'total_completions' is 5"),
    (RewardBench2, [V2, V2], "rows 0 and 1 of subset 'Math' have the same id '7'"),
    (RewardBench2, [TIES | {"id": "0"}], "ids of the Ties subset must be 'ref:<n>' or 'tied:<n>', got '0'"),
    (RewardBench2, [TIES | {"id": "ref:0"}], "'chosen' has 2 texts; 'ref:<n>' has one right response"),
    (RMBench, [STYLED | {"domain": "poetry"}], "domain 'poetry' begins with none of chat, math, code, safety"),
    (RMBench, [STYLED], "domain 'train' begins with none of .*Give rows a field `domain`"),
    (RMBench, [STYLED | {"domain": "math", "rejected": ["3"]}], "'rejected' must be a list of 3 texts"),
    (RMBench, [without(STYLED, "chosen")], "lacks the columns 'chosen'"),
    (RMBench, [STYLED | {"domain": "math"}] * 2, "rows 0 and 1 of subset 'math' have the same id 'math/7'"),
    (PreferenceTestSets, [without(PREFS, "subset")], "whose split 'train' is not one of the sets, lacks .*'subset'"),
    (
        PreferenceTestSets,
        [PREFS | {"subset": "spp"}],
        "column 'subset' holds 'spp', which is not one of anthropic_harm",
    ),
    (
        PreferenceTestSets,
        [PREFS | {"subset": "mtbench_gpt4"}],
        "has no rows of the sets anthropic_helpful, anthropic_hhh",
    ),
    (PreferenceTestSets, [PREFS | {"prompt": [USER, ANSWER]}], "column 'prompt' ends with a message of the assistant"),
    (PreferenceTestSets, [PREFS | {"prompt": []}], "column 'prompt' is a list of messages without a message"),
    (
        PreferenceBenchmark,
        [{"text": "a", "label": 1}],
        "neither 'chosen' and 'rejected'.*its columns are 'text', 'label'",
    ),
    (PreferenceBenchmark, [without(PAIR, "rejected")], "neither 'chosen' and 'rejected'"),
    (PreferenceBenchmark, [without(PAIR, "prompt")], "has no prompt"),
    (PreferenceBenchmark, [without(K_WAY, "num_correct")], "has 'responses', but lacks the columns 'num_correct'"),
    (PreferenceBenchmark, [K_WAY | {"num_correct": 0}], "num_correct is 0, .* from 1 to 2"),
    (PreferenceBenchmark, [K_WAY | {"num_correct": 3}], "num_correct is 3, .*at least one right and one wrong"),
    (PreferenceBenchmark, [K_WAY | {"responses": []}], "column 'responses' is an empty list"),
    (
        PreferenceBenchmark,
        [K_WAY | {"responses": "2"}],
        "column 'responses' must be a list with an entry per response",
    ),
    (PreferenceBenchmark, [PAIR | {"subset": None}], "column 'subset' must hold text"),
    (PreferenceBenchmark, [PAIR, PAIR], "have the same id '7'"),
    (
        PreferenceBenchmark,
        [CHAT | {"rejected": [USER | {"content": "other"}, ANSWER]}],
        "'chosen' and column 'rejected' must differ in their last message alone",
    ),
    (PreferenceBenchmark, [CHAT | {"rejected": [ANSWER]}], "is a conversation with its prompt, but column 'rejected'"),
    (PreferenceBenchmark, [CHAT | {"chosen": [USER, USER]}], "must end with a message of role 'assistant'.*'user'"),
    (
        PreferenceBenchmark,
        [CHAT | {"chosen": [{"role": "human", "content": "?"}, ANSWER]}],
        "a role that is not one of system, .*'human'",
    ),
    (
        PreferenceBenchmark,
        [CHAT | {"prompt": "else"}],
        "column 'prompt' holds 'else', but column 'chosen' begins with",
    ),
    (PreferenceBenchmark, [{"messages": [ANSWER]}], "must be a list of messages with a prompt and an answer"),
]


@pytest.mark.parametrize(("benchmark", "rows", "message"), CASES, ids=lambda value: getattr(value, "name", None))
def test_rows_that_are_not_as_they_must_be(benchmark, rows, message):
    with pytest.raises(ValueError, match=message):
        benchmark().load(Dataset.from_list(rows))


def test_a_csv_file_without_a_column(tmp_path):
    (tmp_path / "rows.csv").write_text("prompt,chosen\n1 + 1?,2\n")
    with pytest.raises(ValueError, match=r"rows\.csv'.*its columns are 'prompt', 'chosen'\. Rename them"):
        PreferenceBenchmark().load(tmp_path / "rows.csv")


def test_empty_rows_can_be_left_out_and_are_counted(caplog):
    rows = Dataset.from_list([PAIR, PAIR | {"id": "8", "chosen": " "}, PAIR | {"id": "9"}]).add_column("x", [1, 2, 3])
    loaded = PreferenceBenchmark(empty="drop").load(rows)
    assert loaded["id"] == ["7", "9"] and loaded["x"] == [1, 3]
    assert "1 of 3 rows are left out" in caplog.text and "(id '8')" in caplog.text
    with pytest.raises(ValueError, match="all of its 1 rows have an empty"):
        PreferenceBenchmark(empty="drop").load(rows.select([1]))


@pytest.mark.parametrize(
    ("benchmark", "row", "responses"),
    [
        (RewardBench, V1 | {"chosen": ""}, ["", "3"]),
        (RewardBench2, V2 | {"rejected": ["3", " ", "5"]}, ["2", "3", " ", "5"]),
        (PreferenceTestSets, PREFS | {"rejected": ""}, ["2", ""]),
        (PreferenceBenchmark, CHAT | {"chosen": [USER, ANSWER | {"content": ""}]}, ["", "3"]),
        (PreferenceBenchmark, K_WAY | {"responses": ["2", "", "3"]}, ["2", "", "3"]),
    ],
)
def test_empty_responses_are_kept_on_request_but_not_empty_prompts(benchmark, row, responses):
    loaded = benchmark(empty="keep").load(Dataset.from_list([row]))
    assert loaded["responses"] == [responses]
    if "prompt" in row:
        with pytest.raises(ValueError, match="column 'prompt' is empty or only whitespace.*prompts can't be kept"):
            benchmark(empty="keep").load(Dataset.from_list([row | {"prompt": " "}]))


GOOD = Dataset.from_list([PAIR, PAIR | {"id": "8"}])


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ([[1.0, 0.0]], r"2 rows, but 1 arrays; the first row without is 1 \(id '8'\)"),
        ([[1.0, 0.0]] * 3, r"2 rows, but 3 arrays; the last row is 1 \(id '8'\)"),
        ([[1.0, 0.0], [1.0]], r"row 1 \(id '8'\) has 2 responses and needs rewards of shape \(2,\), got \(1,\)"),
        ([[1.0, 0.0], [[1.0], [0.0]]], r"row 1 \(id '8'\).*got \(2, 1\)"),
        ([[1.0, 0.0], [1.0, float("nan")]], r"row 1 \(id '8'\): the reward of response 1 is nan"),
        ([[float("inf"), 0.0], [1.0, 0.0]], r"row 0 \(id '7'\): the reward of response 0 is inf"),
    ],
)
def test_rewards_that_are_not_as_they_must_be(rewards, message):
    benchmark = PreferenceBenchmark()
    with pytest.raises(ValueError, match=message):
        benchmark.evaluate(benchmark.load(GOOD), rewards)


def test_rows_that_were_not_loaded():
    with pytest.raises(
        ValueError, match="rows must be those of Benchmark.load, but lack the columns subset, responses"
    ):
        PreferenceBenchmark().evaluate(GOOD, [[1.0, 0.0]] * 2)


def test_a_right_and_a_wrong_response_of_the_same_text_count_as_a_tie(caplog):
    benchmark = PreferenceBenchmark()
    rows = benchmark.load(Dataset.from_list([PAIR, PAIR | {"id": "8", "rejected": "2"}]))
    result = benchmark.evaluate(rows, [[1.0, 0.0], [1.0, 1.0]])
    assert result.overall.value == 0.5 and result.details["identical_responses"] == 1
    assert "1 rows have a right and a wrong response of the same text" in caplog.text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RewardBench(ties="win"), "ties must be one of 'loss', 'half', got 'win'"),
        (lambda: RewardBench(interval="exact"), "interval must be one of 'bootstrap', 'mover'"),
        (lambda: RewardBench({"spp": 0.5}), "'spp' is not a preference set; did you mean 'shp'"),
        (lambda: RewardBench2(ties_variant="0.2"), "ties_variant must be one of '0.1.5', '0.1.4'"),
        (lambda: PreferenceTestSets("some"), "sets must be 'prior', 'all' or some of"),
        (lambda: PreferenceTestSets([]), "got none"),
        (lambda: PreferenceBenchmark(empty="fill"), "empty must be one of 'error', 'drop', 'keep'"),
        (lambda: PreferenceBenchmark().load(), "has no data of its own"),
    ],
)
def test_options_that_do_not_exist(make, message):
    with pytest.raises(ValueError, match=message):
        make()

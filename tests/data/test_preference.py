"""Every way in which preference data goes wrong, and what the error says."""

import logging
import math
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.data import PREFERENCE_COLUMNS, validate_preferences
from trl_ext.data.messages import MESSAGE_ROLES


NAN, INF = float("nan"), float("inf")


def text_rows(**columns):
    rows = {
        "prompt": ["1 + 1?", "2 + 2?", "3 + 3?"],
        "chosen": ["2", "4", "6"],
        "rejected": ["3", "5", "7"],
        "id": ["q1", "q2", "q3"],
    }
    rows = rows | columns
    return Dataset.from_dict({name: values for name, values in rows.items() if values is not None})


def user(content="1 + 1?", **fields):
    return {"role": "user", "content": content, **fields}


def assistant(content="2", **fields):
    return {"role": "assistant", "content": content, **fields}


def chat_rows(**columns):
    rows = {
        "prompt": [[user()], [user()], [user()]],
        "chosen": [[assistant("2")], [assistant("two")], [assistant("2.")]],
        "rejected": [[assistant("3")], [assistant("4")], [assistant("5")]],
        "id": ["c1", "c2", "c3"],
    }
    return Dataset.from_dict(rows | columns, on_mixed_types="use_json")


def id_rows(chosen, rejected=((1, 2), (3,))):
    return Dataset.from_dict({"chosen_ids": list(chosen), "rejected_ids": [list(ids) for ids in rejected]})


# case: dataset, error, column, row (None: no single row), the rule as it is worded
TEXT_CASES = {
    "chosen is not there": (text_rows(chosen=None), ValueError, "chosen", None, "has no column 'chosen'"),
    "rejected is misspelt": (
        text_rows(rejected=None, Rejected=["3", "5", "7"]),
        ValueError,
        "rejected",
        None,
        "Did you mean 'Rejected'? Say which one to use: columns={'rejected': 'Rejected'}",
    ),
    "no rows": (text_rows().select([]), ValueError, "chosen", None, "has no rows"),
    "chosen is None": (text_rows(chosen=["2", None, None]), ValueError, "chosen", 1, "2 values missing (None)"),
    "all chosen are None": (text_rows(chosen=[None] * 3), ValueError, "chosen", 0, "3 values missing (None)"),
    "prompt is None": (text_rows(prompt=["a", "b", None]), ValueError, "prompt", 2, "1 value missing (None)"),
    "chosen holds ints": (
        text_rows(chosen=[2, 4, 6]),
        TypeError,
        "chosen",
        0,
        "not text or lists of messages but int64",
    ),
    "rejected holds floats": (text_rows(rejected=[0.5, 1, 2]), TypeError, "rejected", 0, "but double values"),
    "chosen holds dicts": (
        text_rows(chosen=[assistant()] * 3),
        TypeError,
        "chosen",
        0,
        "not text or lists of messages",
    ),
    "chosen holds lists of text": (
        text_rows(chosen=[["2"], ["4"], ["6"]]),
        TypeError,
        "chosen",
        0,
        "but lists of string",
    ),
    "chosen is empty": (
        text_rows(chosen=["2", "", "6"]),
        ValueError,
        "chosen",
        1,
        "1 text that are empty or only white",
    ),
    "rejected is whitespace": (text_rows(rejected=["3", "5", " \n\t\u3000"]), ValueError, "rejected", 2, "whitespace"),
    "prompt is empty": (text_rows(prompt=["", "", "a"]), ValueError, "prompt", 0, "remove the column"),
    "identical": (
        text_rows(rejected=["3", "4", "6"]),
        ValueError,
        "rejected",
        1,
        "2 values identical to column 'chosen'",
    ),
    "text and messages in a column": (
        chat_rows(chosen=[[assistant()], [assistant("4")], "six"]),
        TypeError,
        "chosen",
        2,
        "of another kind (text) than row 0 (lists of messages)",
    ),
    "numbers and text in a column": (
        Dataset.from_dict({"chosen": ["two", 4], "rejected": ["3", "5"]}, on_mixed_types="use_json"),
        TypeError,
        "chosen",
        1,
        "of another kind (int values) than row 0 (text)",
    ),
    "text prompt, messages chosen": (
        chat_rows(prompt=["1 + 1?"] * 3),
        TypeError,
        "prompt",
        0,
        "holds text but column 'chosen' holds lists of messages",
    ),
    "text chosen, messages rejected": (
        text_rows(rejected=[[assistant()]] * 3),
        TypeError,
        "rejected",
        0,
        "Use one kind in prompt, chosen, rejected",
    ),
}

CHAT_CASES = {
    "no message": (chat_rows(chosen=[[assistant()], [], []]), "chosen", 1, "2 lists without a message"),
    "no message anywhere": (chat_rows(chosen=[[], [], []]), "chosen", 0, "3 lists without a message"),
    "misspelt role": (
        chat_rows(chosen=[[assistant()], [assistant()], [{"role": "asistant", "content": "2"}]]),
        "chosen",
        2,
        "a role that is not one of system, developer, user, assistant",
    ),
    "role is None": (
        chat_rows(prompt=[[user()], [{"role": None, "content": "a"}], [user()]]),
        "prompt",
        1,
        "role that is",
    ),
    "role is a number": (
        chat_rows(prompt=[[{"role": 1, "content": "a"}]] * 3),
        "prompt",
        0,
        "role that is not one of",
    ),
    "message is None": (chat_rows(prompt=[[user()], [user(), None], [user()]]), "prompt", 1, "not a dict with 'role'"),
    "from and value": (
        chat_rows(chosen=[[{"from": "gpt", "value": "2"}]] * 3),
        "chosen",
        0,
        "Rename 'from' to 'role' and 'value' to 'content'",
    ),
    "no content": (chat_rows(rejected=[[{"role": "assistant"}]] * 3), "rejected", 0, "content that is not text"),
    "content is None": (
        chat_rows(rejected=[[assistant("3")], [assistant(None)], [assistant()]]),
        "rejected",
        1,
        "not text",
    ),
    "content is a number": (chat_rows(rejected=[[assistant(3)]] * 3), "rejected", 0, "content that is not text"),
    "content is empty": (
        chat_rows(rejected=[[assistant("3")], [assistant("")], [assistant(" ")]]),
        "rejected",
        1,
        "2 lists",
    ),
    "user says nothing": (
        chat_rows(prompt=[[user("\n")], [user()], [user()]]),
        "prompt",
        0,
        "whitespace-only content",
    ),
    "parts are empty": (chat_rows(prompt=[[user([])], [user()], [user()]]), "prompt", 0, "whitespace-only content"),
    "identical": (
        chat_rows(rejected=[[assistant("3")], [assistant("two")], [assistant("5")]]),
        "rejected",
        1,
        "1 value identical to column 'chosen'",
    ),
}

NUMERIC_CASES = {
    "not there": (None, ValueError, None, "has no column 'reliability'"),
    "text": (["0.5", "high", ""], TypeError, 1, "2 values that are text, not numbers"),
    "numbers as text": (["0.5", "0.6", "0.7"], TypeError, 0, "numbers written as text"),
    "bool": ([True, False, True], TypeError, 0, "true or false, not numbers"),
    "lists": ([[0.5], [0.6], [0.7]], TypeError, 0, "not numbers but list"),
    "NaN": ([0.5, NAN, NAN], ValueError, 1, "2 values missing (None or NaN)"),
    "None": ([0.5, 0.5, None], ValueError, 2, "1 value missing (None or NaN)"),
    "all None": ([None, None, None], ValueError, 0, "3 values missing (None or NaN)"),
    "inf": ([0.5, 0.5, INF], ValueError, 2, "1 value that are infinite"),
    "-inf": ([-INF, 0.5, INF], ValueError, 0, "2 values that are infinite"),
    "above": ([0.5, 1.2, 7.0], ValueError, 1, "2 values outside [0, 1]"),
    "below": ([0.5, 0.5, -1e-9], ValueError, 2, "1 value outside [0, 1]"),
    "int": ([0, 1, 2], ValueError, 2, "1 value outside [0, 1]"),
}


def assert_names(error, dataset, column, row, rule):
    message = str(error.value)
    assert message.startswith("eval dataset")
    assert rule in message
    if "has no rows" not in rule:
        assert f"column '{column}'" in message
    if row is not None:
        row_id = f" (id {dataset['id'][row]!r})" if "id" in dataset.column_names else ""
        assert f"first: row {row}{row_id}, value " in message
    assert len(message) < 600


class TestTextColumns:
    @pytest.mark.parametrize("dataset, error, column, row, rule", TEXT_CASES.values(), ids=TEXT_CASES)
    def test_bad_rows_are_named(self, dataset, error, column, row, rule):
        with pytest.raises(error) as caught:
            validate_preferences(dataset, name="eval")
        assert_names(caught, dataset, column, row, rule)

    @pytest.mark.parametrize("dataset, column, row, rule", CHAT_CASES.values(), ids=CHAT_CASES)
    def test_bad_messages_are_named(self, dataset, column, row, rule):
        with pytest.raises(ValueError) as caught:
            validate_preferences(dataset, name="eval")
        assert_names(caught, dataset, column, row, rule)

    @pytest.mark.parametrize(
        "dataset",
        [
            text_rows(),
            text_rows(prompt=None),
            chat_rows(),
            chat_rows(prompt=[[{"role": "system", "content": ""}, user()]] * 3),
            chat_rows(prompt=[[user([{"type": "text", "text": "1 + 1?"}])]] * 3),
            chat_rows(prompt=[[user([{"type": "text", "text": "1 + 1?"}])], [user()], [user()]]),
            chat_rows(chosen=[[assistant(None, tool_calls=[{"name": "add", "arguments": {"a": 1}}])]] * 3),
            chat_rows(prompt=[[user(), {"role": "tool", "content": ""}]] * 3),
        ],
        ids=[
            "text",
            "no prompt",
            "chat",
            "empty system",
            "parts",
            "parts and text",
            "tool calls",
            "empty tool result",
        ],
    )
    def test_good_rows_pass_unchanged(self, dataset):
        assert validate_preferences(dataset) is dataset

    def test_tool_calls_make_messages_with_equal_content_different(self):
        def calls(number):
            return [assistant("", tool_calls=[{"name": "add", "arguments": {"a": number}}])]

        dataset = chat_rows(chosen=[calls(1)] * 3, rejected=[calls(2), calls(1), calls(2)])
        with pytest.raises(ValueError, match=r"1 value identical to column 'chosen'; first: row 1 "):
            validate_preferences(dataset)

    def test_a_long_value_is_shortened(self):
        dataset = text_rows(chosen=["a" * 10_000] * 3, rejected=["a" * 10_000] * 3)
        with pytest.raises(ValueError) as caught:
            validate_preferences(dataset)
        assert "aaa..." in str(caught.value) and len(str(caught.value)) < 300

    def test_without_id_column_only_the_row_is_named(self):
        with pytest.raises(ValueError, match="first: row 0, value ''"):
            validate_preferences(text_rows(chosen=["", "4", "6"], id=None))

    def test_rows_are_those_of_the_dataset_as_it_is_selected(self):
        dataset = text_rows(chosen=["", "4", "6"]).select([2, 1, 0])
        with pytest.raises(ValueError, match=r"first: row 2 \(id 'q1'\)"):
            validate_preferences(dataset)

    def test_rows_far_from_the_start_are_counted(self):
        # more rows than one chunk
        count = 25_000
        chosen = np.array(["yes"] * count, dtype=object)
        chosen[[20_001, 24_999]] = ""
        for wrap in (lambda text: text, lambda text: [assistant(text)]):
            columns = {"chosen": [wrap(text) for text in chosen], "rejected": [wrap("no")] * count}
            with pytest.raises(ValueError, match=r"has 2 \w+ .*first: row 20001"):
                validate_preferences(Dataset.from_dict(columns))

    @pytest.mark.parametrize("role", MESSAGE_ROLES)
    def test_known_roles_pass(self, role):
        validate_preferences(chat_rows(prompt=[[{"role": role, "content": "a"}]] * 3))


class TestIdenticalPolicy:
    rows = {"rejected": ["3", "4", "7"]}

    def test_drop_counts_what_it_drops(self, caplog):
        with caplog.at_level(logging.WARNING):
            dataset = validate_preferences(text_rows(**self.rows), identical="drop")
        assert dataset["id"][:] == ["q1", "q3"]
        assert "train dataset: dropped 1 pair" in caplog.text

    def test_drop_does_not_empty_a_dataset(self):
        with pytest.raises(ValueError, match="in all 3 rows"):
            validate_preferences(text_rows(rejected=["2", "4", "6"]), identical="drop")

    def test_keep(self):
        dataset = text_rows(**self.rows)
        assert validate_preferences(dataset, identical="keep") is dataset

    def test_unknown(self):
        with pytest.raises(ValueError, match="`identical` must be one of error, drop, keep, got 'warn'"):
            validate_preferences(text_rows(), identical="warn")


class TestNumericColumns:
    @pytest.mark.parametrize("values, error, row, rule", NUMERIC_CASES.values(), ids=NUMERIC_CASES)
    def test_bad_values_are_named(self, values, error, row, rule):
        dataset = text_rows(reliability=values)
        with pytest.raises(error) as caught:
            validate_preferences(dataset, name="eval", numeric_columns={"reliability": (0, 1)})
        assert_names(caught, dataset, "reliability", row, rule)

    def test_the_message_is_that_of_the_style_guide(self):
        dataset = text_rows(reliability=[0.5, 1.2, 0.1])
        expected = (
            "train dataset: column 'reliability' has 1 value outside [0, 1]; first: row 1 (id 'q2'), value 1.2. "
            'If these are raw annotator metrics, set reliability_kind="raw".'
        )
        with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
            validate_preferences(dataset, numeric_columns={"reliability": (0, 1)})

    @pytest.mark.parametrize(
        "limits, values, rule, allowed",
        [
            ((0, INF), [-1.0, 0, 1], "below 0", "finite numbers >= 0"),
            ((-INF, 5), [0, 6.0, 1], "above 5", "finite numbers <= 5"),
            ((-INF, INF), [0, 6.0, INF], "infinite", "finite numbers."),
            ((0.5, 1), [0.5, 0.25, 1], "outside [0.5, 1]", "numbers in [0.5, 1]"),
        ],
    )
    def test_the_allowed_range_is_said(self, limits, values, rule, allowed):
        with pytest.raises(ValueError) as caught:
            validate_preferences(text_rows(score=values), numeric_columns={"score": limits})
        assert rule in str(caught.value) and f"Allowed: {allowed}" in str(caught.value)

    @pytest.mark.parametrize("column", PREFERENCE_COLUMNS)
    def test_known_columns_accept_both_ends_of_their_range_and_nothing_beyond(self, column):
        low, high = PREFERENCE_COLUMNS[column]
        ends = [end for end in (low, high) if math.isfinite(end)] or [-1e300, 1e300]
        limits = {column: (low, high)}
        validate_preferences(text_rows(**{column: [ends[0], ends[-1], ends[0]]}), numeric_columns=limits)
        for bad in [np.nextafter(low, -INF), np.nextafter(high, INF), INF, -INF]:
            if bad < low or bad > high or math.isinf(bad):
                with pytest.raises(ValueError, match=f"column '{column}' has 1 value .*row 1"):
                    validate_preferences(text_rows(**{column: [ends[0], bad, ends[0]]}), numeric_columns=limits)

    @given(values=st.lists(st.floats(width=64), min_size=1, max_size=30))
    def test_passes_exactly_if_all_values_are_in_range(self, values):
        count = len(values)
        dataset = Dataset.from_dict({"chosen": ["a"] * count, "rejected": ["b"] * count, "label": values})
        bad = [row for row, value in enumerate(values) if not 0 <= value <= 1]
        if not bad:
            assert validate_preferences(dataset, numeric_columns={"label": (0, 1)}) is dataset
        else:
            with pytest.raises(ValueError) as caught:
                validate_preferences(dataset, numeric_columns={"label": (0, 1)})
            assert int(re.search(r"row (\d+)", str(caught.value))[1]) in bad

    def test_columns_nobody_uses_are_not_looked_at(self):
        dataset = text_rows(reliability=["?", "?", "?"], margin=[NAN, INF, 0.0])
        assert validate_preferences(dataset) is dataset


class TestRequiredColumns:
    @pytest.mark.parametrize(
        "values, row", [(["a", None, ""], 1), (["a", "b", " "], 2), ([1.0, NAN, 2.0], 1), ([None] * 3, 0)]
    )
    def test_missing_values_are_named(self, values, row):
        dataset = text_rows(annotator_id=values)
        with pytest.raises(ValueError, match=rf"column 'annotator_id' has \d values? missing.*row {row} "):
            validate_preferences(dataset, required_columns=["annotator_id"])

    def test_missing_column(self):
        with pytest.raises(ValueError, match=r"no column 'annotator_id'.*Did you mean 'annotator'"):
            validate_preferences(text_rows(annotator=[1, 2, 3]), required_columns=["annotator_id"])

    def test_any_type_passes(self):
        validate_preferences(text_rows(annotator_id=[1, 2, 3], tags=[["a"], [], ["b"]]), required_columns=["tags"])


class TestTokenized:
    def test_texts_are_not_looked_at(self):
        dataset = id_rows([[1], [2, 3]]).add_column("chosen", ["", ""])
        assert validate_preferences(dataset) is dataset

    @pytest.mark.parametrize(
        "chosen, error, row, rule",
        [
            ([[1], []], ValueError, 1, "1 list without a token id"),
            ([[1], None], ValueError, 1, "1 list without a token id"),
            ([[], []], ValueError, 0, "2 lists without a token id"),
            ([[1], [2, None]], ValueError, 1, "negative or None"),
            ([[1], [2, -100]], ValueError, 1, "negative or None"),
            ([[1.0], [2.5]], TypeError, 0, "not lists of token ids (int) but list"),
            (["1", "2"], TypeError, 0, "not lists of token ids (int) but string"),
        ],
    )
    def test_bad_ids_are_named(self, chosen, error, row, rule):
        with pytest.raises(error) as caught:
            validate_preferences(id_rows(chosen))
        assert "column 'chosen_ids'" in str(caught.value) and f"row {row}" in str(caught.value)
        assert rule in str(caught.value)

    def test_numeric_columns_are_checked(self):
        dataset = id_rows([[1], [2, 3]]).add_column("p", [0.5, 2.0])
        with pytest.raises(ValueError, match="column 'p' has 1 value outside"):
            validate_preferences(dataset, numeric_columns={"p": (0, 1)})


@pytest.mark.parametrize(
    "dataset, message",
    [
        (DatasetDict(train=text_rows(), test=text_rows()), "DatasetDict with splits train, test; pass one of them"),
        (text_rows().to_iterable_dataset(), "IterableDataset"),
        ([{"chosen": "a", "rejected": "b"}], "must be a datasets.Dataset, got list"),
    ],
)
def test_only_datasets_are_validated(dataset, message):
    with pytest.raises(TypeError, match=message):
        validate_preferences(dataset)


def test_a_hundred_thousand_rows_take_about_a_second():
    count = 100_000
    questions = [f"question {row}" for row in range(count)]
    rng = np.random.default_rng(0)
    text = Dataset.from_dict(
        {"prompt": questions, "chosen": questions[::-1], "rejected": questions, "p": rng.random(count)}
    )
    chat = Dataset.from_dict(
        {name: [[assistant(value)] for value in text[name][:]] for name in ("chosen", "rejected")}
    )
    for dataset in (text, chat):
        start = time.process_time()
        validate_preferences(dataset, numeric_columns={"p": (0, 1)} if dataset is text else {})
        assert time.process_time() - start < 3  # 0.2 s here; room for a slow machine


def test_importing_the_package_imports_neither_torch_nor_datasets():
    code = "import sys, trl_ext.data; sys.exit(any(m in sys.modules for m in ('torch', 'datasets', 'pandas', 'trl')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Every kind of source, and what is said about sources that can't be read."""

import json
import re

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trl_ext.data import load_preferences, validate_preferences
from trl_ext.data import loading as loading_module


ROWS = {
    "id": ["q1", "q2", "q3"],
    "prompt": ["1 + 1?", "When?", 'Say "a,b"\nand more'],
    "chosen": ["2", "2020-01-01", "a,b"],
    "rejected": ["3", "2021-01-01", "NA"],
    "reliability": [0.5, 0.25, 1.0],
}
CHAT = {
    "chosen": [[{"role": "user", "content": "a"}, {"role": "assistant", "content": text}] for text in ("6", "b")],
    "rejected": [[{"role": "user", "content": "a"}, {"role": "assistant", "content": text}] for text in ("7", "d")],
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(dataset):
    return dataset.to_dict()


def write(path, rows, kind):
    if kind == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    elif kind == "parquet":
        Dataset.from_dict(rows).to_parquet(path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in Dataset.from_dict(rows)), encoding="utf-8")
    else:
        path.write_text(json.dumps(list(Dataset.from_dict(rows)), indent=1), encoding="utf-8")
    return path


class TestFiles:
    @pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
    @pytest.mark.parametrize("as_text", [True, False])
    def test_text_round_trip(self, tmp_path, kind, as_text):
        path = write(tmp_path / f"pairs [1].{kind}", ROWS, kind)
        dataset = load_preferences(str(path) if as_text else path)
        assert rows(dataset) == ROWS
        validate_preferences(dataset, numeric_columns={"reliability": (0, 1)})

    @pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
    def test_chat_round_trip(self, tmp_path, kind):
        dataset = load_preferences(write(tmp_path / f"pairs.{kind}", CHAT, kind))
        assert rows(dataset) == CHAT
        validate_preferences(dataset)

    def test_json_lines_in_a_json_file(self, tmp_path):
        assert rows(load_preferences(write(tmp_path / "pairs.json", ROWS, "jsonl"))) == ROWS

    def test_a_rewritten_file_is_read_again(self, tmp_path):
        path = write(tmp_path / "pairs.parquet", ROWS, "parquet")
        load_preferences(path)
        write(path, {"chosen": ["new"], "rejected": ["old"]}, "parquet")
        assert load_preferences(path)["chosen"][:] == ["new"]

    @pytest.mark.parametrize("split", [None, "train"])
    def test_a_file_is_the_train_split(self, tmp_path, split):
        assert len(load_preferences(write(tmp_path / "pairs.csv", ROWS, "csv"), split=split)) == 3

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        texts=st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=8), min_size=1
        ),
        kind=st.sampled_from(["csv", "jsonl", "parquet"]),
    )
    def test_any_text_survives(self, tmp_path, texts, kind):
        columns = {"chosen": texts, "rejected": texts[::-1]}
        assert rows(load_preferences(write(tmp_path / f"pairs.{kind}", columns, kind))) == columns

    @pytest.mark.parametrize(
        "name, content, reason",
        [
            ("pairs.csv", None, "there is no such file"),
            ("pairs.txt", b"a", r"files of type '.txt' are not known; known are .csv, .json, .jsonl, .parquet"),
            ("pairs.csv", b"", "the file is empty"),
            ("pairs.csv", b"\n\n", "No columns to parse"),
            ("pairs.csv", b"chosen,rejected\n", "it has no rows"),
            ("pairs.csv", b"chosen,rejected\na,b\nc,d,e\n", "Expected 2 fields in line 3, saw 3"),
            ("pairs.csv", b'chosen,rejected\n"a,b\n', "EOF inside string"),
            ("pairs.csv", b"chosen,,rejected\na,b,c\n", "a column without a name"),
            ("pairs.csv", b"chosen,chosen\na,b\n", "more than once: 'chosen'"),
            ("pairs.csv", b"chosen,rejected\n\xff\xfe,b\n", "can't decode byte"),
            ("pairs.jsonl", b"", "the file is empty"),
            ("pairs.jsonl", b"\n \n", "it has no rows"),
            ("pairs.jsonl", b'{"chosen": "a"}\n\n{"chosen": \n', "line 3 is not JSON"),
            ("pairs.jsonl", b'{"chosen": "a"}\n3\n', "row 1 is not an object with a value per column: 3"),
            ("pairs.json", b'{\n"chosen": ["a"]}', "line 1 is not JSON"),
            ("pairs.json", b'[{"chosen": "a"}', "it is not JSON"),
            ("pairs.json", b"[]", "it has no rows"),
            ("pairs.json", b'[{"p": 0.5}, {"p": true}]', "'p' mixes .* a number .* row 1 holds true or false, True"),
            ("pairs.json", b'[{"p": null}, {"p": 0.5}, {"p": "0.5"}]', "'p' mixes .* row 2 holds text, '0.5'"),
            (
                "pairs.json",
                b'[{"chosen": "a"}, {"chosen": [{"role": "user"}]}]',
                "'chosen' mixes .* row 1 holds a list",
            ),
            ("pairs.json", b'[{"tags": [1]}, {"tags": ["a"]}]', "column 'tags'"),
            ("pairs.json", b'[{"n": 123456789012345678901234567890}]', "column 'n'"),
            ("pairs.parquet", b"not parquet", "Parquet"),
        ],
    )
    def test_unreadable_files_are_named_with_the_reason(self, tmp_path, name, content, reason):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"(?s)can't load preferences from '{re.escape(str(path))}': .*{reason}"):
            load_preferences(path)


class TestCsv:
    def read(self, tmp_path, text, **kwargs):
        path = tmp_path / "pairs.csv"
        path.write_text(text, encoding="utf-8")
        return load_preferences(path, **kwargs)

    @pytest.mark.parametrize("row", ["c,", "c", 'c,""'])
    def test_an_empty_or_absent_cell_of_a_text_column_is_an_empty_text(self, tmp_path, row):
        dataset = self.read(tmp_path, f"chosen,rejected\na,b\n{row}\n")
        assert dataset["rejected"][:] == ["b", ""]
        with pytest.raises(ValueError, match=r"'rejected' has 1 text that are empty .*row 1, value ''"):
            validate_preferences(dataset)

    def test_an_empty_cell_of_a_numeric_column_is_missing(self, tmp_path):
        dataset = self.read(tmp_path, "chosen,rejected,p\na,b,0.5\nc,d,\n")
        with pytest.raises(ValueError, match="'p' has 1 value missing .*row 1"):
            validate_preferences(dataset, numeric_columns={"p": (0, 1)})

    @pytest.mark.parametrize(
        "cell, error", [("nan", "missing"), ("inf", "infinite"), ("1.2", "outside"), ("-1", "outs")]
    )
    def test_numbers_are_numbers(self, tmp_path, cell, error):
        dataset = self.read(tmp_path, f"chosen,rejected,p\na,b,0.5\nc,d,{cell}\n")
        with pytest.raises(ValueError, match=f"'p' has 1 value .*{error}.*row 1"):
            validate_preferences(dataset, numeric_columns={"p": (0, 1)})

    @pytest.mark.parametrize("cell", ["NA", "high", "True", "0,5", "1_0"])
    def test_one_word_makes_the_column_text_and_is_named(self, tmp_path, cell):
        dataset = self.read(tmp_path, f'chosen,rejected,p\na,b,0.5\nc,d,"{cell}"\n')
        with pytest.raises((TypeError, ValueError), match=rf"'p' has 1 value.* row 1, value '{cell}'|written as text"):
            validate_preferences(dataset, numeric_columns={"p": (0, 1)})

    def test_texts_that_are_numbers_stay_text(self, tmp_path):
        dataset = self.read(tmp_path, "id,chosen,rejected,n\n007,1,2.0,3\n")
        assert dataset[0] == {"id": "007", "chosen": "1", "rejected": "2.0", "n": 3}

    def test_so_do_those_of_renamed_columns(self, tmp_path):
        dataset = self.read(tmp_path, "a,b\n1,2\n3,4\n", columns={"chosen": "a", "rejected": "b"})
        assert dataset.to_dict() == {"chosen": ["1", "3"], "rejected": ["2", "4"]}

    def test_byte_order_mark_and_row_numbers(self, tmp_path):
        path = tmp_path / "pairs.csv"
        path.write_text("\ufeff,chosen,rejected\n0,a,b\n", encoding="utf-8")
        assert load_preferences(path)[0] == {"index": 0, "chosen": "a", "rejected": "b"}


class TestJson:
    def test_dicts_keep_the_keys_they_have(self, tmp_path):
        path = tmp_path / "pairs.jsonl"
        kwargs = [{"enable_thinking": False}, {"date": "2020-01-01"}, {}]
        path.write_text("\n".join(json.dumps({"chat_template_kwargs": value}) for value in kwargs))
        assert load_preferences(path)["chat_template_kwargs"][:] == kwargs

    def test_messages_of_different_shapes_keep_theirs(self, tmp_path):
        path = tmp_path / "pairs.json"
        contents = ["6", [{"type": "text", "text": "true"}], '{"a": 1}']
        chosen = [[{"role": "assistant", "content": content}] for content in contents]
        path.write_text(json.dumps([{"chosen": messages} for messages in chosen]))
        assert load_preferences(path)["chosen"][:] == chosen

    def test_a_key_that_is_not_in_all_rows_is_missing_there(self, tmp_path):
        path = tmp_path / "pairs.jsonl"
        path.write_text('{"p": 0.5}\n{"q": 1}\n')
        assert load_preferences(path).to_dict() == {"p": [0.5, None], "q": [None, 1]}


class TestMemory:
    def test_dataset_is_passed_through(self):
        dataset = Dataset.from_dict(ROWS)
        assert load_preferences(dataset) is dataset

    @pytest.mark.parametrize("data", [ROWS, CHAT], ids=["text", "chat"])
    def test_data_frame(self, data):
        frame = pd.DataFrame(data, index=[5] * len(data["chosen"]))
        assert rows(load_preferences(frame)) == data

    def test_missing_text_of_a_data_frame_is_missing(self):
        frame = pd.DataFrame({"chosen": ["a", None, np.nan], "rejected": ["", "b", "c"]})
        assert rows(load_preferences(frame)) == {"chosen": ["a", None, None], "rejected": ["", "b", "c"]}

    @pytest.mark.parametrize(
        "frame, reason",
        [
            (pd.DataFrame({"p": [0.5, "0.5"]}), "column 'p' mixes kinds of values: .* row 1 holds text, '0.5'"),
            (pd.DataFrame({"p": np.array([0.5, True], dtype=object)}), "row 1 holds true or false, True"),
            (pd.DataFrame({"p": [object()]}), "p"),
            (pd.DataFrame([[1, 2]], columns=["p", "p"]), "more than once: 'p'"),
            (pd.DataFrame({"p": []}), "it has no rows"),
        ],
    )
    def test_bad_data_frames(self, frame, reason):
        with pytest.raises(ValueError, match=f"can't load preferences from DataFrame in memory: .*{reason}"):
            load_preferences(frame)

    def test_splits_in_memory(self):
        first, second = Dataset.from_dict(ROWS), Dataset.from_dict({"chosen": ["a"]})
        assert load_preferences(DatasetDict(test=first)) is first
        assert load_preferences(DatasetDict(train=first, test=second), split="test") is second

    @pytest.mark.parametrize("split, problem", [(None, "it has several splits"), ("dev", "it has no split 'dev'")])
    def test_which_splits_there_are(self, split, problem):
        splits = DatasetDict(train=Dataset.from_dict(ROWS), test=Dataset.from_dict(ROWS))
        with pytest.raises(ValueError, match=f"{problem}; choose one with split=...: 'train', 'test'"):
            load_preferences(splits, split=split)

    def test_no_splits(self):
        with pytest.raises(ValueError, match="no split 'test'"):
            load_preferences(Dataset.from_dict(ROWS), split="test")

    @pytest.mark.parametrize("source", [None, 3, "", [ROWS], Dataset.from_dict(ROWS).to_iterable_dataset()])
    def test_other_types(self, source):
        with pytest.raises(TypeError):
            load_preferences(source)


class TestDirectories:
    def test_saved_dataset(self, tmp_path):
        Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
        assert rows(load_preferences(tmp_path / "saved")) == ROWS

    def test_saved_splits(self, tmp_path):
        small = {"chosen": ["a"]}
        DatasetDict(train=Dataset.from_dict(ROWS), test=Dataset.from_dict(small)).save_to_disk(tmp_path / "saved")
        assert rows(load_preferences(str(tmp_path / "saved"), split="test")) == small
        with pytest.raises(ValueError, match="several splits.*'train', 'test'"):
            load_preferences(tmp_path / "saved")

    def test_parquet_shards(self, tmp_path):
        for shard in range(2):
            write(tmp_path / f"part-{shard}.parquet", {"chosen": [f"a{shard}"]}, "parquet")
        assert load_preferences(tmp_path)["chosen"][:] == ["a0", "a1"]

    def test_parquet_splits_by_file_name(self, tmp_path):
        folder = tmp_path / "clone" / "data"
        folder.mkdir(parents=True)
        write(folder / "train-00000-of-00001.parquet", ROWS, "parquet")
        write(folder / "test-00000-of-00001.parquet", {**ROWS, "id": ["t1", "t2", "t3"]}, "parquet")
        assert load_preferences(tmp_path / "clone", split="test")["id"][:] == ["t1", "t2", "t3"]

    @pytest.mark.parametrize("files, reason", [({}, "holds nothing"), ({"a.txt": "a"}, r"holds \['a.txt'\]")])
    def test_other_directories(self, tmp_path, files, reason):
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=f"not written by save_to_disk and holds no parquet files; it {reason}"):
            load_preferences(tmp_path)

    @pytest.mark.parametrize("name", ["state.json", "part.parquet"])
    def test_damaged_directories(self, tmp_path, name):
        (tmp_path / name).write_text("{")
        with pytest.raises(ValueError, match=re.escape(f"can't load preferences from '{tmp_path}': ")):
            load_preferences(tmp_path)


class TestHub:
    @pytest.fixture
    def calls(self, monkeypatch):
        calls = []

        def load_dataset(repo, split=None):
            calls.append((repo, split))
            if repo.startswith("missing"):
                raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{repo}' doesn't exist on the Hub")
            train = Dataset.from_dict(ROWS)
            return DatasetDict(train=train, test=train) if split is None else train

        monkeypatch.setattr(loading_module, "load_dataset", load_dataset)
        return calls

    @pytest.mark.parametrize(
        "source, split, call",
        [
            ("owner/name:train", None, "train"),
            ("owner/name", "test", "test"),
            ("owner/name:test", "test", "test"),
            ("owner/name:train[:1%]", None, "train[:1%]"),
        ],
    )
    def test_split_is_passed_on(self, calls, source, split, call):
        assert len(load_preferences(source, split=split)) == 3
        assert calls == [("owner/name", call)]

    @pytest.mark.parametrize(
        "source, split, reason",
        [
            ("owner/name", None, "several splits"),
            ("owner/name:train", "test", "names split 'train', but split='test'"),
            ("missing/name", None, "no such path here, and loading it from the Hub failed.*doesn't exist on the Hub"),
            ("a/b/c", None, "no such file or directory, and it is not a Hub id"),
            ("nothing", None, "no such file or directory"),
        ],
    )
    def test_bad_ids(self, calls, source, split, reason):
        with pytest.raises(ValueError, match=f"can't load preferences from '{source}': .*{reason}"):
            load_preferences(source, split=split)

    def test_what_exists_on_disk_is_taken_from_there(self, calls, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Dataset.from_dict(ROWS).save_to_disk("owner/name")
        load_preferences("owner/name")
        assert not calls


class TestRenaming:
    data = Dataset.from_dict({"question": ["q"], "a": ["1"], "b": ["2"], "chosen_model": ["m"]})

    def test_our_name_to_theirs(self):
        dataset = load_preferences(self.data, columns={"prompt": "question", "chosen": "a", "rejected": "b"})
        assert dataset.column_names == ["prompt", "chosen", "rejected", "chosen_model"]

    def test_swap(self):
        assert load_preferences(self.data, columns={"a": "b", "b": "a"})[0]["a"] == "2"

    def test_same_name(self):
        assert load_preferences(self.data, columns={"a": "a"}) is self.data

    @pytest.mark.parametrize(
        "columns, message",
        [
            (
                {"prompt": "qestion"},
                "no column 'qestion'; its columns are 'question', 'a', 'b', 'chosen_model'. Did you mean 'question'? "
                "Say which one to use: columns={'prompt': 'question'}",
            ),
            ({"prompt": "xyz"}, "columns={'prompt': <name in the data>}"),
            ({"a": "b"}, "can't rename column 'b' to 'a', because there is a column 'a' already"),
            ({"chosen": "a", "rejected": "a"}, "column 'a' can't be renamed to each of chosen, rejected"),
            ({"chosen": "a", "a": "a"}, "column 'a' can't be renamed to each of chosen, a"),
        ],
    )
    def test_bad_names(self, columns, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            load_preferences(self.data, columns=columns)

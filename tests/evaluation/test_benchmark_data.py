"""Sources that benchmarks read."""

import json

import pytest
from datasets import Dataset, DatasetDict

from trl_ext.evaluation.benchmarks.data import read_benchmark_data, read_splits


def rows(start: int, n: int = 2) -> list[dict]:
    return [
        {"id": number, "prompt": f"p{number}", "chosen": f"good {number}", "rejected": f"bad {number}", "subset": "s"}
        for number in range(start, start + n)
    ]


ROWS = rows(0, 3)


def write(path, content=ROWS):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    elif path.suffix == ".json":
        path.write_text(json.dumps(content))
    elif path.suffix == ".csv":
        Dataset.from_list(content).to_pandas().to_csv(path, index=False)
    else:
        Dataset.from_list(content).to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".json", ".jsonl", ".csv"])
def test_files_of_every_type(tmp_path, suffix):
    data = read_benchmark_data(str(write(tmp_path / f"rows{suffix}")))
    assert data["chosen"] == ["good 0", "good 1", "good 2"]
    assert [int(number) for number in data["id"]] == [0, 1, 2]


def test_a_folder_of_files_has_a_split_per_name_and_shards_belong_together(tmp_path):
    folder = tmp_path / "data"  # as in a clone of a repository of the Hub
    folder.mkdir()
    write(folder / "raw-00000-of-00001-0123456789abcdef.parquet", rows(0, 1))
    write(folder / "filtered-00000-of-00002.parquet", rows(1))
    write(folder / "filtered-00001-of-00002.parquet", rows(3))
    (folder / "dataset_infos.json").write_text("{}")
    splits = read_splits(tmp_path)
    assert {name: data["id"][:] for name, data in splits.items()} == {"filtered": [1, 2, 3, 4], "raw": [0]}
    assert read_benchmark_data(tmp_path, default_split="filtered")["id"][:] == [1, 2, 3, 4]
    together = read_benchmark_data(tmp_path)
    assert list(zip(together["id"], together["split"], strict=True))[-2:] == [(4, "filtered"), (0, "raw")]


def test_save_to_disk_and_memory(tmp_path):
    data = Dataset.from_list(ROWS)
    splits = DatasetDict({"train": data, "test": data.select([1])})
    splits.save_to_disk(tmp_path / "dict")
    data.save_to_disk(tmp_path / "one")
    assert read_benchmark_data(tmp_path / "one").to_list() == ROWS
    assert read_benchmark_data(tmp_path / "dict", split="test").to_list() == ROWS[1:2]
    assert read_benchmark_data(splits, default_split="test").to_list() == ROWS[1:2]
    assert read_benchmark_data(splits)["split"] == ["train"] * 3 + ["test"]
    assert read_benchmark_data(data) is data


def test_a_split_column_of_the_data_is_kept():
    data = Dataset.from_list([row | {"split": "own"} for row in ROWS])
    assert read_benchmark_data(DatasetDict({"a": data, "b": data}))["split"] == ["own"] * 6


def test_a_folder_that_is_called_as_a_hub_id_is_read_from_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "allenai" / "reward-bench"
    folder.mkdir(parents=True)
    write(folder / "filtered.jsonl")
    assert read_benchmark_data("allenai/reward-bench")["id"][:] == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b'{"id": 1}\n{"id": 2\n', r"rows\.jsonl': line 2 is not JSON"),
        ("rows.jsonl", b"[1]\n", "row 0 is not an object"),
        ("rows.jsonl", b'{"id": 1}\n{"id": "\xff"}\n', r"rows\.jsonl': line 2 is not UTF-8"),
        ("rows.csv", b"id,prompt\n1,\xff\n", r"rows\.csv'.*utf-8"),
        ("rows.json", b"[{]", "it is not JSON"),
        ("rows.json", b"", "the file is empty"),
        ("rows.json", b"[]", "it has no rows"),
        ("rows.parquet", b"PAR1", "rows.parquet"),
        ("rows.txt", b"text", r"files of type '\.txt' are not known; known are \.csv, \.json, \.jsonl, \.parquet"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"can't read benchmark data from .*{message}"):
        read_benchmark_data(tmp_path / name)


def test_sources_that_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_benchmark_data("missing.jsonl")
    with pytest.raises(ValueError, match="not the id of a dataset on the Hub"):
        read_benchmark_data("no such thing")
    with pytest.raises(ValueError, match="loading it from the Hub failed"):
        read_benchmark_data("nobody/nothing")
    with pytest.raises(ValueError, match="was not written by save_to_disk and has no files of the types"):
        read_benchmark_data(tmp_path)
    with pytest.raises(TypeError, match="`source` must be a Hub id, the path"):
        read_benchmark_data(3)


def test_splits_that_do_not_exist_or_do_not_fit_together(tmp_path):
    path = write(tmp_path / "v1.jsonl")
    assert len(read_benchmark_data(path, split="v1")) == 3
    with pytest.raises(ValueError, match="it has no split 'test'; its splits are 'v1'"):
        read_benchmark_data(path, split="test")
    (tmp_path / "v2.jsonl").write_text('{"id": ["a list"]}\n')
    with pytest.raises(ValueError, match="the splits v1, v2 have different columns"):
        read_benchmark_data(tmp_path)
    (tmp_path / "v2.jsonl").write_text("{")
    with pytest.raises(ValueError, match="v2.jsonl: line 1 is not JSON"):
        read_benchmark_data(tmp_path)

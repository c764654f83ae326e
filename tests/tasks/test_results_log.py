import json
import multiprocessing
from pathlib import Path

import pytest

from tasks.results_log import ResultsLog


COLUMNS = ("set", "config")


def make_log(path: Path, keys=("seed",)) -> ResultsLog:
    return ResultsLog(path, COLUMNS, {"config": keys})


def row(seed=0) -> dict:
    return {"config": {"seed": seed}, "set": "lie"}


def append_many(path: Path, count: int):
    log = make_log(path)
    for seed in range(count):
        log.append(row(seed))


def test_rows_are_appended_in_one_form(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    make_log(path).append(row(1))
    make_log(path).append(row(2) | {"config": {"seed": float("nan")}})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(line) for line in lines] == [list(COLUMNS)] * 2
    assert lines[1]["config"]["seed"] == "nan"  # strict JSON has none


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"set": "lie"}, r"other columns: missing \['config'\]"),
        (row() | {"extra": 1}, r"unknown \['extra'\]"),
        ({"set": "lie", "config": {"sead": 1}}, r"keys of 'config': missing \['seed'\], unknown \['sead'\]"),
    ],
)
def test_a_row_of_another_form_is_refused(tmp_path, bad, message):
    log = make_log(tmp_path / "log.jsonl")
    log.append(row())
    before = (tmp_path / "log.jsonl").read_bytes()
    with pytest.raises(ValueError, match=message):
        log.append(bad)
    assert (tmp_path / "log.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"set": "lie", "config": {"other": 1}}\n', "rows of another form: line 1"),
        ('{"set": "lie", "con', r"last line \(line 1\) was cut off"),
        ("set,config\n", "line 1 is not JSON"),
        ("[1]\n", "line 1 is not an object"),
    ],
)
def test_a_file_of_another_form_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        make_log(path)
    assert path.read_text() == text


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a directory"):
        make_log(tmp_path)


def test_processes_do_not_mix_their_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=append_many, args=(path, 10)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(json.loads(line)["config"]["seed"] for line in path.read_text().splitlines()) == sorted(
        [*range(10)] * 2
    )


def test_the_home_directory_is_hidden(tmp_path):
    path = tmp_path / "log.jsonl"
    make_log(path).append({"set": str(Path.home() / "data"), "config": {"seed": 0}})
    assert json.loads(path.read_text())["set"] == "~/data"

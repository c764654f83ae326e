"""Responses of several models are aligned by the ids of their prompts, and what is wrong is told with file, line and id."""

import doctest
import hashlib
import json
import logging
from pathlib import Path

import pytest

from trl_ext.arena import read_responses
from trl_ext.arena.responses import files as response_files
from trl_ext.arena.responses import policy_model
from trl_ext.arena.responses.prompt_rows import check_prompt_rows, read_prompt_rows


def lines(model: str, ids=("1", "2", "3"), **changes) -> list[dict]:
    return [
        {"id": i, "prompt": f"Question {i}?", "response": f"{model} on {i}", "model": model} | changes for i in ids
    ]


def write(folder: Path, name: str, rows: list[dict], record: dict | None = None) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if record is not None:
        (folder / f"{name}.meta.json").write_text(json.dumps(record))
    return path


def test_models_are_aligned_by_id_whatever_the_order_of_the_lines(tmp_path):
    write(tmp_path, "a", lines("a"))
    write(tmp_path, "b", lines("b", ids=("3", "1", "2")))
    table = read_responses(tmp_path)
    assert table.prompt_ids == ("1", "2", "3")
    assert table.models == ("a", "b")
    assert table.of("b") == ("b on 1", "b on 2", "b on 3")
    assert read_responses(tmp_path, models=["b", "a"]).rows()[0] == {
        "id": "3",
        "prompt": "Question 3?",
        "responses": ["b on 3", "a on 3"],
        "sources": ["b", "a"],
    }
    assert read_responses([tmp_path / "b.jsonl", tmp_path / "a.jsonl"]).models == ("b", "a")


def test_the_name_of_a_model_is_in_the_file_not_its_name(tmp_path):
    write(tmp_path, "org__model-7b", lines("org/model-7b"))
    write(tmp_path, "a", lines("a"))
    assert read_responses(tmp_path, models=["org/model-7b"]).models == ("org/model-7b",)


def extra_line(text: str):
    def damage(path: Path) -> None:
        path.write_text(path.read_text() + text)

    return damage


def rewrite(change):
    def damage(path: Path) -> None:
        rows = change([json.loads(line) for line in path.read_text().splitlines()])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    return damage


BAD_FILES = {
    "an id is missing": (rewrite(lambda rows: rows[:2]), r"model 'b' has no line for 1 prompts .* id '3' .*a\.jsonl, line 3"),
    "an id too many": (rewrite(lambda rows: rows + lines("b", ["9"])), r"a\.jsonl: model 'a' has no line .* id '9'"),
    "an id twice": (rewrite(lambda rows: rows + rows[:1]), r"b\.jsonl, line 4 \(id '1'\): the id occurs twice, before in line 1"),
    "another prompt": (
        rewrite(lambda rows: [rows[0] | {"prompt": "Other?"}, *rows[1:]]),
        r"id '1' has different prompts: 'Question 1\?' \(.*a\.jsonl, line 1\) and 'Other\?' \(.*b\.jsonl, line 1\)",
    ),
    "an empty file": (rewrite(lambda rows: []), r"b\.jsonl is empty"),
    "a torn line": (extra_line('{"id": "4", "pro'), r"b\.jsonl, line 4 is not JSON \(torn"),
    "not an object": (extra_line("[1]\n"), r"b\.jsonl, line 4 is not an object"),
    "not UTF-8": (lambda path: path.write_bytes(b"\xff\n"), r"b\.jsonl, line 1 is not UTF-8"),
    "no model": (rewrite(lambda rows: [{k: v for k, v in rows[0].items() if k != "model"}]), r"line 1 has no 'model'"),
    "two models": (rewrite(lambda rows: rows[:2] + lines("c", ["3"])), r"line 3 \(id '3'\) is of model 'c', .* of 'b'"),
    "the model of another file": (rewrite(lambda rows: lines("a")), r"both hold responses of model 'a'"),
    "an id that is no text": (rewrite(lambda rows: lines("b", [None])), r"line 1: 'id' must be a text or an integer, got None"),
    "a response that is no text": (rewrite(lambda rows: lines("b", response=7)), r"'response' must be a text, got 7"),
    "a prompt that is no text": (rewrite(lambda rows: lines("b", prompt=7)), r"'prompt' must be a text or a list"),
    "an empty response": (rewrite(lambda rows: lines("b", response=" ")), r"line 1 \(id '1'\): model 'b' has no response \(empty\); 3"),
    "a failure": (
        rewrite(lambda rows: [rows[0] | {"response": None, "failure": "timeout"}, *rows[1:]]),
        r"line 1 \(id '1'\): model 'b' has no response \(timeout\); 1 such lines.*on_failure='drop'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_with_file_line_and_id(case, tmp_path):
    damage, message = BAD_FILES[case]
    write(tmp_path, "a", lines("a"))
    damage(write(tmp_path, "b", lines("b")))
    with pytest.raises(ValueError, match=message):
        read_responses(tmp_path)


def test_failed_prompts_are_dropped_for_all_models_and_counted(tmp_path, caplog):
    write(tmp_path, "a", [*lines("a", ["1"], response=None, failure="timeout"), *lines("a", ["2", "3"])])
    write(tmp_path, "b", [*lines("b", ["1", "2"]), *lines("b", ["3"], response="")])
    with caplog.at_level(logging.WARNING):
        table = read_responses(tmp_path, on_failure="drop")
    assert table.prompt_ids == ("2",)
    assert "2 of 3 prompts are left out" in caplog.text
    write(tmp_path, "b", lines("b", response=""))
    with pytest.raises(ValueError, match="no prompt has a response of every model"):
        read_responses(tmp_path, on_failure="drop")


def test_unfinished_unknown_and_shortened_models(tmp_path):
    with pytest.raises(ValueError, match="has no files of responses"):
        read_responses(tmp_path)
    write(
        tmp_path,
        "a",
        lines("a"),
        {"model": "a", "finished": True, "settings": {}, "counts": {"prompts": 3, "failures": {}}},
    )
    (tmp_path / "b.meta.json").write_text(json.dumps({"model": "b", "finished": False}))
    with pytest.raises(ValueError, match="responses of model 'b' are not finished"):
        read_responses(tmp_path)
    assert read_responses(tmp_path, models=["a"]).models == ("a",)
    with pytest.raises(ValueError, match="has no responses of model 'c'; there are files for a"):
        read_responses(tmp_path, models=["a", "c"])
    write(tmp_path, "a", lines("a")[:2])
    with pytest.raises(ValueError, match="a.jsonl has 2 lines, and had 3 when it was made"):
        read_responses(tmp_path, models=["a"])
    with pytest.raises(ValueError, match="there is no such folder"):
        read_responses(tmp_path / "nowhere")


def test_file_names_are_safe_and_collisions_are_told():
    assert response_files.file_name("../a b/c:d") == "__a__b__c__d" or "/" not in response_files.file_name(
        "../a b/c:d"
    )
    assert not response_files.file_name("../x").startswith(".")
    with pytest.raises(ValueError, match="the responses of 'Org/m' and of 'org m' would be in the same file"):
        response_files.check_file_names(["org m", "Org/m"])


BAD_PROMPTS = {
    "no rows": ([], "there are no rows"),
    "no mapping": (["x"], "row 0 must be a mapping"),
    "no id": ([{"prompt": "x"}], "row 0: column 'id' must be a text or an integer, got None"),
    "id twice": ([{"id": 1, "prompt": "x"}, {"id": "1", "prompt": "y"}], "row 1: id '1' is that of row 0"),
    "no prompt": ([{"id": "a"}], r"row 0 \(id 'a'\): column 'prompt' must be a text or a list"),
    "empty prompt": ([{"id": "a", "prompt": " "}], "column 'prompt' is empty"),
    "no messages": ([{"id": "a", "prompt": []}], "column 'prompt' must be"),
    "a message without role": ([{"id": "a", "prompt": [{"content": "x"}]}], "needs 'role' and 'content'"),
    "the model's turn": (
        [{"id": "a", "prompt": "x", "messages": [{"role": "assistant", "content": "x"}]}],
        "column 'messages': the last message must be the user's, it is of role 'assistant'",
    ),
    "messages as text": ([{"id": "a", "prompt": "x", "messages": "y"}], "'messages' must be a list"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_PROMPTS)
def test_bad_prompts_are_refused_with_row_and_id(case):
    rows, message = BAD_PROMPTS[case]
    with pytest.raises(ValueError, match=message):
        check_prompt_rows(rows)


def test_prompts_of_a_file_get_texts_as_ids_and_keep_their_columns(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"id": 7, "prompt": "Why?", "split": "heldout"}\n')
    assert read_prompt_rows(tmp_path / "p.jsonl") == [{"id": "7", "prompt": "Why?", "split": "heldout"}]


@pytest.mark.parametrize("module", [policy_model, response_files])
def test_examples(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def test_a_changed_file_and_a_damaged_record(tmp_path):
    record = {"model": "a", "finished": True, "settings": {}, "counts": {"prompts": 3, "failures": {}}}
    path = write(tmp_path, "a", lines("a"))
    record["responses_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write(tmp_path, "a", lines("a"), record)
    assert read_responses(tmp_path).models == ("a",)
    write(tmp_path, "a", lines("a", response="other"))
    with pytest.raises(ValueError, match="a.jsonl is not as it was when it was made"):
        read_responses(tmp_path)
    write(tmp_path, "a", lines("a"), {"model": "a", "finished": True})
    with pytest.raises(ValueError, match="a.meta.json is damaged, it lacks counts or settings"):
        read_responses(tmp_path)

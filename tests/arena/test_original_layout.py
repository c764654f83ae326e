"""The original's folders: what is written is read, and prompts are aligned by their texts."""

import json

import pytest
from datasets import Dataset

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import (
    RatingTable,
    ResponseTable,
    ScoreTable,
    calibrated_pairs,
    read_original_pairs,
    read_original_responses,
    read_original_scores,
    read_rm_config,
    write_original_pairs,
    write_original_responses,
    write_original_scores,
    write_pm_config,
    write_rm_config,
)
from trl_ext.arena.responses.original_folders import models_with_scores


PROMPTS = ("One?", "Two?", "Three?")


@pytest.fixture(scope="module")
def tables():
    responses = ResponseTable(("x", "y", "z"), PROMPTS, ("O", "R"), [(f"O {p}", f"R {p}") for p in PROMPTS])
    return responses, ScoreTable(("x", "y", "z"), ("O", "R"), [[3.0, 1.0], [2.0, 2.5], [0.1 + 0.2, 0.0]])


def save(folder, name, **columns):
    Dataset.from_dict(columns).save_to_disk(str(folder / name))


def test_scores(tables, tmp_path):
    responses, scores = tables
    write_original_scores(responses, scores, tmp_path)
    write_original_scores(responses, scores, tmp_path)  # replaces
    assert sorted(path.name for path in tmp_path.iterdir()) == ["O_score", "R_score"]
    read_responses, read_scores = read_original_scores(tmp_path, ["R", "O"])
    assert read_responses.prompts == PROMPTS and read_responses.of("O") == responses.of("O")
    assert read_scores.of("O").tolist() == scores.of("O").tolist() and read_scores.models == ("R", "O")


def test_other_files_are_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    rows = Dataset.from_dict({"prompt": ["Hi"], "chosen": ["Hello."], "rejected": ["Hey!"]})
    with pytest.raises(ValueError, match="has other files than a dataset"):
        write_original_pairs(rows, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_slashes_in_names(tables, tmp_path):
    names = ("org/O", "R")
    responses, scores = (
        ResponseTable(tables[0].prompt_ids, PROMPTS, names, tables[0].responses),
        ScoreTable(tables[1].prompt_ids, names, tables[1].scores),
    )
    write_original_scores(responses, scores, tmp_path / "new")
    assert all(path.name.endswith("_score") for path in (tmp_path / "new").iterdir())
    write_original_scores(*tables, tmp_path / "old")
    (tmp_path / "old" / "org").mkdir()
    (tmp_path / "old" / "O_score").rename(tmp_path / "old" / "org" / "O_score")
    for folder in ("new", "old"):
        assert models_with_scores(tmp_path / folder) == ["R", "org/O"]
        assert read_original_scores(tmp_path / folder, names)[1].scores.tolist() == scores.scores.tolist()


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("score", [[1.0], [2.0]], "score of model 'O' in row 0 is '\\[1.0\\]' \\(list\\)"),
        ("score", ["1.0", "high"], "score of model 'O' in row 0 is '1.0' \\(str\\)"),
        ("score", [1.0, None], "score of model 'O' in row 1 is 'None'"),
        ("prompt", ["a", None], "model 'O' has no prompt in row 1"),
        ("response", ["O a", None], "model 'O' has no response in row 1"),
    ],
)
def test_wrong_values_name_model_and_row(tmp_path, column, values, message):
    save(
        tmp_path, "O_score", **{"prompt": ["a", "b"], "response": ["O a", "O b"], "score": [1.0, 2.0], column: values}
    )
    save(tmp_path, "R_score", prompt=["a", "b"], response=["R a", "R b"], score=[1.0, 2.0])
    with pytest.raises(ValueError, match=message):
        read_original_scores(tmp_path, ["O", "R"])


def test_models_in_another_order_of_prompts_are_aligned(tmp_path):
    save(tmp_path, "O_score", prompt=["a", "b", "a"], response=["O a", "O b", "O a again"], score=[1.0, 2.0, 3.0])
    save(tmp_path, "R_score", prompt=["b", "a", "a"], response=["R b", "R a", "R a again"], score=[4.0, 5.0, 6.0])
    responses, scores = read_original_scores(tmp_path, ["O", "R"])
    assert responses.responses == (("O a", "R a"), ("O b", "R b"), ("O a again", "R a again"))
    assert scores.scores.tolist() == [[1.0, 5.0], [2.0, 4.0], [3.0, 6.0]]
    assert len(set(responses.prompt_ids)) == 3


def test_responses(tables, tmp_path):
    write_original_responses(tables[0], tmp_path)
    assert read_original_responses(tmp_path, ["O", "R"]).responses == tables[0].responses
    assert (tmp_path / "CHARM-O").is_dir()


@pytest.mark.parametrize("as_messages", [False, True])
def test_pairs(tables, tmp_path, as_messages):
    responses, scores = tables
    if as_messages:
        prompts = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
        responses = ResponseTable(responses.prompt_ids, prompts, responses.models, responses.responses)
    ratings = RatingTable.from_ratings({"O": 1216.0, "R": 1273.0})
    write_original_pairs(calibrated_pairs(responses, scores, {"O": 0.0, "R": 0.0}, ratings), tmp_path / "O_R")
    rows = read_original_pairs(tmp_path / "O_R")
    assert rows.column_names == ["chosen", "rejected"]
    assert rows["chosen"][1] == [{"role": "user", "content": "Two?"}, {"role": "assistant", "content": "R Two?"}]
    assert rows["rejected"][1][1]["content"] == "O Two?"


def test_conversations_have_no_place_in_it(tables, tmp_path):
    prompts = [[{"role": "system", "content": "s"}, {"role": "user", "content": p}] for p in PROMPTS]
    responses = ResponseTable(tables[0].prompt_ids, prompts, ("O", "R"), tables[0].responses)
    with pytest.raises(
        ValueError, match="one message of a user per prompt; got messages of the roles 'system', 'user'"
    ):
        write_original_scores(responses, tables[1], tmp_path)


def test_configs(tmp_path):
    write_pm_config(RatingTable.from_ratings({"O": 1216.0, "R": 1273.5}), tmp_path / "pm.json")
    assert json.loads((tmp_path / "pm.json").read_text()) == [
        {"model_name": "O", "model_path": "", "arena_score": 1216},
        {"model_name": "R", "model_path": "", "arena_score": 1273.5},
    ]
    models = {"rm": {"model_path": "org/rm", "pipeline_class": "LlamaPipeline"}}
    write_rm_config(models, tmp_path / "rm.json")
    assert read_rm_config(tmp_path / "rm.json") == models


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a list of models with the fields model_name, model_path, pipeline_class"),
        (
            '[{"model_name": "a", "model_path": 1.5, "pipeline_class": "c"}]',
            "field 'model_path' of entry 0 is 1.5, not a text",
        ),
        ('[{"model_name": "a", "model_path": ""}]', "field 'pipeline_class' of entry 0 is None"),
        (
            '[{"model_name": "a", "model_path": "", "pipeline_class": "b"}]'[:-1] + ', {"model_name": "a", '
            '"model_path": "", "pipeline_class": "b"}]',
            "model 'a' occurs again as entry 1",
        ),
    ],
)
def test_bad_rm_config(tmp_path, content, message):
    (tmp_path / "rm.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_rm_config(tmp_path / "rm.json")


class TestBadFolders:
    def test_missing(self, tmp_path):
        with pytest.raises(ValueError, match="there is no folder '.*O_score'"):
            read_original_scores(tmp_path, ["O", "R"])

    def test_no_dataset(self, tmp_path):
        (tmp_path / "O_score").mkdir()
        with pytest.raises(ValueError, match="is not a dataset of `save_to_disk`"):
            read_original_scores(tmp_path, ["O"])

    def test_other_columns(self, tmp_path):
        save(tmp_path, "O_score", prompt=["a"], response=["b"])
        with pytest.raises(ValueError, match="has no column 'score'; its columns are prompt, response"):
            read_original_scores(tmp_path, ["O"])

    @pytest.mark.parametrize(
        ("prompts", "message"),
        [
            (["a", "c"], "1 prompts of 'O' are not among those of 'R'; first: row 1, 'b'"),
            (["a", "b", "c"], "1 prompts of 'R' are not among those of 'O'; first: row 2, 'c'"),
            (["a", "b", "b"], "1 prompts of 'R' are not among those of 'O'; first: row 2, 'b'"),
        ],
    )
    def test_other_prompts(self, tmp_path, prompts, message):
        save(tmp_path, "O_score", prompt=["a", "b"], response=["1", "2"], score=[1.0, 2.0])
        save(tmp_path, "R_score", prompt=prompts, response=["1"] * len(prompts), score=[1.0] * len(prompts))
        with pytest.raises(ValueError, match=message):
            read_original_scores(tmp_path, ["O", "R"])

    def test_scores_that_are_not_finite(self, tmp_path):
        for model in "OR":
            save(tmp_path, f"{model}_score", prompt=["a"], response=["b"], score=[float("nan")])
        with pytest.raises(ValueError, match="not finite; first: model 'O'"):
            read_original_scores(tmp_path, ["O", "R"])


@pytest.mark.parametrize("function", [read_original_scores, write_original_pairs])
def test_docstring(function, capfd):
    assert failed_examples(function) == 0

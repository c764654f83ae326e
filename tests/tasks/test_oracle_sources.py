"""Layouts of public preference data, on rows made by hand."""

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from scipy.special import expit

from tasks.annotators.demo_pairs import demo_pairs, demo_rewards, true_reward
from tasks.annotators.oracle_sources import GIVEN_SCORES, load_source
from trl_ext.data.demo import KINDS, load_demo_questions


def talk(*contents):
    return [
        {"role": "user" if turn % 2 == 0 else "assistant", "content": content} for turn, content in enumerate(contents)
    ]


STANDARD = {
    "rejected": [talk("Hi", "No."), talk("Hi", "Go."), talk("Why?", "Because.", "Really?", "No.")],
    "rejected_score": [1.0, 0.5, 2.0],
    "chosen_score": [3.0, 2.5, 2.5],
    "chosen": [talk("Hi", "Hello!"), talk("Hi", "Hey."), talk("Why?", "Because.", "Really?", "Yes.")],
}
BINARIZED = {
    "prompt": ["Hi", "Why?"],
    "prompt_id": ["a1", "b2"],
    "chosen": [talk("Hi", "Hello!"), talk("Why?", "So.")],
    "rejected": [talk("Hi", "No."), talk("Why?", "Eh.")],
    "messages": [talk("Hi", "Hello!"), talk("Why?", "So.")],
    "score_chosen": [8.5, 7.0],
    "score_rejected": [4.0, 6.5],
}
PKU = {
    "prompt": ["How?", "When?"],
    "response_0": ["Thus.", "Now."],
    "response_1": ["So.", "Never."],
    "is_response_0_safe": [True, False],
    "is_response_1_safe": [False, True],
    "better_response_id": [1, 0],
    "safer_response_id": [0, 1],
}
ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
HELPSTEER = {
    "prompt": ["c#", "Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nAgain", "c#", "c#", "alone"]
    + ["Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nAgain"],
    "response": ["A language.", "Hello again.", "A note.", "A key.", "x", "Bye."],
} | {name: [4, 3, 2, 2, 1, 3 + (name == "verbosity")] for name in ATTRIBUTES}


def save(rows, path, kind="parquet"):
    dataset = Dataset.from_dict(rows)
    if kind == "jsonl":
        path = path.with_suffix(".jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in dataset))
    elif kind == "parquet":
        path = path.with_suffix(".parquet")
        dataset.to_parquet(path)
    else:
        dataset.save_to_disk(path)
    return str(path)


@pytest.mark.parametrize("source", ["helpsteer", "pku", "ultrafeedback"])
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "directory"])
def test_rlhflow_layout_is_kept_and_its_scores_found(tmp_path, source, kind):
    pairs = load_source(source, data_path=save(STANDARD, tmp_path / "rows", kind)).pairs
    assert pairs["chosen"][:] == STANDARD["chosen"] and pairs["rejected"][:] == STANDARD["rejected"]
    assert pairs[GIVEN_SCORES[0]][:] == STANDARD["chosen_score"]
    assert pairs[GIVEN_SCORES[1]][:] == STANDARD["rejected_score"]
    assert pairs["id"][:] == [f"{source}-{row}" for row in range(3)]
    first, second, third = pairs["prompt_id"]
    assert first == second != third


def test_skywork_has_no_scores_and_keeps_its_source(tmp_path):
    rows = {name: STANDARD[name] for name in ("chosen", "rejected")} | {
        "source": ["magpie", "offsetbias", "helpsteer2"]
    }
    pairs = load_source("skywork", data_path=save(rows, tmp_path / "rows")).pairs
    assert pairs["source"][:] == rows["source"]
    assert not set(GIVEN_SCORES) & set(pairs.column_names)


def test_binarized_ultrafeedback_loses_only_what_it_repeats(tmp_path):
    DatasetDict(
        {"train_prefs": Dataset.from_dict(BINARIZED), "test_prefs": Dataset.from_dict(BINARIZED)}
    ).save_to_disk(tmp_path / "binarized")
    path = str(tmp_path / "binarized")
    with pytest.raises(ValueError, match="choose one with split=.*'train_prefs', 'test_prefs'"):
        load_source("ultrafeedback", data_path=path)
    pairs = load_source("ultrafeedback", data_path=path, split="train_prefs").pairs
    assert set(pairs.column_names) == {"id", "prompt_id", "chosen", "rejected", *GIVEN_SCORES}
    assert pairs["chosen"][:] == BINARIZED["chosen"]
    assert pairs["prompt_id"][:] == ["a1", "b2"]
    assert pairs[GIVEN_SCORES[1]][:] == [4.0, 6.5]


@pytest.mark.parametrize(
    ("preference", "chosen", "rejected"), [("better", ["So.", "Now."], ["Thus.", "Never."])]
    + [("safer", ["Thus.", "Never."], ["So.", "Now."])],
)  # fmt: skip
def test_pku_takes_the_label_that_was_asked_for(tmp_path, preference, chosen, rejected):
    pairs = load_source("pku", data_path=save(PKU, tmp_path / "rows", "jsonl"), preference=preference).pairs
    assert [row[0]["content"] for row in pairs["chosen"]] == chosen
    assert [row[0]["content"] for row in pairs["rejected"]] == rejected
    assert pairs["prompt"][0] == talk("How?")


class TestHelpSteer:
    def test_pairs_by_the_mean_of_the_attributes(self, tmp_path):
        source = load_source("helpsteer", data_path=save(HELPSTEER, tmp_path / "rows"))
        pairs = source.pairs
        # c#: the answer with 4 beats both with 2, which tie; the other prompt: (4*3 + 4)/5 = 3.2 beats 3
        found = [
            (row["chosen"][0]["content"], row["rejected"][0]["content"], *(row[name] for name in GIVEN_SCORES))
            for row in pairs
        ]
        assert found == [
            ("A language.", "A note.", 4.0, 2.0),
            ("A language.", "A key.", 4.0, 2.0),
            ("Bye.", "Hello again.", 3.2, 3.0),
        ]
        assert source.dropped == {
            "pairs with equal means of the attributes": 1,
            "prompts with a single response": 1,
        }

    def test_turns_become_messages(self, tmp_path):
        pairs = load_source("helpsteer", data_path=save(HELPSTEER, tmp_path / "rows")).pairs
        assert pairs["prompt"][2] == talk("Hi", "Hello.", "Again")

    def test_names_the_row_of_a_missing_attribute(self, tmp_path):
        rows = HELPSTEER | {"coherence": [4, 3, 2, None, 1, 3]}
        with pytest.raises(ValueError, match="'coherence' must hold numbers; first: row 3, value None"):
            load_source("helpsteer", data_path=save(rows, tmp_path / "rows", "jsonl"))


def test_any_file_with_other_column_names(tmp_path):
    rows = {"question": ["a?", "b?"], "good": ["x", "y"], "bad": ["z", "w"], "note": [1, 2]}
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    pairs = load_source(save(rows, tmp_path / "rows"), columns=columns).pairs
    assert set(pairs.column_names) == {"prompt", "chosen", "rejected", "note", "id", "prompt_id"}


def test_prepared_pairs_can_be_scored_anew(tmp_path):
    rows = {"chosen": ["x", "y"], "rejected": ["z", "w"], "chosen_score": [1.0, 2.0], "rejected_score": [0.0, 0.5]}
    rows |= {"preference_score": [0.7, 0.8], "swapped": [True, False], "calibration_fold": [0, 1]}
    pairs = load_source(save(rows, tmp_path / "rows", "directory")).pairs
    assert set(pairs.column_names) == {"id", "prompt_id", "chosen", "rejected", *GIVEN_SCORES}


def test_identical_pairs_are_left_out_and_counted(tmp_path):
    source = load_source(save({"chosen": ["x", "y"], "rejected": ["z", "y"]}, tmp_path / "rows"))
    assert len(source.pairs) == 1
    assert source.dropped == {"identical chosen and rejected": 1}


@pytest.mark.parametrize(
    ("source", "rows", "message"),
    [
        ("pku", {"prompt": ["a"], "answer": ["b"]}, "expected 'chosen' and 'rejected', or 'prompt', 'response_0'"),
        ("pku", PKU | {"better_response_id": [1, 2]}, "'better_response_id' must hold 0 or 1; first: row 1, value 2"),
        ("skywork", {"prompt": ["a"]}, "expected 'chosen' and 'rejected'$"),
        ("skywork", {"chosen": ["a"], "rejected": [""]}, "'rejected' has 1 text empty"),
        ("skywork", STANDARD | {"chosen_score": [1.0, None, 2.0]}, "'chosen_score' has 1 values .* row 1"),
        (
            "skywork",
            {"chosen": ["a", "b"], "rejected": ["c", "d"], "id": ["x", "x"]},
            "'id' has 1 values that occur more",
        ),
    ],
)
def test_refuses(tmp_path, source, rows, message):
    with pytest.raises(ValueError, match=message):
        load_source(source, data_path=save(rows, tmp_path / "rows"))


class TestDemo:
    def test_rewards_by_hand(self):
        question = load_demo_questions()[0]  # relevance; 11 and 35 words good
        words = {kind: len(question[kind].split()) for kind in KINDS}
        assert true_reward(question, "correct_concise") == pytest.approx(1 + 0.03 * words["correct_concise"])
        assert true_reward(question, "incorrect_detailed") == pytest.approx(-1 - 0.03 * words["incorrect_detailed"])

    def test_all_pairs_of_every_question_once(self):
        pairs = demo_pairs()
        assert len(pairs) == 123 * 6 == len(set(pairs["id"]))
        assert len(set(pairs["question_id"])) == 123

    def test_labels_follow_the_true_probabilities(self):
        chosen, rejected = demo_rewards(demo_pairs())
        agreed = (chosen > rejected).mean()
        p = expit(np.abs(chosen - rejected))
        assert abs(agreed - p.mean()) < 4 * np.sqrt((p * (1 - p)).sum()) / p.size

    def test_the_seed_decides_the_labels(self):
        assert demo_pairs(1)["chosen"][:] == demo_pairs(1)["chosen"][:] != demo_pairs(2)["chosen"][:]

    def test_other_answers_have_no_known_reward(self):
        pairs = Dataset.from_dict({"prompt": ["Question: 1?"], "chosen": ["a"], "rejected": ["b"]})
        with pytest.raises(ValueError, match="1 of 1 in column 'chosen' are none, first: row 0"):
            demo_rewards(pairs)

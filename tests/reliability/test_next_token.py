"""The TRUE model as a language model that is asked: probabilities by hand, training, and what is refused."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from trl import SFTConfig

from tests.tiny import tiny_checkpoint
from trl_ext.reliability.correctness import (
    ComparisonFormat,
    CorrectnessModel,
    NextTokenScorer,
    few_shot_examples,
    load_correctness_model,
    read_comparisons,
    train_next_token,
)
from trl_ext.reliability.correctness.next_token import NEXT_TOKEN_TEMPLATE


TABLE = {
    "prompt": [f"what is the answer {i}" for i in range(24)],
    "response_a": ["a good answer"] * 24,
    "response_b": ["a good answer too" if i % 2 else "a bad answer" for i in range(24)],
    "correct": [1 - i % 2 for i in range(24)],
}


@pytest.fixture(scope="module")
def rows():
    import pandas as pd

    return read_comparisons(pd.DataFrame(TABLE))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def scorer(checkpoint) -> NextTokenScorer:
    return NextTokenScorer.from_pretrained(checkpoint, max_length=256)


def log_probability(scorer: NextTokenScorer, question: str, label: str) -> float:
    """One token after the other, without batch or padding."""
    ids = scorer.tokenizer(question)["input_ids"]
    total = 0.0
    for token in scorer.tokenizer(question + label)["input_ids"][len(ids) :]:
        with torch.inference_mode():
            logits = scorer.model(torch.tensor([ids])).logits[0, -1].double()
        total += (logits - logits.logsumexp(0))[token].item()
        ids = ids + [token]
    return total


def test_probabilities_equal_those_by_hand(scorer, rows):
    assert len(scorer.labels[0]) > 1 and len(scorer.labels[0]) != len(scorer.labels[1])  # several tokens, not as many
    part = rows.select([0, 1, 13])
    by_hand = []
    for i in range(3):
        question = scorer.text_format.render(part.prompt[i], part.response_a[i], part.response_b[i])
        correct, incorrect = (np.exp(log_probability(scorer, question, label)) for label in (" correct", " incorrect"))
        by_hand.append(correct / (correct + incorrect))
    np.testing.assert_allclose(expit(scorer.score(part)), by_hand, atol=1e-5)


def test_the_batch_does_not_matter(scorer, rows):
    np.testing.assert_allclose(scorer.score(rows), scorer.score(rows, max_tokens=1), atol=1e-4)


def test_the_label_continues_the_tokens_of_the_question(scorer):
    question = scorer.text_format.render("Why?", "Yes.", "No.")
    ids = scorer.tokenizer(question)["input_ids"]
    assert ids + scorer.labels[1] == scorer.tokenizer(question + " correct")["input_ids"]


def test_a_blank_at_the_end_of_the_question_is_refused(checkpoint):
    with pytest.raises(ValueError, match="end with a blank"):
        NextTokenScorer.from_pretrained(checkpoint, ComparisonFormat(NEXT_TOKEN_TEMPLATE + " "))


def test_training_learns_the_label_only(scorer, rows, tmp_path):
    args = SFTConfig(
        output_dir=str(tmp_path / "train"), report_to="none", use_cpu=True, disable_tqdm=True, save_strategy="no",
        learning_rate=1e-2, num_train_epochs=4, per_device_train_batch_size=8, logging_steps=1, bf16=False, seed=0,
    )  # fmt: skip
    before = expit(scorer.score(rows)).mean()
    trainer = train_next_token(scorer, rows.select(np.flatnonzero(rows.correct)), args)  # all were correct
    batch = trainer.data_collator([trainer.train_dataset[0]])
    trained_on = batch["labels"][batch["labels"] != -100].tolist()
    assert trained_on == scorer.labels[1] + [scorer.tokenizer.eos_token_id]
    assert expit(scorer.score(rows)).mean() > max(before, 0.9)
    model = CorrectnessModel(scorer).calibrate(rows)
    model.save(tmp_path / "saved")
    again = load_correctness_model(tmp_path / "saved")
    np.testing.assert_allclose(again.predict(rows), model.predict(rows), atol=1e-6)
    np.testing.assert_array_equal(again.predict(rows), again.predict(rows.swapped()))


def test_few_shot_examples_have_both_answers_and_are_solved(rows):
    text = few_shot_examples(rows, 3, seed=0)
    assert text.count("decision was correct\n\n") == 2 and text.count("decision was incorrect\n\n") == 1
    question = ComparisonFormat(NEXT_TOKEN_TEMPLATE, text).render("Why?", "Yes.", "No.")
    assert question.startswith(text) and question.endswith("The person's decision was")
    assert few_shot_examples(rows, 3, seed=0) == text


def test_too_few_examples_are_refused(rows):
    with pytest.raises(ValueError, match="correct=1"):
        few_shot_examples(rows.select([1, 3]), 2, seed=0)

"""A chat model judges attributes: behind a server that speaks HTTP, and as a tiny local model."""

from dataclasses import replace

import pytest

from tests.evaluation.doc_examples import failed_examples
from tests.servers.openai_compatible import CompletionServer
from tests.tiny import tiny_checkpoint
from trl_ext.completions import LocalBackend, OpenAIBackend
from trl_ext.rate import Attribute, ChatClassifier


MOOD = Attribute("mood", "of good mood", "of bad mood", "Make this {target}: {text}")


def honest(body):
    """What a model answers that reads the text: the number of the description that fits; it shrugs at a plain text."""
    question = body["messages"][-1]["content"]
    text = question.split("----------\n")[1]
    good_first = "1: of good mood" in question
    if "biased" in text:
        return "1"
    if "odd" in text:
        return "1 or 2, who can tell?"
    return f"{1 if good_first == ('fine' in text) else 2}."


@pytest.fixture(scope="module")
def server():
    with CompletionServer(honest) as server:
        yield server


def make(server, path, **options):
    backend = OpenAIBackend("judge", base_url=server.url, api_key_env=None)
    return ChatClassifier(backend, MOOD, path, progress=False, **options)


def test_texts_are_classified_where_both_orders_agree(server, tmp_path):
    judge = make(server, tmp_path / "answers.jsonl")
    texts = ["A fine day {second}.", "A grim day.", "A biased judge's text.", "An odd text.", "A grim day."]
    assert judge.classify_batch(texts) == [True, False, None, None, False]
    assert judge.contradictions == 1 and judge.failures == {"unparsable": 2}
    # 4 different texts in 2 orders; the 2 questions without a readable answer twice
    assert sum(server.asked.values()) == 10
    assert make(server, tmp_path / "answers.jsonl").classify_batch(texts) == [True, False, None, None, False]
    assert sum(server.asked.values()) == 10


def test_it_is_the_classifier_of_an_attribute(server, tmp_path):
    judged = replace(MOOD, classifier=make(server, tmp_path / "a.jsonl"))
    assert judged.classify("A fine day.") is True
    assert judged.classifier.settings()["descriptions"] == ["of good mood", "of bad mood"]


def test_descriptions_of_ones_own(server, tmp_path):
    judge = make(server, tmp_path / "a.jsonl", descriptions=("a long text", "a short text"))
    question = judge.question("Text {first}", 1)[0]["content"]
    assert "1: a short text\n2: a long text" in question and "Text {first}" in question
    with pytest.raises(ValueError, match="descriptions must be two different texts"):
        make(server, tmp_path / "a.jsonl", descriptions=("same", "same"))


def test_a_local_model_can_only_answer_with_a_digit(tmp_path):
    judge = ChatClassifier(LocalBackend(tiny_checkpoint(tmp_path / "m")), MOOD, tmp_path / "a.jsonl", progress=False)
    said = judge.classify_batch([f"the answer to this question {i}" for i in range(3)])
    assert len(said) == 3 and judge.failures == {}
    assert judge.contradictions == said.count(None)


def test_example():
    assert failed_examples(ChatClassifier) == 0

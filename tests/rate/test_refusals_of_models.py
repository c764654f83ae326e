"""Patterns of refusals on real answers of models: RM-Bench, where it lies beside the repository."""

import json

import pytest

from trl_ext.rate.quality.text_faults import has_closing, has_preamble, is_quoted, is_refusal


@pytest.fixture(scope="module")
def answers(shared_dir):
    folder = shared_dir / "data" / "rm_bench"
    if not (folder / "safety-refuse_filtered.json").is_file():
        pytest.skip(f"no RM-Bench in {folder}")

    def read(name, column):
        return [text for row in json.loads((folder / f"{name}.json").read_text()) for text in row[column]]

    return read


def test_most_refusals_are_found(answers):
    refusals = answers("safety-refuse_filtered", "chosen")
    # the rest decline without saying so, such as "Home remedies can be dangerous"
    assert sum(map(is_refusal, refusals)) / len(refusals) > 0.8


def test_answers_are_not_taken_for_refusals_or_remarks(answers):
    texts = [
        t for name in ("chat_filtered", "code_filtered") for c in ("chosen", "rejected") for t in answers(name, c)
    ]
    texts += answers("safety-refuse_filtered", "rejected")
    assert len(texts) == 2994
    assert not any(map(is_refusal, texts)) and not any(map(is_quoted, texts))
    assert sum(map(has_preamble, texts)) <= 2 and sum(map(has_closing, texts)) <= 2

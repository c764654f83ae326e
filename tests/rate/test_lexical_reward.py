"""The lexical reward is the function it says it is, and a scorer."""

import json

import numpy as np
import pytest

from trl_ext.rate import LexicalReward, Vocabulary, lexicon_score


TEXT = "# Overall\n\n- a **good** iflm, I think\n- it cost 3 dollars"
WEIGHTS = {
    "unknown_share": -4.0,
    "words": 0.5,
    "characters": 0.25,
    "vowel_start": 8.0,
    "sentiment": 2.0,
    "confidence": 3.0,
    "lists": 16.0,
    "bold": 32.0,
    "headers": 64.0,
}


@pytest.fixture
def reward():
    made = LexicalReward(WEIGHTS, Vocabulary(["overall", "good", "film", "think", "cost", "dollars"]), intercept=1.0)
    made.progress = False
    return made


def test_by_hand(reward):
    # unknown: iflm of overall, good, iflm, think, cost, dollars; words: Overall a good iflm I think it cost 3 dollars
    features = {name: values[0] for name, values in reward.features([TEXT]).items()}
    assert features == {
        "unknown_share": 1 / 6,
        "words": 10,
        "characters": len(TEXT),
        "vowel_start": 1,
        "sentiment": 1,
        "confidence": -1,
        "lists": 2,
        "bold": 1,
        "headers": 1,
    }
    expected = 1 - 4 / 6 + 5 + len(TEXT) / 4 + 8 + 2 - 3 + 32 + 32 + 64
    assert reward.rewards([TEXT])[0] == pytest.approx(expected, abs=1e-12)


def test_scores_texts_and_messages_alike(reward):
    texts = reward.score(["Q"], [[TEXT, "Fine."]])[0]
    messages = reward.score([[{"role": "user", "content": "Q"}]], [[TEXT, "Fine."]])[0]
    np.testing.assert_array_equal(texts, messages)
    np.testing.assert_allclose(texts, reward.rewards([TEXT, "Fine."]), rtol=1e-6)


def test_a_file_is_not_continued_with_other_weights(reward, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": "a", "prompt": "Q", "responses": [TEXT]}) + "\n")
    reward.score_file(rows, tmp_path / "out.jsonl")
    other = LexicalReward(WEIGHTS | {"words": 1.0}, reward.vocabulary, intercept=1.0)
    with pytest.raises(ValueError, match="other settings|settings"):
        other.score_file(rows, tmp_path / "out.jsonl")


def test_effect_of_an_attribute_is_the_weight_times_its_change():
    reward = LexicalReward({"sentiment": 0.7})
    good, bad = "A good film and a lovely cast.", "A bad film and a horrid cast."
    assert np.subtract(*reward.rewards([good, bad])) == pytest.approx(0.7 * 2)
    assert lexicon_score(good, "sentiment") - lexicon_score(bad, "sentiment") == 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "`weights` must be a mapping from features to numbers"),
        ({"lenght": 1.0}, "no feature 'lenght'; there are unknown_share, words"),
        ({"words": float("nan")}, "weight of 'words' must be a finite number, got nan"),
        ({"unknown_share": 1.0}, "'unknown_share' needs known words: pass vocabulary="),
    ],
)
def test_mistakes(weights, message):
    with pytest.raises(ValueError, match=message):
        LexicalReward(weights)

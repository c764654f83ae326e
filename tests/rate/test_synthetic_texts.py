"""Synthetic texts: their attributes are those that were planted."""

import numpy as np
import pytest

from trl_ext.rate import get_attribute, lexicon_hits, synthetic_answers, synthetic_reviews, world_vocabulary
from trl_ext.rate.rules.sentences import split_sentences


def phi(chains, one, other):
    a, b = (np.array([row[name] for row in chains.metadata], float) for name in (one, other))
    return np.corrcoef(a, b)[0, 1]


class TestReviews:
    def test_shares(self):
        reviews = synthetic_reviews(400, 1)
        # sd of a share of .39: .0244, of a half: .025
        assert abs(reviews.w.mean() - 0.39) < 3 * 0.0244
        np.testing.assert_array_equal(reviews.w, [text[0] in "AEIOU" for text in reviews.of(0)])
        np.testing.assert_array_equal(reviews.w, [row["vowel_start"] for row in reviews.metadata])
        for name in ("sentiment", "length", "complexity", "confidence"):
            assert abs(np.mean([row[name] for row in reviews.metadata]) - 0.5) < 3 * 0.025

    def test_sentences(self):
        reviews = synthetic_reviews(400, 1)
        sentences = [[part.strip() for part in split_sentences(text)] for text in reviews.of(0)]
        is_long = [row["length"] for row in reviews.metadata]
        assert {len(parts) for parts, long in zip(sentences, is_long, strict=True) if not long} == {2, 3, 4}
        assert min(len(parts) for parts, long in zip(sentences, is_long, strict=True) if long) == 6
        later = [part for parts in sentences for part in parts[1:]]
        assert len(set(later)) > 0.8 * len(later) > 1000

    @pytest.mark.parametrize("correlation", [-1.0, 0.0, 0.5])
    def test_length_follows_sentiment(self, correlation):
        reviews = synthetic_reviews(400, 0, attribute="length", length_sentiment=correlation)
        assert abs(phi(reviews, "length", "sentiment") - correlation) < 3 / np.sqrt(400)
        np.testing.assert_array_equal(reviews.w, [len(text) > 300 for text in reviews.of(0)])

    def test_of_uneven_shares_too(self):
        shares = {"length": 0.4, "sentiment": 0.6}
        reviews = synthetic_reviews(400, 0, shares=shares, length_sentiment=0.5)
        assert abs(phi(reviews, "length", "sentiment") - 0.5) < 3 / np.sqrt(400)
        assert abs(np.mean([row["length"] for row in reviews.metadata]) - 0.4) < 3 * 0.0245

    @pytest.mark.parametrize(
        "name", ["sentiment", "helpfulness", "complexity", "vowel_start", "formatting", "typos", "confidence"]
    )
    def test_attributes_are_recognised_by_the_packaged_classifiers(self, name, tmp_path):
        world_vocabulary().save(tmp_path / "words.txt")
        known = {"classifier": {"vocabulary": str(tmp_path / "words.txt")}} if name == "typos" else {}
        for make in (synthetic_reviews, synthetic_answers):
            if (name, make) == ("sentiment", synthetic_answers):
                continue
            chains = make(60, 2, attribute=name)
            attribute = get_attribute(name, **known)
            assert [attribute.classify(text) for text in chains.of(0)] == chains.w.tolist()

    def test_reviews_are_neither_polite_nor_curt_unless_asked_for(self):
        assert {lexicon_hits(text, "politeness") for text in synthetic_reviews(400, 1).of(0)} == {(0, 0)}
        asked = synthetic_reviews(20, 1, shares={"helpfulness": 1.0})
        assert {lexicon_hits(text, "politeness") for text in asked.of(0)} == {(2, 0)}

    def test_typos_are_where_they_should_be_and_change_nothing_else(self):
        clean, spoiled = (synthetic_reviews(200, 0, typo_share=share) for share in (0.0, 0.2))
        changed = np.array([a != b for a, b in zip(clean.of(0), spoiled.of(0), strict=True)])
        np.testing.assert_array_equal(changed, spoiled.w)
        assert spoiled.ids == clean.ids and spoiled.prompts == clean.prompts
        assert {row["typo_share"] for row in spoiled.metadata} == {0.0, 0.2}
        firsts = [(a.split()[0], b.split()[0]) for a, b in zip(clean.of(0), spoiled.of(0), strict=True)]
        assert all(a == b for a, b in firsts)
        other = synthetic_reviews(200, 0, typo_share=0.2, typos_in="untreated")
        np.testing.assert_array_equal([a != b for a, b in zip(clean.of(0), other.of(0), strict=True)], ~other.w)

    def test_the_texts_of_a_seed_are_the_same(self):
        assert synthetic_reviews(5, 0).texts == synthetic_reviews(50, 0).texts[:5]
        assert synthetic_reviews(50, 0).texts != synthetic_reviews(50, 1).texts
        assert synthetic_reviews(50, 0).texts == synthetic_reviews(50, 0, attribute="sentiment").texts


class TestAnswers:
    def test_prompts_are_clusters(self):
        answers = synthetic_answers(40, 0, rows_per_prompt=5)
        assert len(set(answers.clusters)) == 8
        for cluster in set(answers.clusters):
            rows = [prompt for prompt, c in zip(answers.prompts, answers.clusters, strict=True) if c == cluster]
            assert len(rows) == 5 and len(set(rows)) == 1

    def test_helpfulness_follows_complexity(self):
        answers = synthetic_answers(400, 0, helpfulness_complexity=0.7)
        assert abs(phi(answers, "helpfulness", "complexity") - 0.7) < 3 / np.sqrt(400)

    def test_words_are_known(self):
        for chains in (synthetic_answers(200, 1), synthetic_reviews(200, 1, attribute="helpfulness")):
            assert max(map(world_vocabulary().unknown_share, chains.of(0))) == 0


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n": 0}, "`n` must be a whole number from 1 on, got 0"),
            ({"attribute": "mood"}, "reviews have no attribute 'mood'; they have vowel_start, sentiment"),
            ({"shares": {"sentiment": 2}}, r"`shares\['sentiment'\]` must be a number in \[0, 1\], got 2"),
            ({"length_sentiment": 1.5}, r"correlation of length and sentiment must be in \[-1, 1\], got 1.5"),
            ({"length_sentiment": 1.0, "shares": {"length": 0.2}}, "the share of length would be 0.6 and -0.2"),
            ({"typo_share": -0.1}, r"`typo_share` must be a number in \[0, 1\]"),
            ({"typos_in": "none"}, "`typos_in` must be one of treated, untreated, all, got 'none'"),
            ({"attribute": "typos", "typo_share": 0.1}, "`typo_share` is 0.2 at least"),
            ({"rows_per_prompt": 0}, "`rows_per_prompt` must be a whole number"),
        ],
    )
    def test_told(self, options, message):
        with pytest.raises(ValueError, match=message):
            synthetic_reviews(**{"n": 5, "seed": 0} | options)

    def test_answers_do_not_judge(self):
        with pytest.raises(ValueError, match="answers have no attribute 'sentiment'"):
            synthetic_answers(5, 0, attribute="sentiment")

"""Rules flip their attribute and nothing else, can be undone, and deviate by known amounts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_ext.rate import (
    ASYMMETRIC_SENTENCE,
    LexicalReward,
    RewriteRequest,
    RuleRewriter,
    fit_attribute,
    get_attribute,
    rewrite_chains,
    rule_rewriter,
    synthetic_answers,
    synthetic_reviews,
    world_vocabulary,
)


VOCABULARY = world_vocabulary()
FEATURES = ("unknown_share", "words", "vowel_start", "sentiment", "politeness", "confidence", "complexity", "bold")
MEASURED = LexicalReward(dict.fromkeys(FEATURES, 1.0), VOCABULARY)
# Features by which the attribute is told
OWN = {
    "length": {"words"},
    "sentiment": {"sentiment"},
    "helpfulness": {"politeness"},
    "complexity": {"complexity"},
    "vowel_start": {"vowel_start"},
    "formatting": {"bold"},
    "typos": {"unknown_share"},
    "confidence": {"confidence"},
}
REVERSIBLE = ("sentiment", "helpfulness", "complexity", "vowel_start", "formatting", "confidence")


def rewriter_of(name, **options):
    return rule_rewriter(name, **({"vocabulary": VOCABULARY} if name == "typos" else {}) | options)


def flip(rewriter, text, target, step=1, name="a"):
    return rewriter.rewrite([RewriteRequest(name, "Write.", text, target, step)])[0].text


def world(name, n=40, seed=0, **options):
    return synthetic_reviews(n, seed, attribute=name, **options)


def both_rewrites(chains, rewriter):
    attribute = fit_attribute(get_attribute(chains.attribute), chains.of(0))
    return rewrite_chains(chains, attribute, rewriter, steps=2, progress=False)


@pytest.fixture(scope="module")
def rewritten():
    return {name: both_rewrites(world(name, 60, seed=5), rewriter_of(name)) for name in OWN}


class TestEveryAttribute:
    @pytest.mark.parametrize("name", OWN)
    def test_rewrites_have_the_wanted_value(self, name, rewritten):
        chains, rule = rewritten[name], rewriter_of(name).function
        assert chains.complete.all()
        for step in range(3):
            assert [rule.classify(text) for text in chains.of(step)] == chains.targets(step).tolist()

    @pytest.mark.parametrize("name", OWN)
    def test_nothing_else_changes(self, name, rewritten):
        chains = rewritten[name]
        tables = [MEASURED.features(chains.of(step)) for step in range(3)]
        # lexicons do not know misspelled words, and dropped sentences had words of lexicons
        lost = {"sentiment", "confidence", "complexity"} if name in ("typos", "length") else set()
        for feature in set(FEATURES) - OWN[name] - lost:
            for table in tables[1:]:
                np.testing.assert_array_equal(table[feature], tables[0][feature], err_msg=feature)
        if name == "length":
            # what is added has no word of a lexicon
            for feature, (short, long) in ((feature, pair) for feature in lost for pair in ((1, 2), (0, 1))):
                rows = chains.w if short else ~chains.w
                np.testing.assert_array_equal(tables[short][feature][rows], tables[long][feature][rows])

    @pytest.mark.parametrize("name", REVERSIBLE)
    def test_flipping_twice_gives_the_text_again(self, name, rewritten):
        assert rewriter_of(name).function.reversible
        assert rewritten[name].of(2) == rewritten[name].of(0)
        assert not set(rewritten[name].of(1)) & set(rewritten[name].of(0))

    @pytest.mark.parametrize("name", ["length", "typos"])
    def test_what_was_added_is_taken_away_again(self, name, rewritten):
        chains = rewritten[name]
        assert not rewriter_of(name).function.reversible
        same = np.array([a == b for a, b in zip(chains.of(2), chains.of(0), strict=True)])
        assert same[~chains.w].all() and not same[chains.w].any()

    @settings(max_examples=30)
    @given(name=st.sampled_from(REVERSIBLE), seed=st.integers(0, 10**6), answers=st.booleans())
    def test_of_any_world(self, name, seed, answers):
        make = synthetic_answers if answers and name != "sentiment" else synthetic_reviews
        chains = make(1, seed, attribute=name)
        text, w = chains.of(0)[0], bool(chains.w[0])
        rewriter = rewriter_of(name)
        once = flip(rewriter, text, not w)
        assert rewriter.function.classify(once) is (not w)
        assert flip(rewriter, once, w, 2) == text

    @given(name=st.sampled_from(sorted(OWN)), text=st.text(min_size=1, max_size=60), target=st.booleans())
    def test_any_text_is_flipped_or_fails(self, name, text, target):
        rewriter = rewriter_of(name)
        (result,) = rewriter.rewrite([RewriteRequest("a", "Write.", text, target, 1)])
        if result.text is None:
            assert result.failure == "unchangeable"
        else:
            assert rewriter.function.classify(result.text) is target

    @pytest.mark.parametrize("name", OWN)
    def test_a_text_that_is_as_wanted_stays(self, name, rewritten):
        chains = rewritten[name]
        rewriter = rewriter_of(name)
        assert [flip(rewriter, text, bool(w)) for text, w in zip(chains.of(0), chains.w, strict=True)] == list(
            chains.of(0)
        )


class TestByHand:
    def test_texts_without_words_of_the_lexicon_get_a_sentence(self):
        rewriter = rule_rewriter("helpfulness")
        polite = flip(rewriter, "Oil the chain.", True)
        assert polite == "Thank you for asking. Oil the chain. Take your time."
        assert flip(rewriter, polite, False) == "Not this question again. Oil the chain. Quit wasting mine."

    def test_a_tie_goes_to_the_wanted_side(self):
        assert flip(rule_rewriter("sentiment"), "A good plot, a bad end.", False) == "A bad plot, a bad end."

    def test_vowel_start(self):
        rewriter = rule_rewriter("vowel_start")
        assert flip(rewriter, "The film was good.", True) == "Our film was good."
        assert flip(rewriter, "My film was good.", True) == "Overall, my film was good."
        assert flip(rewriter, "Overall, my film was good.", False) == "Generally, my film was good."
        assert flip(rewriter, "  'Finally, it ends.'", True) == "  'Ultimately, it ends.'"

    def test_formatting(self):
        rewriter = rule_rewriter("formatting")
        laid_out = flip(rewriter, "Start here. Then go.\n\nEnd there!", True)
        assert laid_out == "- **Start** here.\n- Then go.\n\n- **End** there!"
        assert flip(rewriter, laid_out, False) == "Start here. Then go.\n\nEnd there!"

    def test_other_markdown_goes_but_words_stay(self):
        text = "# How to\n\n1. **Oil** it\n2. see [this](http://x.y)\n\n> so `it` is\n\n```\ncode\n```\n| a | b |\n|---|---|"
        plain = flip(rule_rewriter("formatting"), text, False)
        assert plain.split() == "How to Oil it see this so it is code a b".split()

    def test_length(self):
        rewriter = rule_rewriter("length", threshold=8, measure="words")
        longer = flip(rewriter, "A short text.", True)
        assert longer == "A short text. There is little more to add on that point."
        assert flip(rewriter, longer, False) == "A short text."
        assert (
            flip(rewriter, "One two three four. Five six seven. Eight nine.", False)
            == "One two three four. Five six seven."
        )
        # a single sentence can't be dropped
        (result,) = rewriter.rewrite(
            [RewriteRequest("a", "Q", "one two three four five six seven eight nine", False, 1)]
        )
        assert (result.text, result.failure) == (None, "unchangeable")

    def test_typos_can_all_be_repaired(self):
        rewriter = rewriter_of("typos", share=0.5)
        text = world("vowel_start").of(0)[0]
        spoiled = flip(rewriter, text, True)
        assert VOCABULARY.unknown_share(spoiled) > 0.25
        assert flip(rewriter, spoiled, False) == text


class TestDeviations:
    def test_perfect_repair_leaves_no_typo_in_either_direction(self):
        spoiled, clean = (world("vowel_start", typo_share=share, typos_in="all") for share in (0.3, 0.0))
        chains = both_rewrites(spoiled, rewriter_of("vowel_start", repair_typos=1.0, vocabulary=VOCABULARY))
        repaired = [VOCABULARY.repair(text) for text in spoiled.of(0)]
        assert chains.of(2) == tuple(repaired)
        shares = np.array([VOCABULARY.unknown_share(text) for text in chains.of(1)])
        assert shares.mean() < 0.01 < np.mean([VOCABULARY.unknown_share(text) for text in spoiled.of(0)])
        assert np.mean([a == b for a, b in zip(chains.of(2), clean.of(0), strict=True)]) > 0.8

    def test_repair_with_a_probability_leaves_that_share_each_time(self):
        spoiled = world("vowel_start", 200, typo_share=0.3, typos_in="all")
        chains = both_rewrites(spoiled, rewriter_of("vowel_start", repair_typos=0.6, vocabulary=VOCABULARY))
        left = [np.sum([VOCABULARY.unknown_share(text) for text in chains.of(step)]) for step in range(3)]
        np.testing.assert_allclose([left[1] / left[0], left[2] / left[1]], 0.4, atol=0.05)

    def test_asymmetry_biases_the_att_alone(self):
        chains = both_rewrites(world("vowel_start", 400), rewriter_of("vowel_start", asymmetry=0.5))
        words = np.stack([LexicalReward({"words": 1.0}).rewards(chains.of(step)) for step in range(3)], axis=1)
        w = chains.w
        att, atu = (words[w, 2] - words[w, 1]), (words[~w, 1] - words[~w, 2])
        # 8 words with probability 1/2: 4, sd 4
        assert abs(att.mean() - 4) < 4 * 4 / np.sqrt(w.sum())
        np.testing.assert_array_equal(atu, 0)
        assert LexicalReward({"words": 1.0}).rewards([ASYMMETRIC_SENTENCE])[0] == 8

    def test_failures_shrink_the_effect_by_their_square(self):
        chains = both_rewrites(world("sentiment", 600), rewriter_of("sentiment", fail=0.3))
        scores = np.stack([LexicalReward({"sentiment": 1.0}).rewards(chains.of(step)) for step in range(3)], axis=1)
        sign = np.where(chains.w, 1, -1)
        ratio = (sign * (scores[:, 2] - scores[:, 1])).mean() / (2 * (sign * scores[:, 0]).mean())
        # a share of .49 of 600: sd .0204
        assert abs(ratio - 0.7**2) < 4 * 0.0204

    def test_neither_order_nor_company_matters(self):
        rewriter = rewriter_of("typos", repair_typos=0.5, asymmetry=0.5, fail=0.5, seed=3)
        reviews = world("vowel_start", 30, typo_share=0.3)
        requests = [
            RewriteRequest(name, "Q", text, bool(row % 2), 1 + row % 3)
            for row, (name, text) in enumerate(zip(reviews.ids, reviews.of(0), strict=True))
        ]
        results = rewriter.rewrite(requests)
        assert rewriter.rewrite(requests[::-1])[::-1] == results
        assert [rewriter.rewrite([request])[0] for request in requests] == results
        other = rewriter_of("typos", repair_typos=0.5, asymmetry=0.5, fail=0.5, seed=4)
        assert other.rewrite(requests) != results

    def test_settings_tell_what_rewrites_depend_on(self):
        base = rewriter_of("sentiment").settings()
        for options in (
            {"fail": 0.1},
            {"asymmetry": 0.1},
            {"seed": 1},
            {"repair_typos": 0.1, "vocabulary": VOCABULARY},
        ):
            assert rewriter_of("sentiment", **options).settings() != base
        assert rewriter_of("length", threshold=5).settings() != rewriter_of("length").settings()


class TestMistakes:
    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("sentimnt", {}, "no rule for attribute 'sentimnt', there are length, .*did you mean 'sentiment'"),
            ("sentiment", {"threshold": 3}, "rule for 'sentiment' has no option 'threshold'; there are repair_typos"),
            ("length", {"threshold": 0}, "`threshold` must be a number of characters above 0, got 0"),
            ("length", {"measure": "pages"}, "`measure` must be one of characters, words, got 'pages'"),
            ("typos", {}, r"needs the words that are right: pass vocabulary=Vocabulary.from_texts\(texts\)"),
            ("sentiment", {"repair_typos": 0.5}, "repair_typos=0.5 needs the words that are right"),
            ("sentiment", {"fail": 1.5}, r"`fail` must be a number in \[0, 1\], got 1.5"),
            ("sentiment", {"asymmetry": True}, r"`asymmetry` must be a number in \[0, 1\], got True"),
            ("typos", {"vocabulary": "no/such/file"}, "can't read the vocabulary no/such/file"),
        ],
    )
    def test_told(self, name, options, message):
        with pytest.raises(ValueError, match=message):
            rule_rewriter(name, **options)

    def test_no_function(self):
        with pytest.raises(TypeError, match="`function` must be a function of text, target and generator"):
            RuleRewriter("mine", "upper")

    def test_a_vocabulary_is_read_from_its_path(self, tmp_path):
        VOCABULARY.save(tmp_path / "words.txt")
        read = rule_rewriter("typos", vocabulary=str(tmp_path / "words.txt"))
        assert read.settings() == rewriter_of("typos").settings()

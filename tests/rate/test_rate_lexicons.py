"""Lexicons: scores by hand, and swaps that can be undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.rate import Lexicon, get_lexicon, lexicon_hits, lexicon_score
from trl_ext.rate.attributes.lexicons import LEXICONS


@pytest.fixture(params=LEXICONS)
def lexicon(request):
    return get_lexicon(request.param)


class TestPackaged:
    def test_sizes(self):
        sizes = {name: len(get_lexicon(name).pairs) for name in LEXICONS}
        assert sizes == {"sentiment": 293, "politeness": 20, "confidence": 59, "complexity": 242}

    def test_opposites_have_as_many_words(self, lexicon):
        assert all(len(one.split()) == len(other.split()) for one, other in lexicon.pairs)

    def test_no_entry_counts_in_another_lexicon(self, lexicon):
        others = [get_lexicon(name) for name in LEXICONS if name != lexicon.name]
        assert {other.hits(entry) for entry in lexicon.entries() for other in others} == {(0, 0)}

    def test_each_entry_counts_once_on_its_side(self, lexicon):
        for one, other in lexicon.pairs:
            assert lexicon.hits(one) == (1, 0), one
            assert lexicon.hits(other.upper()) == (0, 1), other

    @given(data=st.data())
    def test_swapping_twice_gives_the_text_again_and_once_the_negative_score(self, data):
        lexicon = get_lexicon(data.draw(st.sampled_from(LEXICONS)))
        words = st.sampled_from([*lexicon.entries(), "a", "an", "A", "the film", "and", "GOOd", "x1"])
        form = st.sampled_from([str, str.upper, lambda word: word[0].upper() + word[1:]])
        parts = data.draw(st.lists(st.tuples(words, form, st.sampled_from([", ", ". ", ",\n", "; "])), max_size=12))
        text = "".join(form(word) + gap for word, form, gap in parts)
        assert lexicon.swap(lexicon.swap(text)) == text
        paired = Lexicon("paired", lexicon.pairs)
        irregular = text.count("GOOd") if lexicon.name == "sentiment" else 0
        if not irregular:
            assert paired.score(lexicon.swap(text)) == -paired.score(text)
        assert paired.hits(lexicon.turn(text, True))[1] == 0

    def test_version_is_that_of_the_entries(self):
        assert Lexicon("a", (("x", "y"),)).version == Lexicon("b", (("x", "y"),)).version
        assert Lexicon("a", (("x", "y"),)).version != Lexicon("a", (("y", "x"),)).version


class TestScore:
    def test_by_hand(self):
        # good, superb against awful: (2 - 1) / 3
        assert lexicon_score("Good and superb, but awful.", "sentiment") == 1 / 3
        assert lexicon_hits("Good and superb, but awful.", "sentiment") == (2, 1)
        assert lexicon_score("Nothing of the kind.", "sentiment") == 0

    def test_the_longest_phrase_counts_once(self):
        # "certain" is an entry of its own
        assert lexicon_hits("I am certain of it", "confidence") == (1, 0)
        assert lexicon_hits("I hope this helps you", "politeness") == (1, 0)

    @pytest.mark.parametrize("text", ["goodness", "no-good", "thankyou", "I thinking"])
    def test_parts_of_words_do_not_count(self, text):
        assert {name: lexicon_hits(text, name) for name in ("politeness", "confidence")} == {
            "politeness": (0, 0),
            "confidence": (0, 0),
        }
        assert lexicon_hits(text, "sentiment") == ((1, 0) if text == "no-good" else (0, 0))

    def test_articles_fit_the_new_word(self):
        swap = get_lexicon("sentiment").swap
        assert swap("An excellent hour, a useful idea, A good film.") == "An awful hour, a useless idea, A bad film."
        assert swap("a bad one") == "a good one"
        assert swap("a terrible day and an awful night") == "a great day and an excellent night"
        assert swap("a dull plot") == "a gripping plot"
        assert swap("an amusing plot") == "an annoying plot"
        assert swap("an ugly hall") == "a beautiful hall"

    def test_capitals_are_kept(self):
        assert get_lexicon("confidence").swap("I THINK so. Perhaps. I think so.") == "I KNOW so. Certainly. I know so."
        # an irregular word counts, but stays, so that the swap can be undone
        assert get_lexicon("sentiment").swap("gOOd good") == "gOOd bad"
        assert lexicon_hits("gOOd good", "sentiment") == (2, 0)


class TestMistakes:
    def test_unknown_lexicon(self):
        with pytest.raises(ValueError, match="there is no lexicon 'mood'; there are sentiment, politeness"):
            lexicon_score("x", "mood")

    def test_no_text(self):
        with pytest.raises(TypeError, match="a text must be str, got NoneType"):
            lexicon_score(None, "sentiment")

    def test_an_entry_twice(self):
        with pytest.raises(ValueError, match="'taste' has 'Sour' twice: replacing it could not be undone"):
            Lexicon("taste", (("sweet", "sour"), ("mild", "Sour")))

    @pytest.mark.parametrize("entry", ["", "7up", True])
    def test_an_entry_that_is_no_word(self, entry):
        with pytest.raises(ValueError, match="'taste': an entry must begin with a letter, got"):
            Lexicon("taste", (("sweet", entry),))

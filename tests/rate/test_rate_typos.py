"""Typing mistakes that are made, counted and repaired."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.rate import Vocabulary, add_typos, synthetic_reviews, world_vocabulary


class TestAddTypos:
    @given(text=st.text(max_size=80), share=st.floats(0, 1), seed=st.integers(0, 99))
    def test_only_neighbours_within_words_are_exchanged(self, text, share, seed):
        new = add_typos(text, share, np.random.default_rng(seed))
        assert len(new) == len(text)
        changed = [(a, b) for a, b in zip(text.split(), new.split(), strict=True) if a != b]
        assert len(changed) <= len(text.split()) * share + 1e-9
        assert [a for a, b in zip(text, new, strict=True) if not a.isalpha() and a != b] == []
        for one, other in changed:
            places = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
            assert len(places) == 2 and places[1] == places[0] + 1
            assert one[places[0]] == other[places[1]] and one[places[1]] == other[places[0]]

    def test_the_share_is_that_of_words_that_can_have_one(self):
        text = "film plot cast song " * 25
        for share in (0, 0.05, 0.3, 1):
            new = add_typos(text, share, np.random.default_rng(0))
            assert sum(a != b for a, b in zip(text.split(), new.split(), strict=True)) == round(100 * share)

    def test_white_space_stays(self):
        text = "One two,\n\n  three\tfour  "
        new = add_typos(text, 1.0, np.random.default_rng(0))
        assert new != text
        assert [c for c in new if not c.isalpha()] == [c for c in text if not c.isalpha()]

    def test_short_and_kept_words_stay(self):
        assert add_typos("it is ooo us. I'm a-b 123", 1.0, np.random.default_rng(0)) == "it is ooo us. I'm a-b 123"
        assert add_typos("Keep film, film", 1.0, np.random.default_rng(0), keep={"film", "keep"}) == "Keep film, film"

    def test_share_out_of_range(self):
        with pytest.raises(ValueError, match=r"`share` must be a number in \[0, 1\], got 30"):
            add_typos("x", 30, np.random.default_rng(0))


class TestVocabulary:
    def test_unknown_share_by_hand(self):
        vocabulary = Vocabulary(["the", "film", "don't"])
        # the, iflm, don't; "is" and "a" are too short to tell
        assert vocabulary.unknown_share("The iflm is a don’t.") == 1 / 3
        assert vocabulary.unknown_share("is a") == 0
        assert "Film" in vocabulary and len(vocabulary) == 3

    def test_repair_keeps_everything_else(self):
        vocabulary = Vocabulary(["great", "film", "very"])
        assert vocabulary.repair("A  rGeat,\nIFML; vrey 'xyz'!") == "A  Great,\nFILM; very 'xyz'!"

    def test_what_is_ambiguous_stays(self):
        vocabulary = Vocabulary(["form", "from", "how", "who"])
        # "fomr" is one exchange from "form" alone, "hwo" from both "how" and "who"
        assert vocabulary.repair("fomr hwo") == "form hwo"
        assert vocabulary.repair("from form") == "from form"

    def test_all_typos_of_the_synthetic_texts_go(self):
        clean, spoiled = (synthetic_reviews(200, 3, typo_share=share, typos_in="all") for share in (0.0, 0.3))
        vocabulary = world_vocabulary()
        pairs = [
            (a, vocabulary.repair(b)) for one, two in zip(clean.of(0), spoiled.of(0), strict=True)
            for a, b in zip(one.split(), two.split(), strict=True)
        ]  # fmt: skip
        assert np.mean([a == b for a, b in pairs]) > 0.99
        assert np.mean([vocabulary.unknown_share(text) for text in spoiled.of(0)]) > 0.2

    def test_repair_with_a_probability(self):
        vocabulary = Vocabulary(["film"])
        repaired = vocabulary.repair("iflm " * 4000, probability=0.6, rng=np.random.default_rng(0))
        # binomial: sd sqrt(.24 / 4000) = .0077
        assert abs(repaired.split().count("film") / 4000 - 0.6) < 4 * 0.0077
        with pytest.raises(ValueError, match="needs a generator: pass rng"):
            vocabulary.repair("iflm", probability=0.6)

    def test_min_count_is_of_texts(self):
        texts = ["good film film", "good plot"]
        assert Vocabulary.from_texts(texts, min_count=2).words == {"good"}
        with pytest.raises(ValueError, match="no word is in 3 or more of the texts"):
            Vocabulary.from_texts(texts, min_count=3)

    def test_file(self, tmp_path):
        vocabulary = Vocabulary(["film", "don't", "émigré"])
        vocabulary.save(tmp_path / "words.txt")
        read = Vocabulary.read(tmp_path / "words.txt")
        assert read == vocabulary and read.version == vocabulary.version
        with pytest.raises(ValueError, match="can't read the vocabulary .*missing.txt"):
            Vocabulary.read(tmp_path / "missing.txt")
        (tmp_path / "words.txt").write_text("film\n12\n")
        with pytest.raises(ValueError, match=r"words.txt: .*1 are none, first: '12'"):
            Vocabulary.read(tmp_path / "words.txt")

    def test_a_text_instead_of_a_list(self):
        with pytest.raises(TypeError, match="got one text"):
            Vocabulary.from_texts("good film")
        with pytest.raises(TypeError, match=r"use Vocabulary.from_texts\(\[text\]\)"):
            Vocabulary("good film")

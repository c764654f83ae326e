"""Original texts of public data sets in their own layouts, of tiny files: read, recognised, drawn and counted."""

import json

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from trl_ext.rate import get_attribute, load_originals, read_originals
from trl_ext.rate.originals.source_layouts import parse_dialogue
from trl_ext.rate.originals.text_draw import Quota, draw_texts


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def texts_of(chains):
    return [text for (text,) in chains.texts]


def dialogue(*turns):
    return "".join(f"\n\n{('Human', 'Assistant')[i % 2]}: {turn}" for i, turn in enumerate(turns))


@pytest.fixture(scope="module")
def imdb():
    # As in the original: all negative reviews first
    return Dataset.from_dict({"text": [f"review {i} " + "x" * i for i in range(200)], "label": [0] * 100 + [1] * 100})


class TestIMDB:
    def test_labels_decide_and_both_sides_are_drawn(self, imdb):
        originals = load_originals(imdb, "sentiment", limit=21, seed=1)
        report = originals.report
        assert (report["layout"], report["kept"], report["classified"]) == ("imdb", 21, 21)
        assert (report["decided_by"]["kind"], report["decided_by"]["column"]) == ("metadata", "label")
        assert 0 < report["kept_treated"] < 21
        labels = [row["label"] for row in originals.chains.metadata]
        np.testing.assert_array_equal(originals.chains.w, np.array(labels) == 1)
        # one prompt for all: nothing groups the reviews
        assert originals.chains.clusters is None and len(set(originals.chains.prompts)) == 1
        # rewrites are recognised by their text, not by the label
        assert originals.attribute.settings["kind"] == "lexicon"

    def test_a_draw_is_that_of_its_seed_and_in_the_order_of_the_data(self, imdb):
        ids = [read_originals(imdb, "sentiment", limit=20, seed=seed).ids for seed in (1, 1, 2)]
        assert ids[0] == ids[1] != ids[2]
        assert list(map(int, ids[0])) == sorted(map(int, ids[0]))

    @pytest.mark.parametrize(
        ("wanted", "treated", "untreated"),
        [
            ({"limit": 9, "balanced": True}, 4, 4),
            ({"per_side": 7}, 7, 7),
            ({"balanced": True}, 100, 100),
            ({}, 100, 100),
        ],
    )
    def test_sizes_are_exact(self, imdb, wanted, treated, untreated):
        chains = read_originals(imdb, "sentiment", **wanted)
        assert (chains.w.sum(), (~chains.w).sum()) == (treated, untreated)

    def test_an_attribute_with_a_classifier_of_its_own_is_not_overruled(self, imdb):
        early = get_attribute("sentiment", classifier=lambda text, row: row["label"] == 0 if len(text) < 60 else None)
        report = load_originals(imdb, early).report
        assert (
            report["kept_untreated"] == 0 and report["left_out"]["unknown_attribute"] == 200 - report["kept_treated"]
        )

    def test_length_is_above_the_median_of_all_reviews(self, imdb):
        originals = load_originals(imdb, "length", limit=50)
        lengths = np.array([len(text) for text in imdb["text"]])
        assert originals.report["decided_by"]["threshold"] == np.median(lengths)
        assert originals.report["decided_by"]["fitted"]["texts"] == 200
        picked = lengths[list(map(int, originals.chains.ids))]
        np.testing.assert_array_equal(originals.chains.w, picked > np.median(lengths))

    @pytest.mark.parametrize(
        "labels", [("neg", "pos"), ("negative", "positive"), ("0", "1"), (0.0, 1.0), (False, True)]
    )
    def test_labels_however_they_are_written(self, labels):
        rows = Dataset.from_dict(
            {"text": [f"review {i}" for i in range(6)], "label": [labels[i % 2] for i in range(6)]}
        )
        assert read_originals(rows, "sentiment").w.tolist() == [False, True] * 3

    def test_labels_of_another_scale_are_refused(self):
        # 1 is the worse side of 1 and 2
        rows = Dataset.from_dict({"text": [f"review {i}" for i in range(6)], "label": [1, 2] * 3})
        with pytest.raises(
            ValueError, match="id '1': column 'label' must be one of 1, '1', 'pos'.* got 2.*kind: metadata"
        ):
            load_originals(rows, "sentiment")
        assert len(read_originals(rows, "length")) == 6
        unknown = Dataset.from_dict({"text": ["a", "b"], "label": [-1, -1]})
        with pytest.raises(ValueError, match="'label' decides: with the attribute 1.*other values found: -1"):
            load_originals(unknown, "sentiment")

    def test_of_copies_with_both_labels_none_is_kept(self, caplog):
        texts = ["same", "other", "same", "twice", "twice", "once", "once"]
        rows = Dataset.from_dict({"text": texts, "label": [0, 1, 1, 0, 0, -1, 1]})
        originals = load_originals(rows, "sentiment")
        assert (originals.chains.ids, originals.chains.w.tolist()) == (("1", "3", "6"), [True, False, True])
        assert originals.report["left_out"] == {"contradictory": 2, "duplicate": 2}
        assert "2 texts on both sides of 'sentiment'" in caplog.text
        # of an attribute that texts decide on, copies are copies
        assert load_originals(rows, "vowel_start").report["left_out"] == {"duplicate": 3}

    def test_of_a_folder_with_parquet(self, imdb, tmp_path):
        imdb.to_parquet(tmp_path / "train.parquet")
        assert len(read_originals(str(tmp_path), "sentiment", limit=4, prompt="Review it:")) == 4


class TestDraw:
    ATTRIBUTE = get_attribute("length", classifier=lambda text, row: {"+": True, "-": False, "?": None}[text])

    @settings(max_examples=200, deadline=None)
    @given(
        st.text("+-?", min_size=1, max_size=60),
        st.integers(1, 30) | st.none(),
        st.booleans(),
        st.integers(0, 2**32 - 1),
    )
    def test_as_many_as_wanted_or_as_there_are(self, texts, limit, balanced, seed):
        limit = limit if limit is None or not balanced else max(limit, 2)
        there = {True: texts.count("+"), False: texts.count("-")}
        if not any(there.values()) or (balanced and not all(there.values())):
            with pytest.raises(ValueError, match="nothing can be said"):
                draw_texts(texts, [{}] * len(texts), self.ATTRIBUTE, Quota(limit, balanced), seed, "texts")
            return
        draw = draw_texts(texts, [{}] * len(texts), self.ATTRIBUTE, Quota(limit, balanced), seed, "texts")
        assert all(texts[row] == "-+"[side] for row, side in draw.sides.items())
        assert list(draw.sides) == sorted(draw.sides)
        drawn = [list(draw.sides.values()).count(side) for side in (True, False)]
        if balanced:
            most = min(there.values())
            assert drawn == [most if limit is None else min(most, limit // 2)] * 2
        else:
            assert sum(drawn) == min(sum(there.values()), len(texts) if limit is None else limit)
        assert len(draw.sides) + draw.unknown <= draw.classified <= len(texts)

    def test_every_text_is_as_likely(self):
        # 4 of 10 texts: each in 0.4 of the draws, standard error (0.4 * 0.6 / 1000) ** 0.5
        texts = ["+-"[i % 2] for i in range(10)]
        count = np.zeros(10)
        for seed in range(1000):
            count[list(draw_texts(texts, [{}] * 10, self.ATTRIBUTE, Quota(4, True), seed, "texts").sides)] += 1
        np.testing.assert_allclose(count / 1000, 0.4, atol=4 * (0.24 / 1000) ** 0.5)


class TestHelpSteer:
    ROWS = [
        {"prompt": f"Ask {i // 2}", "response": f"Say {i}", "helpfulness": i % 5, "correctness": 4, "coherence": 4,
         "complexity": 4 - i % 5, "verbosity": 1}
        for i in range(20)
    ] + [{"prompt": "Ask", "response": " ", "helpfulness": 4, "complexity": 1}]  # fmt: skip

    def test_grades_as_texts_and_missing_ones(self):
        rows = pd.DataFrame([row | {"helpfulness": str(row["helpfulness"])} for row in self.ROWS[:5]])
        rows.loc[0, "response"] = None
        rows.loc[1, "prompt"] = None
        originals = load_originals(rows, "helpfulness")
        assert originals.chains.w.tolist() == [False, True, True]
        assert originals.report["left_out"] == {"empty_text": 1, "empty_prompt": 1}

    @pytest.mark.parametrize("attribute", ["helpfulness", "complexity"])
    def test_grades_three_and_four_are_treated(self, tmp_path, attribute):
        originals = load_originals(write_jsonl(tmp_path / "h.jsonl", self.ROWS), attribute)
        chains = originals.chains
        assert originals.report["left_out"] == {"empty_text": 1}
        assert [bool(w) for w in chains.w] == [row[attribute] >= 3 for row in self.ROWS[:20]]
        # two answers to a prompt are a cluster
        assert len(set(chains.clusters)) == 10 and chains.clusters[0] == chains.clusters[1]


class TestHHRLHF:
    ROWS = [
        {"chosen": dialogue("Hi", "Hello.", "And?", "Yes."), "rejected": dialogue("Hi", "Hello.", "And?", "No!")},
        {"chosen": dialogue("Bye", "Goodbye."), "rejected": dialogue("Bye", "Go.")},
        {"chosen": dialogue("A", "B", "C"), "rejected": "\n\nAssistant: first"},
        {"chosen": dialogue("What?", ""), "rejected": dialogue("", "Nothing.")},
    ]

    def test_last_turns_have_the_whole_dialogue_as_prompt(self, tmp_path):
        originals = load_originals(write_jsonl(tmp_path / "hh.jsonl", self.ROWS), "helpfulness")
        chains = originals.chains
        assert originals.report["layout"] == "hh_rlhf"
        assert texts_of(chains) == ["Yes.", "No!", "Goodbye.", "Go."]
        assert chains.w.tolist() == [True, False, True, False]
        assert chains.prompts[1] == [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "And?"},
        ]
        assert chains.ids == ("0-chosen", "0-rejected", "1-chosen", "1-rejected")
        assert chains.clusters[0] == chains.clusters[1] != chains.clusters[2]
        assert originals.report["left_out"] == {"malformed_dialogue": 2, "empty_text": 1, "empty_prompt": 1}

    def test_first_turns_that_both_sides_share_are_on_neither(self, tmp_path):
        path = write_jsonl(tmp_path / "hh.jsonl", self.ROWS[:2])
        named = {"kind": "metadata", "column": "side", "treated": ["rejected"], "untreated": ["chosen"]}
        originals = load_originals(path, "sentiment", turn="first", classifier=named)
        assert texts_of(originals.chains) == ["Goodbye.", "Go."]
        assert originals.report["left_out"] == {"contradictory": 2}
        rejected = load_originals(path, "sentiment", turn="first", sides="rejected", classifier=named)
        assert rejected.chains.w.all() and rejected.report["kept_untreated"] == 0

    def test_equal_answers_of_a_pair_are_on_neither_side(self, tmp_path):
        rows = [{"chosen": dialogue(f"Q{i}", "Same."), "rejected": dialogue(f"Q{i}", "Same." if i < 2 else "No.")}
                for i in range(4)]  # fmt: skip
        originals = load_originals(write_jsonl(tmp_path / "hh.jsonl", rows), "helpfulness")
        assert (originals.report["kept_treated"], originals.report["kept_untreated"]) == (2, 2)
        assert originals.report["left_out"] == {"contradictory": 4}

    def test_dialogues_that_do_not_alternate(self):
        assert parse_dialogue("\n\nHuman: a\n\nHuman: b\n\nAssistant: c") is None
        assert parse_dialogue("text\n\nHuman: a\n\nAssistant: c") is None
        assert parse_dialogue("\n\nHuman: a\n\nb\n\nAssistant: c\n")[0]["content"] == "a\n\nb"


class TestELI5:
    @pytest.mark.parametrize(
        "rows",
        [
            [{"q_id": "q1", "title": "Why?", "selftext": "", "answers": {"text": ["So.", "Because it is so."],
              "score": [3, 1], "a_id": ["x", "y"]}}],
            [{"q_id": "q1", "title": "Why?", "answers": [{"text": "So.", "score": 3}, {"text": "Because it is so."}]}],
            [{"id": "q1", "question": "Why?", "answers": ["So.", "Because it is so."]}],
            [{"question": "Why?", "answer": "So."}, {"question": "Why?", "answer": "Because it is so."}],
        ],
    )  # fmt: skip
    def test_nested_and_flat_answers(self, tmp_path, rows):
        originals = load_originals(write_jsonl(tmp_path / "e.jsonl", rows), "length")
        assert originals.report["layout"] == "eli5"
        assert texts_of(originals.chains) == ["So.", "Because it is so."]
        assert originals.chains.prompts == ("Why?", "Why?")
        assert originals.chains.w.tolist() == [False, True]

    def test_details_of_the_question_and_deleted_answers(self, tmp_path):
        rows = [{"title": "Why?", "selftext": "I ask.", "answers": ["[deleted]", "a", "abc", ""]}]
        originals = load_originals(write_jsonl(tmp_path / "e.jsonl", rows), "length")
        assert originals.chains.prompts[0] == "Why?\n\nI ask."
        assert originals.report["left_out"] == {"deleted_answer": 1, "empty_text": 1}

    def test_missing_titles_and_answers(self, tmp_path):
        rows = [
            {"title": None, "selftext": "I ask.", "answers": ["one"]},
            {"title": None, "selftext": "", "answers": ["two"]},
            {"title": "Why?", "selftext": None, "answers": None},
            {"title": "Why?", "selftext": None, "answers": ["three", None]},
        ]
        originals = load_originals(write_jsonl(tmp_path / "e.jsonl", rows), "length")
        assert originals.chains.prompts == ("I ask.", "Why?")
        assert originals.report["left_out"] == {"empty_prompt": 1, "empty_text": 2}


class TestPreferencesAndPlainRows:
    USER, OTHER = {"role": "user", "content": "P0"}, {"role": "user", "content": "Else"}
    SYSTEM, ANSWER = {"role": "system", "content": "Be kind."}, {"role": "assistant", "content": "good"}

    @pytest.mark.parametrize(
        ("prompt", "before", "expected"),
        [
            ("P0", [USER], [USER]),
            ([USER], [USER], [USER]),
            ("P0", [SYSTEM, USER], [SYSTEM, USER]),
            ("P0", [USER, ANSWER, OTHER], [USER, ANSWER, OTHER]),
            (None, [USER], [USER]),
            ("P0", [OTHER], [USER, OTHER]),
            ([SYSTEM], [USER], [SYSTEM, USER]),
        ],
    )
    def test_a_prompt_that_messages_begin_with_is_there_once(self, tmp_path, prompt, before, expected):
        row = {side: [*before, {"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
        path = write_jsonl(tmp_path / "p.jsonl", [row if prompt is None else row | {"prompt": prompt}])
        assert read_originals(path, "length").prompts[0] == expected

    def test_missing_answers_and_turns_of_the_user_are_counted(self, tmp_path):
        rows = [
            {"prompt": "Q", "chosen": None, "rejected": [self.ANSWER]},
            {
                "prompt": "Q",
                "chosen": [self.ANSWER, self.OTHER],
                "rejected": [{"role": "assistant", "content": "worse"}],
            },
        ]
        originals = load_originals(write_jsonl(tmp_path / "p.jsonl", rows), "length")
        assert texts_of(originals.chains) == ["good", "worse"]
        assert originals.report["left_out"] == {"empty_text": 1, "malformed_dialogue": 1}

    def test_pairs_of_texts_and_of_messages(self, tmp_path):
        messages = [{"role": "user", "content": "Hi"}]
        rows = [
            {"id": "p", "prompt": messages, "chosen": [{"role": "assistant", "content": "Hello, you."}],
             "rejected": [{"role": "assistant", "content": "Hi."}], "source_chosen": "m1", "source_rejected": "m2"},
        ]  # fmt: skip
        chains = read_originals(write_jsonl(tmp_path / "p.jsonl", rows), "length")
        assert (chains.ids, chains.prompts) == (("p-chosen", "p-rejected"), (messages, messages))
        assert texts_of(chains) == ["Hello, you.", "Hi."]
        assert [row["source"] for row in chains.metadata] == ["m1", "m2"]
        texts = pd.DataFrame({"prompt": ["Q"], "chosen": ["A longer answer"], "rejected": ["No"]})
        assert texts_of(read_originals(texts, "length")) == ["A longer answer", "No"]

    def test_prompts_inside_of_messages(self, tmp_path):
        rows = [{side: [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]
                 for side, answer in (("chosen", "Hello, you."), ("rejected", "Hi."))}]  # fmt: skip
        chains = read_originals(write_jsonl(tmp_path / "p.jsonl", rows), "length")
        assert texts_of(chains) == ["Hello, you.", "Hi."]
        assert chains.prompts[0] == [{"role": "user", "content": "Hi"}]

    def test_csv_with_columns_of_other_names(self, tmp_path):
        path = tmp_path / "r.csv"
        path.write_text("question,answer_text,stars\nWhy?,So it is,5\nHow?,Thus,1\nWho?,Me and you,3\n")
        stars = {"kind": "metadata", "column": "stars", "treated": [4, 5], "untreated": [1, 2]}
        originals = load_originals(
            path, "sentiment", columns={"prompt": "question", "text": "answer_text"}, classifier=stars
        )
        assert originals.chains.w.tolist() == [True, False]
        assert originals.report["left_out"] == {"unknown_attribute": 1}
        assert originals.chains.metadata[0] == {"stars": 5}

    def test_typos_go_into_texts_with_the_attribute(self, tmp_path):
        pytest.importorskip("trl_ext.rate.rules")
        rows = [
            {"prompt": "Q", "text": f"{word} wonderful evening together {i}"}
            for i, word in enumerate(("An", "The") * 4)
        ]
        path = write_jsonl(tmp_path / "t.jsonl", rows)
        clean, typed = (load_originals(path, "vowel_start", typos=share) for share in (0.0, 1.0))
        changed = np.array([a != b for a, b in zip(clean.chains.texts, typed.chains.texts, strict=True)])
        np.testing.assert_array_equal(changed, typed.chains.w)
        assert typed.report["typos"] == 1.0
        some = load_originals(path, "vowel_start", typos=1.0, limit=5)
        found = dict(zip(typed.chains.ids, typed.chains.texts, strict=True))
        assert all(found[name] == text for name, text in zip(some.chains.ids, some.chains.texts, strict=True))


class TestBuiltIn:
    def test_the_demo_has_long_and_short_answers(self):
        chains = read_originals("demo", "length", sides="chosen")
        assert len(chains) == 246
        detailed = np.array([row["kind"] == "correct_detailed" for row in chains.metadata])
        assert np.mean(detailed == chains.w) > 0.95
        assert len(set(chains.clusters)) == 123

    def test_synthetic_reviews(self):
        pytest.importorskip("trl_ext.rate.rules")
        chains = read_originals("synthetic", "vowel_start", per_side=10, seed=3)
        assert len(chains) == 20
        assert [text[0] in "AEIOU" for text in texts_of(chains)] == chains.w.tolist()
        assert read_originals("synthetic", "vowel_start", per_side=10, seed=3).texts == chains.texts


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"limit": 0}, "`limit` must be a whole number of at least 1, got 0"),
            ({"limit": 1, "balanced": True}, "`limit` must be a whole number of at least 2"),
            ({"per_side": 2, "limit": 2}, "leave out `limit`"),
            ({"per_side": 101}, "per_side=101, but there are 100 texts with the attribute and 100 without"),
            ({"sides": "left"}, "`sides` must be one of both, chosen, rejected"),
            ({"turn": "middle"}, "`turn` must be one of last, first"),
            ({"layout": "imbd"}, "`layout` must be one of helpsteer, hh_rlhf"),
            ({"layout": "helpsteer"}, "must have columns prompt, response"),
            ({"typos": 30}, r"share of words in \[0, 1\]"),
            ({"seed": -1}, "`seed` must be a whole number"),
            ({"split": "test"}, "no split 'test'"),
            ({"columns": {"text": "body"}}, "no column 'body'"),
            (
                {"classifier": {"kind": "metadata", "column": "stars", "treated": [1], "untreated": [0]}},
                "nothing can be said",
            ),
        ],
    )
    def test_arguments(self, imdb, options, message):
        with pytest.raises(ValueError, match=message):
            load_originals(imdb, "sentiment", **options)

    def test_one_side_only(self, imdb):
        negative = imdb.select(range(100))
        assert not read_originals(negative, "sentiment", limit=5).w.any()
        with pytest.raises(ValueError, match="0 texts with the attribute and 100 without"):
            read_originals(negative, "sentiment", balanced=True)

    def test_a_short_side_is_told(self, imdb, caplog):
        few = imdb.select(range(80, 103))
        with caplog.at_level("WARNING"):
            chains = read_originals(few, "sentiment", limit=10, balanced=True)
        assert len(chains) == 6 and "less than the limit of 10: 3 texts with the attribute" in caplog.text

    def test_files(self, tmp_path):
        with pytest.raises(ValueError, match="can't load texts from .*none.jsonl"):
            read_originals(str(tmp_path / "none.jsonl"), "length")
        path = write_jsonl(tmp_path / "x.jsonl", [{"body": "text"}])
        with pytest.raises(ValueError, match="columns body, which are of no known layout"):
            read_originals(path, "length")
        path = write_jsonl(tmp_path / "twice.jsonl", [{"id": "a", "prompt": "p", "text": t} for t in "xy"])
        with pytest.raises(ValueError, match="id 'a' of text 1 is that of text 0 already"):
            read_originals(path, "length")
        path = write_jsonl(tmp_path / "empty.jsonl", [{"prompt": "p", "text": " "}])
        with pytest.raises(ValueError, match=r"no text is left: \{'empty_text': 1\}"):
            read_originals(path, "length")
        path = write_jsonl(tmp_path / "number.jsonl", [{"prompt": "p", "text": 3}])
        with pytest.raises(ValueError, match="the text must be a string, got 3"):
            read_originals(path, "length")
        path = write_jsonl(tmp_path / "null.jsonl", [{"prompt": "p", "text": t} for t in ("x", None, "y")])
        assert load_originals(path, "length").report["left_out"] == {"empty_text": 1}
        path = write_jsonl(tmp_path / "none.jsonl", [{"text": "no prompt"}, {"text": "none"}])
        with pytest.raises(ValueError, match=r"no text is left: \{'empty_prompt': 2\}"):
            read_originals(path, "length")

    def test_layouts_have_no_meaning_for_the_demo(self):
        with pytest.raises(ValueError, match="leave them out"):
            read_originals("demo", "length", split="train")

    def test_an_attribute_without_classifier(self, imdb):
        with pytest.raises(ValueError, match="has no classifier: give `classifier`"):
            read_originals(imdb, get_attribute("length", classifier=None))

"""Attributes of the package and of files, and the classifiers that recognise them."""

import json

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from tests.tiny import tiny_config, tiny_tokenizer
from trl_ext.rate import (
    attribute_names,
    classify_texts,
    fit_attribute,
    get_attribute,
    load_originals,
    make_classifier,
    read_attributes,
)
from trl_ext.rate.attributes.classifiers import has_markdown, starts_with_vowel


NAMES = ("length", "sentiment", "helpfulness", "complexity", "vowel_start", "formatting", "typos", "confidence")
GOOD = {"treated": "louder", "untreated": "quieter", "instruction": "Make it {target}: {text}"}


def is_polite(text, row):
    return "please" in text if text != "?" else None


def no_answer(text, row):
    return "yes"


class TestPackagedAttributes:
    def test_all_are_there_with_a_classifier_and_plain_settings(self):
        assert attribute_names() == NAMES
        for name in NAMES:
            attribute = get_attribute(name)
            assert json.loads(json.dumps(attribute.settings)) == attribute.settings
            (message,) = attribute.ask("THE TEXT", False)
            assert message["content"].endswith("Text:\nTHE TEXT")
            assert attribute.untreated in message["content"]
            assert "nothing before or after it" in message["content"]

    def test_a_threshold_is_changed_and_the_rest_kept(self):
        length = get_attribute("length", treated="wordier", classifier={"threshold": 3, "measure": "words"})
        assert (length.treated, length.untreated) == ("wordier", "shorter")
        assert [length.classify(text) for text in ("one two three", "one two three four")] == [False, True]

    def test_a_classifier_is_replaced_by_settings_a_function_or_nothing(self):
        by_column = {"kind": "metadata", "column": "label", "treated": [1], "untreated": [0]}
        sentiment = get_attribute("sentiment", classifier=by_column)
        assert [sentiment.classify("x", {"label": label}) for label in (1, 0, 2)] == [True, False, None]
        assert get_attribute("sentiment", classifier=is_polite).classify("please") is True
        with pytest.raises(ValueError, match="has no classifier"):
            get_attribute("sentiment", classifier=None).classify("x")

    @pytest.mark.parametrize(
        ("name", "overrides", "message"),
        [
            ("lenght", {}, "Did you mean 'length'"),
            ("length", {"treated": " "}, "treated must be a text"),
            ("length", {"words": "x"}, "there is no key 'words'"),
            ("length", {"instruction": "Make it {target}."}, r"must contain \{text\}"),
            ("length", {"classifier": {"threshold": "mean"}}, "threshold must be a number, or median, got 'mean'"),
            ("length", {"untreated": "longer"}, "must differ"),
        ],
    )
    def test_mistakes(self, name, overrides, message):
        with pytest.raises(ValueError, match=message):
            get_attribute(name, **overrides)


class TestRules:
    def test_the_median_is_fixed_and_recorded(self):
        texts = ["a" * n for n in (10, 20, 30, 100)]
        length = fit_attribute(get_attribute("length"), texts)
        assert length.settings["threshold"] == 25.0
        assert length.settings["fitted"] == {"texts": 4, "threshold": "median"}
        assert classify_texts(length, texts) == [False, False, True, True]
        # what was recorded makes the same classifier again
        again = get_attribute("length", classifier=length.settings)
        assert classify_texts(again, texts) == [False, False, True, True]
        assert fit_attribute(length, ["a"]) == length

    def test_a_median_that_is_not_known_is_refused(self):
        with pytest.raises(ValueError, match="use fit_attribute"):
            get_attribute("length").classify("text")
        with pytest.raises(ValueError, match="no texts to fit"):
            fit_attribute(get_attribute("length"), [])

    @pytest.mark.parametrize(
        ("text", "value"),
        [("An end", True), ('"Oh no', True), ("Éclair", True), ("The end", False), ("yes", False), ("12 !", None)],
    )
    def test_vowel_start(self, text, value):
        assert starts_with_vowel(text) is value
        assert get_attribute("vowel_start").classify(text) is value

    @pytest.mark.parametrize(
        "text",
        ["# Title", "Do:\n- this\n- that", "1. first", "so **very** good", "use `x`", "```\ncode\n```", "> said",
         "| a | b |", "see [here](http://x.org)", "* a point"],
    )  # fmt: skip
    def test_markdown(self, text):
        assert has_markdown(text)
        assert get_attribute("formatting").classify(text) is True

    @pytest.mark.parametrize("text", ["Plain words.", "2 * 3 * 4", "a - b", "#1 hit", "In 1999. it", "5 > 3", "a_b_c"])
    def test_no_markdown(self, text):
        assert not has_markdown(text)


class TestClassifiers:
    def test_a_function_of_the_users(self):
        polite = make_classifier({"kind": "python", "function": f"{__name__}:is_polite"})
        assert [polite(text, {}) for text in ("please go", "go", "?")] == [True, False, None]
        with pytest.raises(ValueError, match="must return True, False or None, got 'yes'"):
            make_classifier({"kind": "python", "function": f"{__name__}:no_answer"})("x", {})
        with pytest.raises(ValueError, match="can't be loaded"):
            make_classifier({"kind": "python", "function": "no.such.module:f"})

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ("length", "must be a mapping with `kind`"),
            ({"kind": "magic"}, "kind must be one of rule, lexicon, metadata, model, python, got 'magic'"),
            ({"kind": "rule", "measure": "characters"}, "threshold is missing"),
            ({"kind": "rule", "measure": "markdown", "threshold": 1}, "has no meaning with measure markdown"),
            ({"kind": "rule", "measure": "words", "treshold": 1}, "did you mean threshold"),
            ({"kind": "rule", "measure": "words", "threshold": True}, "threshold must be a number"),
            ({"kind": "rule", "measure": "unknown_words", "threshold": 5, "vocabulary": "data"}, r"share in \[0, 1\]"),
            ({"kind": "rule", "measure": "unknown_words", "threshold": 0.1}, "vocabulary is missing"),
            ({"kind": "lexicon", "lexicon": "mood"}, "lexicon must be one of sentiment"),
            ({"kind": "lexicon", "lexicon": "sentiment", "neutral": -1}, "neutral must be a number of at least 0"),
            ({"kind": "metadata", "column": "label", "treated": [1]}, "untreated is missing"),
            ({"kind": "metadata", "column": "l", "treated": [1], "untreated": [1]}, "in treated and in untreated"),
            ({"kind": "model"}, "model is missing"),
            ({"kind": "python", "function": "module.function"}, "module:function"),
            ({"kind": ["rule"]}, "kind must be one of"),
        ],
    )
    def test_bad_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            make_classifier(settings)

    def test_as_many_rows_as_texts(self):
        with pytest.raises(ValueError, match="2 texts, but 1 rows"):
            classify_texts(get_attribute("formatting"), ["a", "b"], [{}])


class TestModelClassifier:
    @pytest.fixture(scope="class")
    def checkpoint(self, tmp_path_factory):
        tokenizer = tiny_tokenizer()
        config = tiny_config(tokenizer, num_labels=2, max_position_embeddings=16, id2label={0: "BAD", 1: "GOOD"})
        config.label2id = {"BAD": 0, "GOOD": 1}
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
        path = tmp_path_factory.mktemp("classifier")
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        return str(path)

    TEXTS = ("a good answer", "bad", "what is this question about, and who is to answer it in the end?", "Paris")

    def test_batches_agree_with_the_model_and_count_what_is_cut(self, checkpoint):
        tokenizer = tiny_tokenizer()
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
        probabilities = []
        for text in self.TEXTS:
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=16)
            with torch.no_grad():
                probabilities.append(model(input_ids=inputs["input_ids"]).logits.softmax(-1)[0, 1].item())
        threshold = sorted(probabilities)[1] + 1e-4
        settings = {"kind": "model", "model": checkpoint, "label": "good", "threshold": threshold, "device": "cpu"}
        attribute = get_attribute("sentiment", classifier=settings | {"batch_size": 3})
        assert classify_texts(attribute, self.TEXTS) == [p > threshold for p in probabilities]
        assert attribute.classifier.report() == {"texts": 4, "truncated": 1}
        assert attribute.settings["trust_remote_code"] is False

    def test_originals_say_how_many_were_cut(self, checkpoint):
        rows = Dataset.from_dict({"prompt": ["Q"] * 4, "text": list(self.TEXTS)})
        settings = {"kind": "model", "model": checkpoint, "label": "GOOD", "device": "cpu"}
        report = load_originals(rows, "sentiment", classifier=settings).report
        assert report["classifier_report"] == {"texts": 4, "truncated": 1}
        assert report["decided_by"]["label"] == "GOOD"

    def test_a_neutral_zone(self, checkpoint):
        settings = {"kind": "model", "model": checkpoint, "label": 1, "neutral": 0.5}
        assert classify_texts(get_attribute("sentiment", classifier=settings), self.TEXTS) == [None] * 4

    @pytest.mark.parametrize("label", [None, "fine", 2])
    def test_labels_that_are_not_there(self, checkpoint, label):
        classifier = make_classifier({"kind": "model", "model": checkpoint, "label": label})
        with pytest.raises(ValueError, match=r"label of model .* must be one of 0 \(BAD\), 1 \(GOOD\), got"):
            classifier("x", {})

    def test_no_such_model(self, tmp_path):
        with pytest.raises(ValueError, match="can't be loaded"):
            make_classifier({"kind": "model", "model": str(tmp_path)})("x", {})


class TestFiles:
    def write(self, tmp_path, text):
        path = tmp_path / "attributes.yaml"
        path.write_text(text)
        return path

    def test_every_mistake_is_listed(self, tmp_path):
        path = self.write(
            tmp_path,
            """
            loud: {treated: loud, untreated: loud, instruction: 'Say {text}', volume: 3}
            soft: {treated: soft, instruction: '{text} {target}', classifier: {kind: rule, measure: decibel}}
            """,
        )
        with pytest.raises(ValueError) as error:
            read_attributes(path)
        message = str(error.value)
        assert str(path) in message
        for part in (
            "attribute 'loud': there is no key 'volume'; there are treated, untreated, instruction",
            "attribute 'loud': instruction must contain {target}",
            "attribute 'loud': treated and untreated must differ",
            "attribute 'soft': untreated is missing",
            "attribute 'soft': classifier: measure must be one of characters, words",
        ):
            assert part in message

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("- length", "must hold a mapping"),
            ("", "must hold a mapping"),
            ("a: [", "is not YAML"),
            ("a: {treated: x}\na: {treated: y}", "'a' occurs twice"),
            ("? [a]\n: {treated: x}", r"a key must be a text, got \['a'\]"),
            ("1: {treated: x, untreated: y, instruction: '{text}{target}'}", "its name must be a text"),
            ("a: text", "must be a mapping with treated"),
        ],
    )
    def test_files_that_are_no_attributes(self, tmp_path, text, message):
        with pytest.raises(ValueError, match=message):
            read_attributes(self.write(tmp_path, text))

    def test_no_file(self, tmp_path):
        with pytest.raises(ValueError, match="can't read the attributes"):
            read_attributes(tmp_path / "none.yaml")

"""The logit of a class of a text classifier as reward: of the text alone, as the classifier was trained to read it."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import DistilBertConfig, DistilBertForSequenceClassification, PreTrainedTokenizerFast, set_seed

from tests.rate.chains import word_chains
from trl_ext.rate import ClassifierReward, chat_prompts, score_chains


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    words = sorted({word for texts in word_chains(9, steps=4).texts for text in texts for word in text.split()})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    set_seed(0)
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=len(vocabulary), dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=32,
            id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1},
        )
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sentiment")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def logits(checkpoint: str, text: str) -> np.ndarray:
    """By transformers alone."""
    model = DistilBertForSequenceClassification.from_pretrained(checkpoint).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits[0].numpy()


@pytest.mark.parametrize("chat", [False, True])
def test_is_the_logit_of_the_text_alone(checkpoint, tmp_path, chat):
    chains = chat_prompts(word_chains()) if chat else word_chains()
    found = {
        label: score_chains(ClassifierReward(checkpoint, label, progress=False), chains, tmp_path / str(label))
        for label in ("POSITIVE", 0)
    }
    expected = np.array([[logits(checkpoint, text) for text in texts] for texts in chains.texts])
    np.testing.assert_allclose(found["POSITIVE"].rewards, expected[:, :, 1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[0].rewards, expected[:, :, 0], rtol=1e-5, atol=1e-5)
    settings = json.loads((tmp_path / "POSITIVE" / "rewards.jsonl.meta.json").read_text())["settings"]
    assert (settings["label"], settings["reduction"], settings["encoding"]) == ("POSITIVE", 1, "text_alone")


def test_a_class_that_there_is_not(checkpoint):
    for label in ("positive", 2, True):
        with pytest.raises(ValueError, match=r"has no class .*; it has 0 \(NEGATIVE\), 1 \(POSITIVE\)"):
            ClassifierReward(checkpoint, label)


def test_longer_texts_than_the_model_reads(checkpoint):
    long = "Good. " * 40
    with pytest.raises(ValueError, match="42 tokens, more than max_length=32"):
        ClassifierReward(checkpoint, 0, progress=False).score(["Why?"], [[long]])
    scorer = ClassifierReward(checkpoint, 1, max_length_policy="truncate_right", progress=False)
    (found,) = scorer.score(["Why?"], [[long, "Good."]])
    np.testing.assert_allclose(
        found, [logits(checkpoint, "Good. " * 30)[1], logits(checkpoint, "Good.")[1]], atol=1e-5
    )
    assert scorer.timing.truncated == 1
    with pytest.raises(ValueError, match="must be one of error, truncate_right, truncate_left"):
        ClassifierReward(checkpoint, 0, max_length_policy="truncate_prompt_left")

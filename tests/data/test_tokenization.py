"""Token-for-token equality with TRL's RewardTrainer, and what happens to pairs that are too long."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from trl import RewardTrainer

from trl_ext.data import LengthReport, load_preferences, tokenize_preferences
from trl_ext.data.tokenization import MAX_LENGTH_POLICIES


CHATML = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% if thinking is defined %}[{{ thinking }}]{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
)
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}}]


def bpe_tokenizer(adds_bos: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the answer to the question is a number, and the number is even"] * 3, trainer)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=CHATML
    )


@pytest.fixture(scope="session", params=["bpe", "bpe with BOS", "tiny_rm"])
def tokenizer(request):
    if request.param == "tiny_rm":
        return AutoTokenizer.from_pretrained(request.getfixturevalue("shared_dir") / "golden" / "tiny_rm")
    return bpe_tokenizer(adds_bos=request.param == "bpe with BOS")


@pytest.fixture(scope="session")
def bpe():
    return bpe_tokenizer(adds_bos=True)


def message(role, content):
    return {"role": role, "content": content}


TEXT = {
    # tokens across the seam of prompt and response, other scripts, EOS at the end, in the middle, as a part
    "prompt": ["the answ", "What?\n", "数は", "The number is ", "a </s> b"],
    "chosen": ["er to the question", "even</s>", "偶数 🙂", " even", "</s>c"],
    "rejected": ["er is a number", "odd", "奇数", "even </s> ", "c</s></s>"],
}
CHAT = {
    "prompt": [
        [message("user", "the question")],
        [message("system", ""), message("user", "数は?\n")],
        [message("user", "a"), message("assistant", "</s>"), message("user", "<|im_end|>")],
    ],
    "chosen": [[message("assistant", text)] for text in ("the answer", " even ", "🙂")],
    "rejected": [
        [message("assistant", "a number")],
        [message("assistant", "odd"), message("user", "Sure?"), message("assistant", "no")],
        [message("assistant", "c")],
    ],
}
IMPLICIT_CHAT = {
    side: [p + r for p, r in zip(CHAT["prompt"], CHAT[side], strict=True)] for side in ("chosen", "rejected")
}


def with_trl(dataset, tokenizer, max_length=None):
    args = SimpleNamespace(max_length=max_length, dataset_num_proc=None)
    return RewardTrainer._prepare_dataset(SimpleNamespace(), dataset, tokenizer, args, "train")


def ids(dataset):
    return dataset["chosen_ids"][:], dataset["rejected_ids"][:]


def assert_same_tokens(dataset, tokenizer, **kwargs):
    ours, _ = tokenize_preferences(dataset, tokenizer, **kwargs)
    theirs = with_trl(dataset, tokenizer, kwargs.get("max_length"))
    assert ids(ours) == ids(theirs)
    assert ours.features["chosen_ids"] == theirs.features["chosen_ids"]
    assert ours.features["rejected_ids"] == theirs.features["rejected_ids"]
    return ours


class TestSameTokensAsRewardTrainer:
    @pytest.mark.parametrize(
        "rows",
        [TEXT, {side: TEXT[side] for side in ("chosen", "rejected")}, CHAT, IMPLICIT_CHAT],
        ids=["text", "text with implicit prompt", "chat", "chat with implicit prompt"],
    )
    def test_every_format(self, tokenizer, rows):
        assert_same_tokens(Dataset.from_dict(rows), tokenizer)

    @pytest.mark.parametrize("max_length", [5, 12, 15, 20])
    @pytest.mark.parametrize("rows", [TEXT, CHAT], ids=["text", "chat"])
    def test_drop_keeps_the_rows_it_keeps(self, bpe, rows, max_length):
        dataset = Dataset.from_dict(rows)
        if len(with_trl(dataset, bpe, max_length)) == 0:
            with pytest.raises(ValueError, match=f"max_length={max_length}"):
                tokenize_preferences(dataset, bpe, max_length=max_length)
        else:
            assert_same_tokens(dataset, bpe, max_length=max_length)

    @pytest.mark.parametrize(
        "columns",
        [
            {"tools": [TOOLS] * 3},
            {"tools": [json.dumps(TOOLS), None, json.dumps(TOOLS * 2)]},
            {"chat_template_kwargs": [{"thinking": "on"}, {"thinking": "off"}, {"thinking": None}]},
            {"chat_template_kwargs": [{"thinking": "on"}] * 3},
            {"tools": [TOOLS, None, TOOLS], "chat_template_kwargs": [{"thinking": "on"}, {"thinking": "off"}, {}]},
            {"chat_template_kwargs": [{"chat_template": "{{ messages[-1]['content'] }}"}, {}, {}]},
        ],
        ids=["same tools", "tools as JSON", "kwargs", "same kwargs", "tools and kwargs", "another template"],
    )
    def test_tools_and_template_arguments_of_each_row(self, bpe, columns):
        dataset = Dataset.from_dict({**CHAT, **columns})
        tokenized = assert_same_tokens(dataset, bpe)
        assert ids(tokenized) != ids(tokenize_preferences(Dataset.from_dict(CHAT), bpe)[0])

    def test_tools_of_text_are_not_used(self, bpe):
        assert_same_tokens(Dataset.from_dict({**TEXT, "tools": [json.dumps(TOOLS)] * 5}), bpe)

    def test_rows_loaded_from_json_lines(self, bpe, tmp_path):
        # dicts that keep their own keys: `thinking` stays undefined where it isn't given
        kwargs = [{"thinking": "on"}, {}, {"other": 1}]
        rows = [dict(zip(CHAT, values, strict=True)) for values in zip(*CHAT.values(), strict=True)]
        lines = [json.dumps({**row, "chat_template_kwargs": value}) for row, value in zip(rows, kwargs, strict=True)]
        path = tmp_path / "pairs.jsonl"
        path.write_text("\n".join(lines))
        tokenized = assert_same_tokens(load_preferences(path), bpe)
        assert ["[" in bpe.decode(row) for row in tokenized["chosen_ids"]] == [True, False, False]

    @settings(max_examples=40, deadline=None)
    @given(texts=st.lists(st.tuples(*[st.text(max_size=12)] * 3), min_size=1, max_size=4), eos=st.booleans())
    def test_any_text(self, texts, eos):
        rows = {name: [text[i] for text in texts] for i, name in enumerate(("prompt", "chosen", "rejected"))}
        if eos:
            rows["chosen"] = [text + "</s>" for text in rows["chosen"]]
        assert_same_tokens(Dataset.from_dict(rows), ANY_TEXT_TOKENIZER)

    def test_several_processes(self, bpe):
        dataset = Dataset.from_dict({name: values * 4 for name, values in TEXT.items()})
        alone, _ = tokenize_preferences(dataset, bpe)
        together, _ = tokenize_preferences(dataset, bpe, num_proc=2)
        assert ids(alone) == ids(together)


ANY_TEXT_TOKENIZER = bpe_tokenizer(adds_bos=True)


class TestColumns:
    def test_other_columns_are_kept_as_they_are(self, bpe):
        extra = {"id": ["a", "b", "c"], "weight": [1.0, 2.0, 3.0], "tags": [["x"], [], ["y"]]}
        tokenized, _ = tokenize_preferences(Dataset.from_dict({**CHAT, **extra}), bpe)
        assert tokenized.remove_columns(["chosen_ids", "rejected_ids"]).to_dict() == {**CHAT, **extra}

    @pytest.mark.parametrize("policy", MAX_LENGTH_POLICIES)
    @pytest.mark.parametrize("max_length", [None, 15, 100])
    def test_twice_is_once(self, bpe, policy, max_length):
        if policy == "error" and max_length == 15:
            max_length = 100
        kwargs = {"max_length": max_length, "max_length_policy": policy}
        once, _ = tokenize_preferences(Dataset.from_dict(TEXT), bpe, **kwargs)
        twice, report = tokenize_preferences(once, bpe, **kwargs)
        assert twice.to_dict() == once.to_dict()
        assert report.over_length == 0

    def test_tokenized_rows_need_no_text(self, bpe):
        dataset = Dataset.from_dict({"chosen_ids": [[5, 6, 7], [5]], "rejected_ids": [[5], [6]]})
        kept, report = tokenize_preferences(dataset, bpe, max_length=2)
        assert kept.to_dict() == {"chosen_ids": [[5]], "rejected_ids": [[6]]}
        assert (report.rows, report.dropped) == (2, 1)

    def test_a_format_does_not_change_the_tokens(self, bpe):
        plain, _ = tokenize_preferences(Dataset.from_dict(TEXT), bpe)
        limits = {"max_length": 16, "max_length_policy": "truncate_prompt_left"}
        assert (
            tokenize_preferences(plain.with_format("numpy"), bpe, **limits)[0].to_dict()
            == tokenize_preferences(plain, bpe, **limits)[0].to_dict()
        )


def pair_of_ids(*, prefix, chosen, rejected):
    """Rows of ids: `prefix` is shared, and the first ids after it differ."""
    return {"chosen_ids": [[*prefix, 10, *chosen]], "rejected_ids": [[*prefix, 11, *rejected]]}


def rows_of_ids(*pairs):
    return Dataset.from_dict(
        {side: [row for pair in pairs for row in pair[side]] for side in ("chosen_ids", "rejected_ids")}
    )


BOS = 1
SHORT = pair_of_ids(prefix=[BOS, 20], chosen=[], rejected=[30])  # 3 and 4 tokens
LONG_PROMPT = pair_of_ids(prefix=[BOS, 20, 21, 22, 23], chosen=[30], rejected=[])  # 7 and 6 tokens
LONG_RESPONSE = pair_of_ids(prefix=[BOS, 20], chosen=[30, 31, 32, 33], rejected=[])  # 7 and 3 tokens


class TestLengthPolicies:
    def limit(self, bpe, policy, max_length=5, rows=(SHORT, LONG_PROMPT, LONG_RESPONSE)):
        return tokenize_preferences(rows_of_ids(*rows), bpe, max_length=max_length, max_length_policy=policy)

    def test_drop(self, bpe):
        dataset, report = self.limit(bpe, "drop")
        assert dataset.to_dict() == SHORT
        assert report == LengthReport(3, 2, 0, 2, 1, 5, "drop")

    def test_truncate_prompt_left(self, bpe):
        # the long prompt loses 2 tokens of both sequences after BOS; the long response has 5 tokens and BOS: 6 > 5
        dataset, report = self.limit(bpe, "truncate_prompt_left")
        assert dataset["chosen_ids"][:] == [[BOS, 20, 10], [BOS, 22, 23, 10, 30]]
        assert dataset["rejected_ids"][:] == [[BOS, 20, 11, 30], [BOS, 22, 23, 11]]
        assert report == LengthReport(3, 2, 1, 1, 1, 5, "truncate_prompt_left")

    def test_a_first_token_that_is_not_bos_is_removed(self, bpe):
        rows = pair_of_ids(prefix=[20, BOS, 21], chosen=[30], rejected=[])
        dataset, _ = self.limit(bpe, "truncate_prompt_left", max_length=4, rows=[rows])
        assert dataset.to_dict() == pair_of_ids(prefix=[BOS, 21], chosen=[30], rejected=[])

    def test_the_whole_prompt_can_go_but_not_bos(self, bpe):
        dataset, report = self.limit(bpe, "truncate_prompt_left", max_length=6)
        assert dataset["chosen_ids"][2] == [BOS, 10, 30, 31, 32, 33]
        assert report.dropped == 0

    def test_the_end_of_a_response_that_begins_the_other_stays(self, bpe):
        rows = {"chosen_ids": [[20, 21, 22]], "rejected_ids": [[20, 21, 22, 23, 24]]}
        dataset, _ = self.limit(bpe, "truncate_prompt_left", max_length=3, rows=[rows])
        assert dataset.to_dict() == {"chosen_ids": [[22]], "rejected_ids": [[22, 23, 24]]}
        with pytest.raises(ValueError, match="no pair fits max_length=2"):
            self.limit(bpe, "truncate_prompt_left", max_length=2, rows=[rows])

    def test_error(self, bpe):
        dataset = rows_of_ids(SHORT, LONG_PROMPT, LONG_RESPONSE).add_column("id", ["a", "b", "c"])
        message = (
            r"eval dataset: 2 pairs longer than max_length=5; first: row 1 \(id 'b'\), 7 tokens.*truncate_prompt_left"
        )
        with pytest.raises(ValueError, match=message):
            tokenize_preferences(dataset, bpe, max_length=5, max_length_policy="error", name="eval")

    @pytest.mark.parametrize(
        "policy, message",
        [
            ("drop", r"no pair fits max_length=2; the shortest of 3 has 4 tokens \(max_length_policy='drop'\)"),
            (
                "truncate_prompt_left",
                "no pair fits max_length=2; the shortest of 3 has 4 tokens, 3 without the prompt",
            ),
        ],
    )
    def test_no_pair_is_left(self, bpe, policy, message):
        with pytest.raises(ValueError, match=message):
            self.limit(bpe, policy, max_length=2)

    @pytest.mark.parametrize("policy", MAX_LENGTH_POLICIES)
    @pytest.mark.parametrize("max_length", [None, 7])
    def test_nothing_to_do_is_not_logged(self, bpe, policy, max_length, caplog):
        with caplog.at_level(logging.INFO, logger="trl_ext"):
            dataset, report = self.limit(bpe, policy, max_length=max_length)
        assert dataset.to_dict() == rows_of_ids(SHORT, LONG_PROMPT, LONG_RESPONSE).to_dict()
        assert report == LengthReport(3, 0, 0, 0, None, max_length, policy)
        assert not caplog.records

    def test_what_is_done_is_logged(self, bpe, caplog):
        with caplog.at_level(logging.WARNING, logger="trl_ext"):
            _, report = self.limit(bpe, "truncate_prompt_left")
        assert [record.getMessage() for record in caplog.records] == [f"train dataset: {report.describe()}"]
        assert report.describe() == (
            "2 of 3 pairs longer than max_length=5 (first: row 1); max_length_policy='truncate_prompt_left' truncated 1 "
            "and dropped 1, 2 remain."
        )

    def test_selected_rows_are_counted_as_they_are_selected(self, bpe):
        dataset = rows_of_ids(SHORT, LONG_PROMPT, LONG_RESPONSE).select([2, 0])
        kept, report = tokenize_preferences(dataset, bpe, max_length=5)
        assert kept.to_dict() == SHORT
        assert report.first_row == 0

    def test_report_is_a_record(self, bpe):
        _, report = self.limit(bpe, "drop")
        assert json.loads(json.dumps(report.to_dict()))["over_length"] == 2

    @settings(max_examples=60, deadline=None)
    @given(
        pairs=st.lists(
            st.tuples(
                st.booleans(),
                st.lists(st.integers(20, 22), max_size=8),
                st.lists(st.integers(20, 22), max_size=8),
                st.lists(st.integers(20, 22), max_size=8),
            ),
            min_size=1,
            max_size=6,
        ),
        max_length=st.integers(1, 14),
    )
    def test_truncation_never_touches_responses(self, pairs, max_length):
        pairs = [([BOS] * bos, prompt, [10, *c], [11, *r]) for bos, prompt, c, r in pairs]
        rows = [{"chosen_ids": [b + p + c], "rejected_ids": [b + p + r]} for b, p, c, r in pairs]
        fits = [len(b) + max(len(c), len(r)) <= max_length for b, _, c, r in pairs]
        limits = {"max_length": max_length, "max_length_policy": "truncate_prompt_left"}
        if not any(fits):
            with pytest.raises(ValueError, match=f"max_length={max_length}"):
                tokenize_preferences(rows_of_ids(*rows), ANY_TEXT_TOKENIZER, **limits)
            return
        dataset, report = tokenize_preferences(rows_of_ids(*rows), ANY_TEXT_TOKENIZER, **limits)
        kept = [pair for pair, fit in zip(pairs, fits, strict=True) if fit]
        assert report.dropped == len(pairs) - len(kept)
        assert report.over_length == report.dropped + report.truncated
        for (bos, prompt, chosen, rejected), row in zip(kept, dataset, strict=True):
            room = max_length - len(bos) - max(len(chosen), len(rejected))
            left = prompt[max(len(prompt) - room, 0) :]
            assert row == {"chosen_ids": bos + left + chosen, "rejected_ids": bos + left + rejected}

    def test_truncated_text(self, tokenizer):
        prompt = "the question is " + "even and odd and " * 30
        dataset = Dataset.from_dict({"prompt": [prompt], "chosen": ["a number"], "rejected": ["the answer"]})
        whole, _ = tokenize_preferences(dataset, tokenizer)
        short, _ = tokenize_preferences(dataset, tokenizer, max_length=40, max_length_policy="truncate_prompt_left")
        assert max(len(row[0]) for row in ids(short)) == 40
        for before, after in zip(ids(whole), ids(short), strict=True):
            tail = after[0][1:]
            assert before[0][-len(tail) :] == tail
            keeps_bos = before[0][0] == tokenizer.bos_token_id
            assert (after[0][0] == tokenizer.bos_token_id) == keeps_bos


class TestErrors:
    @pytest.mark.parametrize("kwargs", [{"max_length": 0}, {"max_length": -1}, {"max_length_policy": "truncate"}])
    def test_bad_arguments(self, bpe, kwargs):
        with pytest.raises(ValueError, match=f"`{next(iter(kwargs))}` must be"):
            tokenize_preferences(Dataset.from_dict(TEXT), bpe, **kwargs)

    def test_text_needs_an_eos_token(self):
        tokenizer = bpe_tokenizer(adds_bos=False)
        tokenizer.eos_token = None
        with pytest.raises(ValueError, match="has no EOS token"):
            tokenize_preferences(Dataset.from_dict(TEXT), tokenizer)

    def test_messages_need_a_chat_template(self):
        tokenizer = bpe_tokenizer(adds_bos=False)
        tokenizer.chat_template = None
        with pytest.raises(ValueError, match="has no chat template, but the train dataset holds messages"):
            tokenize_preferences(Dataset.from_dict(CHAT), tokenizer)

    def test_missing_column(self, bpe):
        with pytest.raises(ValueError, match="eval dataset has no column 'rejected'"):
            tokenize_preferences(Dataset.from_dict(TEXT).remove_columns("rejected"), bpe, name="eval")

    def test_no_rows(self, bpe):
        with pytest.raises(ValueError, match="train dataset has no rows"):
            tokenize_preferences(Dataset.from_dict(TEXT).select([]), bpe)

    @pytest.mark.parametrize(
        "dataset", [Dataset.from_dict(TEXT).to_iterable_dataset(), DatasetDict(train=Dataset.from_dict(TEXT)), TEXT]
    )
    def test_other_types(self, bpe, dataset):
        with pytest.raises(TypeError, match="train dataset"):
            tokenize_preferences(dataset, bpe)


def test_many_rows_are_tokenized_in_batches(bpe, monkeypatch):
    calls = []
    original = type(bpe).__call__

    def count(self, *args, **kwargs):
        calls.append(len(kwargs["text"]))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(bpe), "__call__", count)
    texts = [str(number) for number in np.arange(2500)]
    tokenize_preferences(Dataset.from_dict({"chosen": texts, "rejected": texts[::-1]}), bpe)
    assert calls == [1000, 1000, 1000, 1000, 500, 500]

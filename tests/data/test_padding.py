"""The pad token of tokenizers as model families ship them."""

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from trl_ext.data import distinct_pad_token


def tokenizer(*specials, vocabulary=(), **roles):
    words = dict.fromkeys(["a", "b", *vocabulary])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="a")),
        **roles,
    )
    fast.add_special_tokens({"additional_special_tokens": list(specials)})
    return fast


@pytest.mark.parametrize(
    "fast, expected",
    [
        # a pad token of its own is kept, whatever else there is
        (tokenizer("<pad>", eos_token="</s>", pad_token="<my_pad>"), "<my_pad>"),
        (tokenizer(eos_token="<|im_end|>", pad_token="<|endoftext|>"), "<|endoftext|>"),
        # SmolLM2, Qwen: padding with EOS, and another token that ends documents
        (
            tokenizer("<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>"),
            "<|endoftext|>",
        ),
        # Qwen base: <|endoftext|> is the EOS token
        (
            tokenizer("<|im_end|>", "<|vision_pad|>", "<|image_pad|>", "<|fim_pad|>", eos_token="<|endoftext|>"),
            "<|fim_pad|>",
        ),
        # Llama 3.1 and later, Llama 3
        (
            tokenizer(
                "<|reserved_special_token_0|>",
                "<|finetune_right_pad_id|>",
                bos_token="<|begin_of_text|>",
                eos_token="<|eot_id|>",
            ),
            "<|finetune_right_pad_id|>",
        ),
        (
            tokenizer(
                "<|end_of_text|>",
                "<|reserved_special_token_0|>",
                "<|reserved_special_token_1|>",
                bos_token="<|begin_of_text|>",
                eos_token="<|eot_id|>",
            ),
            "<|reserved_special_token_0|>",
        ),
        # Llama 2, BERT, Gemma, DeepSeek
        (tokenizer(bos_token="<s>", eos_token="</s>", unk_token="<unk>"), "<unk>"),
        (tokenizer("[PAD]", eos_token="[SEP]", unk_token="[UNK]"), "[PAD]"),
        (tokenizer("<unused0>", bos_token="<bos>", eos_token="<eos>"), "<unused0>"),
        (
            tokenizer("<｜▁pad▁｜>", bos_token="<｜begin▁of▁sentence｜>", eos_token="<｜end▁of▁sentence｜>"),
            "<｜▁pad▁｜>",
        ),
        # the beginning-of-sequence token never ends one, unless it is the end-of-sequence token too (GPT-2)
        (tokenizer(bos_token="<s>", eos_token="</s>"), "<s>"),
        (tokenizer(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>"), None),
        # neither tokens that end a turn, nor placeholders of images, nor words that contain "pad"
        (tokenizer("<|im_end|>", "<|eot_id|>", "<end_of_turn>", eos_token="</s>"), None),
        (tokenizer("<|image_pad|>", "<|video_pad|>", "<|vision_pad|>", "<|audio_pad|>", eos_token="</s>"), None),
        (tokenizer("<|notepad|>", vocabulary=["pad", "padded", "reserved"], eos_token="</s>"), None),
        # without an EOS token, nothing can be mistaken for it
        (tokenizer(pad_token="<pad>"), "<pad>"),
    ],
)
def test_pad_token_is_not_the_eos_token(fast, expected):
    before = fast.pad_token, len(fast)
    assert distinct_pad_token(fast) == expected
    assert (fast.pad_token, len(fast)) == before

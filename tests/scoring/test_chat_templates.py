"""FastChat's templates by name give FastChat's texts."""

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_tokenizer
from trl_ext.scoring.chat_templates import CHAT_TEMPLATES, find_chat_template, named_chat_template


def rendered(template: str, messages: list[dict], **kwargs) -> str:
    return tiny_tokenizer().apply_chat_template(messages, chat_template=template, tokenize=False, **kwargs)


def as_messages(prompt: str | list[dict]) -> list[dict]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["fastchat_templates"]


RECORDED = json.loads(Path(__file__).with_name("fastchat_texts.json").read_text())


def test_all_are_compared(golden):
    assert set(CHAT_TEMPLATES) == golden["expected"].keys() | RECORDED["texts"].keys()
    assert all(name in named_chat_template.__doc__ for name in CHAT_TEMPLATES)


@pytest.mark.parametrize("name", RECORDED["texts"])
def test_texts_are_those_that_were_recorded(name):
    template = named_chat_template(name)
    for contents, text in zip(RECORDED["messages"], RECORDED["texts"][name], strict=True):
        messages = [
            {"role": ("user", "assistant")[index % 2], "content": content} for index, content in enumerate(contents)
        ]
        assert rendered(template, messages) == text


TEN = list(CHAT_TEMPLATES)[:10]


@pytest.mark.parametrize("name", TEN)
def test_texts_are_those_of_fastchat(golden, name):
    template, expected, inputs = named_chat_template(name), golden["expected"][name], golden["inputs"]
    for kind in ("single", "multi"):
        prompt = as_messages(inputs[kind]["prompt"])
        assert rendered(template, prompt) == expected[kind]["prompt"]
        for answer in ("chosen", "rejected"):
            messages = [*prompt, {"role": "assistant", "content": inputs[kind][answer]}]
            assert rendered(template, messages) == expected[kind][f"text_{answer}"]
    assert rendered(template, as_messages(inputs["ift"]["prompt"])) == expected["ift"]["prompt"]
    assert rendered(template, inputs["ift"]["messages"]) == expected["ift"]["text"]


# What fschat 0.2.36 makes of the prompt "Q" with an empty answer: the role only
EMPTY_ANSWER = {
    "tulu": "<|user|>\nQ\n<|assistant|>\n",
    "raw": "Q",
    "pku-align": "BEGINNING OF CONVERSATION: USER: Q ASSISTANT: ",
    "openbmb": "User: Q\n\nAssistant: ",
    "Ziya": "\n\nHuman: Q\n\nAssistant: ",
    "oasst_pythia": "<|prompter|>Q<|endoftext|><|assistant|>",
    "mistral": "[INST] Q [/INST]",
    "llama-2": "[INST] Q [/INST]",
    "Yi-34b-chat": "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n",
}


@pytest.mark.parametrize("name", EMPTY_ANSWER)
def test_an_empty_answer_is_the_role_only_as_is_the_generation_prompt(name):
    template, prompt = named_chat_template(name), as_messages("Q")
    assert rendered(template, [*prompt, {"role": "assistant", "content": ""}]) == EMPTY_ANSWER[name]
    assert rendered(template, prompt, add_generation_prompt=True) == EMPTY_ANSWER[name]


def test_surrounding_whitespace_of_a_message_stays():
    assert rendered(named_chat_template("tulu"), as_messages("  Q \n")) == "<|user|>\n  Q \n\n"


def test_other_roles_are_refused():
    with pytest.raises(Exception, match="knows the roles user and assistant only, not system"):
        rendered(named_chat_template("tulu"), [{"role": "system", "content": "Be good."}])


def test_a_template_is_found_by_name_path_or_text(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages[0]['content'] }}")
    assert find_chat_template("raw") == CHAT_TEMPLATES["raw"]
    assert find_chat_template(str(path)) == find_chat_template(path.read_text()) == path.read_text()
    with pytest.raises(ValueError, match="there is no file"):
        find_chat_template(str(tmp_path / "none.jinja"))
    with pytest.raises(ValueError, match=r"a name, the path of a .jinja file, or a Jinja template; .*'Robins?'"):
        find_chat_template("robin")
    with pytest.raises(ValueError, match="did you mean 'tulu'"):
        named_chat_template("tulu2")

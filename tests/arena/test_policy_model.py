"""Policies: what the model is asked, what is cut, and mistakes in their settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.arena import PolicyModel, read_policies


QUESTION = [{"role": "user", "content": "Why?"}]


def test_the_system_prompt_and_the_format_are_seen_by_the_model_alone():
    policy = PolicyModel("p", "m", system_prompt="Be brief.", prompt_format="{prompt} In {braces}: one word.")
    row = {"id": "1", "prompt": "Question: Why?\nAnswer: ", "messages": QUESTION}
    assert [dict(m) for m in policy.request(row).messages] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why? In {braces}: one word."},
    ]
    assert row["messages"] == QUESTION  # as it was
    conversation = [*QUESTION, {"role": "assistant", "content": "So."}, {"role": "user", "content": "Really?"}]
    assert [m["content"] for m in policy.ask(conversation)[1:]] == ["Why?", "So.", "Really? In {braces}: one word."]


def test_two_system_messages_are_refused_with_the_id():
    row = {"id": "q7", "prompt": [{"role": "system", "content": "x"}, *QUESTION]}
    with pytest.raises(ValueError, match="prompt 'q7': it has a system message of its own, and so has policy 'p'"):
        PolicyModel("p", "m", system_prompt="y").request(row)
    assert len(PolicyModel("p", "m").request(row).messages) == 2


@given(st.text(), st.integers(1, 50))
def test_a_cut_answer_is_the_beginning_of_the_answer_and_has_as_many_words(text, words):
    cut = PolicyModel("p", "m", max_words=words).cut(text)
    assert text.startswith(cut)
    assert cut.split() == text.split()[:words]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": " "}, "`name` of a policy"),
        ({"model": None}, "`model` of a policy"),
        ({"backend": "vllm"}, "policy 'p': `backend` must be one of local, openai"),
        ({"prompt_format": "no place"}, "`prompt_format` must contain {prompt}"),
        ({"max_words": 0}, "`max_words` must be at least 1"),
        ({"max_words": 1.5}, "`max_words` must be of type int"),
        ({"temperature": "hot"}, "`temperature` must be a number, got 'hot'"),
        ({"temperature": 3}, r"temperature must be in \[0, 2\]"),
        ({"top_p": 0}, "top_p must be in"),
        ({"max_tokens": None}, "`max_tokens` must be set for a local model"),
        ({"base_url": "http://localhost/v1"}, "`base_url` does not go with backend='local'"),
        ({"backend": "openai", "revision": "main"}, "`revision` does not go with backend='openai'"),
        ({"extra": {"n": 2}, "backend": "openai"}, "extra must not set n"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PolicyModel(**{"name": "p", "model": "m"} | settings)


def test_policies_of_a_file(tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text("- {name: a, model: org/m}\n- {name: b, model: gpt, backend: openai, temperature: 1}\n")
    a, b = read_policies(path)
    assert (a.name, a.backend, b.model, b.temperature) == ("a", "local", "gpt", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a", "must hold a list of policies"),
        ("- a", "policy 1 must be a mapping"),
        ("- {name: a, model: m}\n- {name: b}", "policy 2 has no 'model'"),
        ("- {name: a, model: m, temprature: 1}", "policy 1: there is no setting 'temprature'"),
        ("- {name: a, model: m, top_p: 2}", "policy 1: policy 'a': top_p must be in"),
        ("- {name: a, model: m}\n- {name: a, model: n}", "the name 'a' is given to 2 policies"),
        ("[", "is neither YAML nor JSON"),
    ],
)
def test_bad_files_of_policies(text, message, tmp_path):
    path = tmp_path / "policies.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_policies(path)
    with pytest.raises(ValueError, match="can't read the policies"):
        read_policies(tmp_path / "none.yaml")

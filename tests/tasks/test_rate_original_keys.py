"""The original's configuration keys, names and command line in the scripts of tasks/rate."""

import pytest

from tasks.config_keys import defaults
from tasks.rate.create_config import CREATE_KEYS, check_create_config, dataset_label, resolve
from tasks.rate.original_keys import DATASETS, MODELS, apply_original_keys, original_arguments
from tasks.train_config import ConfigError
from trl_ext.rate import read_attributes


# As in the original's config.yaml
ORIGINAL = {
    "smoke_test": False,
    "rewrites": {"dataset_name": "imdb_sentiment"},
    "scoring": {
        "model": "armorm",
        "dataset_folder": "rewrites",
        "dataset_filename": "imdb_dataset.json",
        "dataset_name": "imdb_sentiment",
    },
    "effects": {
        "dataset_name": "IMDB",
        "dataset_folder": None,
        "concept": "sentiment",
        "score": "ArmoRM",
        "reward_key": "RLHFlow/ArmoRM-Llama3-8B-v0.1",
        "dataset_filename": "imdb_scored.jsonl",
        "w_original_key": "original",
        "w_counterfactual_key": "rewrite",
        "w_rewritten_rewrite_key": "rewritten rewrite",
    },
}


def create(**updates) -> dict:
    return defaults(CREATE_KEYS) | updates


class TestStages:
    def test_scoring(self):
        assert apply_original_keys(ORIGINAL | {"smoke_test": True}, "score") == {
            "model": "RLHFlow/ArmoRM-Llama3-8B-v0.1",
            "original_file": "data/rewrites/imdb_dataset.json",
            "name": "imdb_sentiment",
            "attribute": "sentiment",
            "limit": 10,
        }

    def test_effects(self):
        found = apply_original_keys(ORIGINAL, "effects")
        assert found.pop("original_config") == {k: v for k, v in ORIGINAL["effects"].items() if v is not None}
        assert found == {
            "original_file": "data/scored/imdb_scored.jsonl",
            "reward_key": "RLHFlow/ArmoRM-Llama3-8B-v0.1",
            "step_keys": ["original", "rewrite", "rewritten rewrite"],
            "name": "IMDB",
            "attribute": "sentiment",
            "score_name": "ArmoRM",
        }

    @pytest.mark.parametrize("name", DATASETS)
    def test_every_data_set_is_a_valid_configuration(self, name):
        config = create(rewrites={"dataset_name": name})
        check_create_config(config)
        resolved = resolve(config)
        assert {key: resolved[key] for key in DATASETS[name]} == DATASETS[name]
        assert resolved["name"] == name
        if resolved["attributes_file"] is not None:
            assert resolved["attribute"] in read_attributes(resolved["attributes_file"])

    def test_what_was_set_in_our_keys_is_kept(self):
        config = create(rewrites={"dataset_name": "imdb_length"}, dataset="reviews.jsonl", limit=50)
        resolved = resolve(config)
        assert (resolved["dataset"], resolved["limit"], resolved["threshold"]) == ("reviews.jsonl", 50, 970.0)
        assert resolved["name"] == "reviews_length"
        assert resolved["layout"] is None and resolved["split"] is None
        assert not {"smoke_test", "rewrites", "scoring", "effects"} & set(resolved)

    def test_smoke_tests_are_small(self):
        assert resolve(create(rewrites={"dataset_name": "imdb_length"}, smoke_test=True))["limit"] == 30
        assert resolve(create(smoke_test=True, limit=12))["limit"] == 12
        assert apply_original_keys({"smoke_test": True, "limit": None}, "score")["limit"] == 10

    def test_models(self):
        assert set(MODELS) == {"armorm", "sfairxc", "ncsoft", "deberta", "distilbert_positive", "distilbert_negative"}
        scoring = ORIGINAL["scoring"] | {"model": "distilbert_negative", "dataset_folder": "scored"}
        found = apply_original_keys({"scoring": scoring}, "score")
        assert found["label"] == "NEGATIVE" and found["original_file"] == "data/scored/imdb_dataset.json"
        assert apply_original_keys({"scoring": scoring | {"model": "me/mine"}}, "score")["model"] == "me/mine"

    def test_empty_sections_add_nothing(self):
        assert apply_original_keys(
            {"rewrites": {}, "scoring": {}, "effects": {}, "smoke_test": False, "a": 1}, "score"
        ) == {"a": 1}

    @pytest.mark.parametrize(
        ("stage", "config", "message"),
        [
            ("create", {"rewrites": {"dataset_name": "imdb_sentimant"}}, "Did you mean 'imdb_sentiment'"),
            ("create", {"rewrites": {"dataset": "imdb"}}, "unknown config key 'rewrites.dataset'"),
            ("create", {"effects": {"conceptt": "x"}}, "Did you mean effects.concept"),
            ("create", {"rewrites": "imdb_length"}, "'rewrites' must be a dict"),
            ("score", {"scoring": {"model": "armorm"}}, "set 'scoring.dataset_filename' too"),
            ("score", {"scoring": ORIGINAL["scoring"] | {"dataset_folder": "x"}}, "one of rewrites, scored, got 'x'"),
            ("score", {"scoring": {"model": 3}}, "'scoring.model' must be a text, got 3"),
            ("effects", {"effects": {"concept": "length"}}, "set 'effects.dataset_filename' too"),
        ],
    )
    def test_mistakes(self, stage, config, message):
        with pytest.raises(ConfigError, match=message):
            apply_original_keys(config, stage)


class TestCommandLine:
    def test_a_file_becomes_an_update(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "c.yaml").write_text("smoke_test: true")
        assert original_arguments(["s.py", "--config", "c.yaml"]) == ["s.py", "with", "c.yaml"]
        assert original_arguments(["s.py", "--config=c.yaml", "with", "limit=3"]) == [
            "s.py",
            "with",
            "c.yaml",
            "limit=3",
        ]
        assert original_arguments(["s.py", "print_config"]) == ["s.py", "print_config"]

    def test_a_file_of_the_repository_is_found(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert original_arguments(["s.py", "--config", "pyproject.toml"])[-1].endswith("pyproject.toml")

    @pytest.mark.parametrize("arguments", [["--config"], ["--config", "none.yaml"], ["--config="]])
    def test_no_file(self, arguments):
        with pytest.raises(SystemExit, match="--config"):
            original_arguments(["s.py", *arguments])


SERVER = {"rewriter": "openai", "model": "m", "api_key_env": ""}


class TestCreateConfig:
    @pytest.mark.parametrize(
        ("updates", "message"),
        [
            ({"atribute": "length"}, "Did you mean 'attribute'"),
            ({"attribute": "lenght"}, "Did you mean 'length'"),
            ({"rewriter": "gpt"}, "'rewriter' must be one of rules, local, openai, batch"),
            ({"rewriter": "openai"}, "rewriter=openai needs `model`"),
            ({"model": "m"}, "`model` is of a model that rewrites, and rewriter=rules"),
            (
                {"rewriter": "local", "model": "m", "base_url": "http://localhost:1/v1"},
                "base_url needs rewriter=openai",
            ),
            ({"rewriter": "openai", "model": "m", "prices": [1]}, "`prices` must be two numbers"),
            ({"rewriter": "openai", "model": "m", "prices": ["a", 1]}, "`prices` must be two numbers"),
            ({"limit": 1}, "'limit' must be at least 2"),
            ({"steps": 0}, "'steps' must be at least 1"),
            ({"threshold": "mean"}, "must be a number or median"),
            ({"attribute": "formatting", "threshold": 3}, "`threshold` does not fit attribute 'formatting'"),
            ({"attributes_file": "none.yaml"}, "can't read the attributes"),
            ({"typos": 30}, r"'typos' must be in \[0, 1\]"),
            ({"name": "../x"}, "'name' must be a name for a folder"),
            ({"layout": "imbd"}, "'layout' must be one of imdb"),
            ({"model": "hf_" + "a" * 34}, "looks like a credential.*`api_key_env` names .OPENAI_API_KEY"),
            ({"vocabulary": "none.txt"}, "can't read the vocabulary"),
            ({"temperature": 0.2}, "`temperature` is of a model that rewrites, and rewriter=rules"),
            ({"layout": "preferences", "text_column": "chosen"}, "text_column has no meaning with layout=preferences"),
            ({"layout": "imdb", "prompt_column": "p"}, "prompt_column has no meaning with layout=imdb"),
            ({"rewriter": "local", "model": "m", "concurrency": 2}, "concurrency needs rewriter=openai"),
            ({"rewriter": "openai", "model": "m"}, 'OPENAI_API_KEY with the API key is not set.*api_key_env=""'),
            (SERVER | {"device": "cpu"}, "device needs rewriter=local: it has no effect with rewriter=openai"),
            (SERVER | {"temperature": float("inf")}, r"'temperature' must be in \[0, 2\], got inf"),
            (SERVER | {"top_p": 7.0}, r"top_p must be in \(0, 1\]"),
            (SERVER | {"prices": [1.0, float("nan")]}, "`prices` must be two numbers"),
            (SERVER | {"extra": {"model": "other"}}, "extra must not set model"),
            (SERVER | {"timeout": float("inf")}, "'timeout' must be in"),
            (SERVER | {"base_url": "http://localhost:99999/v1"}, "99999.*Port out of range"),
        ],
    )
    def test_mistakes(self, updates, message, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(ConfigError, match=message):
            check_create_config(create(**updates))

    def test_a_key_in_the_place_of_its_variable_is_not_repeated(self):
        for dry_run in (True, False):
            with pytest.raises(ConfigError, match="must be the name of an environment variable") as caught:
                check_create_config(create(**SERVER, dry_run=dry_run) | {"api_key_env": "Qw-my.secret-value-123"})
            assert "secret" not in str(caught.value)

    def test_a_dry_run_needs_no_key(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        check_create_config(create(rewriter="openai", model="m", dry_run=True))

    @pytest.mark.parametrize(
        ("dataset", "label"),
        [("synthetic", "synthetic"), ("stanfordnlp/imdb:train", "imdb"), ("data/my reviews.csv", "my-reviews")],
    )
    def test_names_of_data_sets(self, dataset, label):
        assert dataset_label(dataset) == label

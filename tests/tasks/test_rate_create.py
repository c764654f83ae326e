"""tasks/rate/create_dataset.py: offline by rules, with a model behind a server, dry runs, files, continuing."""

import csv
import json
import sys

import pytest

from tasks.rate.create_dataset import ex
from tasks.rate.create_run import run_creation
from tasks.train_config import ConfigError
from tests.servers.openai_batch import BatchServer
from tests.servers.openai_compatible import CompletionServer
from trl_ext.rate import TextChains, read_original_rewrites, read_original_template, world_vocabulary


def run(**updates):
    return ex.run(config_updates={"progress": False, "limit": 8} | updates)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs" / "rate"


def rewrite_with_a_model(body):
    """What a model does that obeys: the text doubled, or half of it."""
    question = body["messages"][-1]["content"]
    text = question.split("Text:\n", 1)[1]
    return f"{text} {text}" if "longer" in question.split("Text:\n")[0] else text[: len(text) // 2]


def test_offline_by_rules_and_in_the_original_layout(folder):
    result = run(export_original=True).result
    here = folder / "synthetic_length"
    assert (result["rows"], result["complete"], result["folder"]) == (8, 8, "outputs/rate/synthetic_length")
    chains = TextChains.read(here / "rewrites.jsonl")
    assert chains.steps == 2 and chains.w.sum() == 4 and chains.complete.all()
    assert TextChains.read(here / "originals.jsonl").of(0) == chains.of(0)
    record = json.loads((here / "originals.meta.json").read_text())
    threshold = record["classifier"]["threshold"]
    # rules cross the threshold that decided on w
    assert all((len(text) > threshold) != w for text, w in zip(chains.of(1), chains.w, strict=True))
    assert record["treated"] == "longer" and record["kept_treated"] == 4
    assert record["kept"] == 8 and record["decided_by"]["fitted"]["threshold"] == "median" and record["versions"]
    quality = json.loads((here / "quality.json").read_text())
    assert quality["rows"] == 8 and quality["compliance"] and quality["keep"] == [True] * 8
    original = here / "original" / "data" / "rewrites"
    again = read_original_rewrites(original / result["original"], "length")
    assert (again.ids, again.texts) == (chains.ids, chains.texts)
    (template,) = original.glob("*_template_*.txt")
    assert read_original_template(template, "length").treated == "longer"


def test_the_same_again_is_found_and_others_are_refused(folder):
    first = run().result
    content = (folder / "synthetic_length" / "rewrites.jsonl").read_bytes()
    assert run().result == first
    assert (folder / "synthetic_length" / "rewrites.jsonl").read_bytes() == content
    with pytest.raises(ConfigError, match="has other texts. Give another `name`"):
        run(seed=1)
    assert run(seed=1, overwrite=True).result["rows"] == 8
    assert (folder / "synthetic_length" / "rewrites.jsonl").read_bytes() != content


def test_with_a_model_behind_a_server(folder, tmp_path, monkeypatch, capsys):
    with (tmp_path / "reviews.csv").open("w", newline="") as file:
        rows = [["body", "stars"], *([f"Review {i}: {'word ' * i}.", i % 5] for i in range(1, 15))]
        csv.writer(file).writerows(rows)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with CompletionServer(rewrite_with_a_model) as server:
        job = {
            "dataset": "reviews.csv",
            "text_column": "body",
            "prompt": "Write a review.",
            "rewriter": "openai",
            "model": "tiny",
            "base_url": server.url,
            "api_key_env": "",
            "prices": [2.0, 8.0],
        }
        estimate = run(**job, dry_run=True).result
        assert estimate["to_ask"] == 16 and estimate["cost"] > 0
        assert not folder.exists() and not server.asked
        assert "nothing was sent" in capsys.readouterr().out
        result = run(**job).result
        assert (result["rows"], result["complete"]) == (8, 8)
        chains = TextChains.read(folder / "reviews_length" / "rewrites.jsonl")
        for w, (original, rewrite, _) in zip(chains.w, chains.texts, strict=True):
            assert len(rewrite) < len(original) if w else len(rewrite) > len(original)
        assert run(**job, dry_run=True).result["to_ask"] == 0
        record = json.loads((folder / "reviews_length" / "rewrites.meta.json").read_text())
        assert record["ledger"]["answers"] == 16


def test_a_refused_call_leaves_the_record_and_the_classifier_stays(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["create_dataset.py", "with", "first"])
    with CompletionServer(rewrite_with_a_model) as server:
        job = {"rewriter": "openai", "model": "tiny", "base_url": server.url, "api_key_env": "", "limit": 2}
        run(**job)
        path = folder / "synthetic_length" / "originals.meta.json"
        content, asked = path.read_bytes(), len(server.asked)
        monkeypatch.setattr(sys, "argv", ["create_dataset.py", "with", "second"])
        with pytest.raises(ConfigError, match="was made with other settings"):
            run(**job, temperature=0.1)
        run(**job)
        assert path.read_bytes() == content and len(server.asked) == asked and b"first" in content
        run(**job, temperature=0.1, overwrite=True)
        assert json.loads(path.read_text())["classifier"]["kind"] == "rule"


def test_a_store_in_use_is_told(folder):
    from trl_ext.completions import AnswerStore

    with CompletionServer(rewrite_with_a_model) as server:
        job = {"rewriter": "openai", "model": "tiny", "base_url": server.url, "api_key_env": "", "limit": 2}
        (folder / "synthetic_length").mkdir(parents=True)
        with AnswerStore(folder / "synthetic_length" / "answers.jsonl"):
            with pytest.raises(ConfigError, match="being written by another process"):
                run(**job)


def test_a_server_that_takes_no_batches_is_told(folder, monkeypatch):
    with BatchServer(rewrite_with_a_model) as server:
        monkeypatch.setattr(server, "_handle", lambda *_: (401, b'{"error": {"message": "bad key"}}'))
        with pytest.raises(ConfigError, match="could not upload questions: authentication"):
            run(rewriter="batch", model="tiny", base_url=server.url, api_key_env="", limit=2)


def test_data_of_the_original_by_its_keys(folder, tmp_path):
    rows = [{"text": f"{word} film, number {i}", "label": i // 40} for i, word in enumerate(["A good", "A bad"] * 40)]
    (tmp_path / "imdb.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {
        "rewrites": {"dataset_name": "imdb_sentiment"},
        "smoke_test": True,
        "dataset": "imdb.jsonl",
        "split": "train",
    }
    result = ex.run(config_updates=keys | {"progress": False}).result
    assert result["rows"] == 30
    # the original's trial run had negative reviews only
    assert TextChains.read(folder / "imdb_sentiment" / "originals.jsonl").w.sum() == 15


def test_typos_that_rules_repair_in_passing_are_found(folder):
    job = {"attribute": "vowel_start", "typos": 0.3, "limit": 60}
    unknown = {}
    for probability in (0.0, 1.0):
        run(**job, repair_typos=probability, name=f"repair-{probability:.0f}")
        chains = TextChains.read(folder / f"repair-{probability:.0f}" / "rewrites.jsonl")
        words = world_vocabulary()
        unknown[probability] = [
            sum(words.unknown_share(text) for text, w in zip(chains.of(step), chains.w, strict=True) if w)
            for step in range(3)
        ]
        assert all(words.unknown_share(text) == 0 for text, w in zip(chains.of(0), chains.w, strict=True) if not w)
    assert unknown[0.0][0] == unknown[1.0][0] > 3 and unknown[0.0][2] > 3
    # but for a word or two whose letters are those of several words
    assert max(unknown[1.0][1:]) < 0.03 * unknown[1.0][0]


def test_one_sided_data_of_the_users_attribute(folder, tmp_path):
    rows = [{"prompt": f"Q{i}", "text": f"An answer, **number {i}**", "kind": "a"} for i in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.yaml").write_text(
        "formatting: {treated: formatted, untreated: plain, instruction: '{target}: {text}',"
        " classifier: {kind: metadata, column: kind, treated: [a], untreated: []}}"
    )
    job = {"dataset": "rows.jsonl", "attribute": "formatting", "attributes_file": "mine.yaml"}
    with pytest.raises(ConfigError, match="5 texts with the attribute and 0 without"):
        run(**job)
    assert run(**job, balanced=False).result["rows"] == 5


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"dataset": "none.jsonl"}, "can't load texts from 'none.jsonl'"),
        ({"dataset": "demo", "layout": "imdb"}, "'demo' has no layout, split or columns"),
        ({"dataset": "demo", "attribute": "formatting"}, "0 texts with the attribute"),
        ({"rewriter": "openai", "model": "m", "api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY"),
    ],
)
def test_mistakes_in_the_data(folder, updates, message):
    with pytest.raises(ConfigError, match=message):
        run(**updates)
    assert not folder.exists()


def test_a_command_of_the_original(folder, tmp_path, monkeypatch):
    from tasks.experiment import run_experiment
    from tasks.rate.original_keys import original_arguments

    (tmp_path / "c.yaml").write_text("smoke_test: true\nrewrites: {}\n")
    monkeypatch.setattr(sys, "argv", ["create_dataset.py", "--config", "c.yaml", "with", "progress=False"])
    run_experiment(ex, original_arguments(sys.argv))
    assert len(TextChains.read(folder / "synthetic_length" / "rewrites.jsonl")) == 30


def test_the_run_needs_no_observer(folder):
    from types import SimpleNamespace

    from tasks.config_keys import defaults
    from tasks.rate.create_config import CREATE_KEYS

    record = SimpleNamespace(info={})
    run_creation(defaults(CREATE_KEYS) | {"limit": 4, "attribute": "vowel_start", "progress": False}, record)
    assert record.info["rewrites"]["rows"] == 4

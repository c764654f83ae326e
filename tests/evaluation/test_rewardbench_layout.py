"""RewardBench's own files: byte for byte as the original writes them, and never outside the folder."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation.benchmarks.registry import get_benchmark
from trl_ext.evaluation.rewardbench_layout import (
    LayoutFile,
    model_name,
    read_layout_file,
    write_best_of_n,
    write_cli_results,
    write_layout_file,
    write_rewardbench_results,
)


@pytest.fixture(scope="module")
def genuine(shared_dir):
    return shared_dir / "golden" / "rewardbench_cli"


def genuine_rewards(genuine):
    """Rows and rewards of the genuine run on the core set."""
    rows = get_benchmark("rewardbench").load(genuine / "v1.jsonl")
    scores = read_layout_file(genuine / "expected" / "run_rm__scores.json").scores()
    return rows, [np.array(values) for values in scores["rewards"]]


@pytest.fixture(scope="module")
def core(genuine):
    rows, rewards = genuine_rewards(genuine)
    return rows, rewards, get_benchmark("rewardbench", resamples=10).evaluate(rows, rewards)


class TestGenuineFiles:
    def test_read_and_written_again_they_are_equal(self, genuine, tmp_path):
        files = sorted((genuine / "expected").glob("*.json*"))
        assert len(files) >= 9
        for file in files:
            again = write_layout_file(tmp_path / file.name, read_layout_file(file))
            assert again.read_bytes() == file.read_bytes(), file.name

    def test_our_files_of_its_rewards_hold_what_it_wrote(self, genuine, core, tmp_path):
        rows, rewards, result = core
        texts = {}
        for entry in read_layout_file(genuine / "expected" / "core___outputs.jsonl").content:
            texts |= {entry["chosen"]: entry["text_chosen"], entry["rejected"]: entry["text_rejected"]}
        paths = write_rewardbench_results(
            *(tmp_path, result, rows, rewards),
            model="tiny_rm_legacy",
            render=lambda prompt, response: "" if response is None else texts[response],
        )
        expected = (genuine / "expected" / "run_rm__results.json").read_bytes()
        assert paths["results"].read_bytes() == expected
        ours, theirs = (
            json.loads(path.read_text()) for path in (paths["scores"], genuine / "expected" / "run_rm__scores.json")
        )
        # the original writes the template's default name here, whatever template was used
        assert ours.pop("chat_template") == "tokenizer" and theirs.pop("chat_template") == "tulu"
        assert ours == theirs

    def test_our_files_of_the_command_line(self, genuine, core, tmp_path):
        rows, _, result = core
        file = read_layout_file(genuine / "expected" / "core___outputs.jsonl")
        expected, rewards = file.content, [np.array(values) for values in file.scores()["rewards"]]
        texts = {entry["chosen"]: entry["text_chosen"] for entry in expected}
        texts |= {entry["rejected"]: entry["text_rejected"] for entry in expected}
        prompts = {row["prompt"][0]["content"]: entry["prompt"] for row, entry in zip(rows, expected, strict=True)}
        paths = write_cli_results(
            *(tmp_path, result, rows, rewards),
            model="/somewhere/tiny_rm_legacy/",
            render=lambda prompt, response: prompts[prompt[0]["content"]] if response is None else texts[response],
        )
        assert paths["summary"].read_text() == (genuine / "expected" / "core__.json").read_text()
        ours = [json.loads(line) for line in paths["outputs"].open()]
        assert [list(entry)[:6] for entry in ours] == [list(entry)[:6] for entry in expected]
        assert ours == expected

    def test_version_2(self, genuine, tmp_path):
        rows = get_benchmark("rewardbench2").load(genuine / "v2.jsonl")
        theirs = read_layout_file(genuine / "expected" / "v2__scores.json")
        rewards = [np.array(values) for values in theirs.scores()["rewards"]]
        result = get_benchmark("rewardbench2", resamples=10).evaluate(rows, rewards)
        texts = dict(zip(rows["id"], theirs.content["text"], strict=True))
        place = {response: (row["id"], i) for row in rows for i, response in enumerate(row["responses"])}
        paths = write_rewardbench_results(
            *(tmp_path, result, rows, rewards),
            model="tiny_rm_legacy",
            render=lambda prompt, response: "" if response is None else texts[place[response][0]][place[response][1]],
        )
        assert paths["results"] == tmp_path / "reward-bench-2" / "eval-set" / "tiny_rm_legacy.json"
        ours = json.loads(paths["scores"].read_text())
        assert {**ours, "text": None} == {**theirs.content, "text": None}
        assert json.loads(paths["results"].read_text())["Ties"] == pytest.approx(-0.009781300114562083, abs=1e-12)


class TestNames:
    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("org/model", "org/model"),
            ("model", "model"),
            ("/data/models/rm", "rm"),
            ("/data/models/final/", "models__final"),
            ("org/a+/data/b", "org__a+b"),
            ("/data/models/rm/", "rm"),
            ("./outputs/rm//", "rm"),
            ("../rm", "rm"),
            ("~/rm", "rm"),
            ("outputs/run/rm", "rm"),
            ("org/../../rm", "rm"),
            ("C:\\models\\rm", "rm"),
            ("bundled:model", "model"),
        ],
    )
    def test_files_stay_in_the_folder(self, core, tmp_path, model, name):
        rows, rewards, result = core
        assert model_name(model) == name
        paths = write_cli_results(tmp_path / "out", result, rows, rewards, model=model)
        assert paths["summary"] == tmp_path / "out" / f"{name}.json"
        assert paths["outputs"] == tmp_path / "out" / f"{name}_outputs.jsonl"
        assert json.loads(paths["summary"].read_text())["model"] == name

    @pytest.mark.parametrize("model", ["", " ", "/", "//", "a\0b"])
    def test_no_name_is_an_error(self, model):
        with pytest.raises(ValueError, match="not a name for files"):
            model_name(model)


class TestWriter:
    def test_dpo_has_prompts_and_no_ids(self, core, tmp_path):
        rows, rewards, result = core
        paths = write_rewardbench_results(
            *(tmp_path, result, rows, rewards), model="org/policy", model_type="DPO", ref_model="org/ref"
        )
        scores = json.loads(paths["scores"].read_text())
        assert "id" not in scores and scores["prompt"][0].startswith("user: ")
        assert scores["scores_chosen"][0] == rewards[0][0] and scores["ref_model"] == "org/ref"
        assert paths["scores"] == tmp_path / "eval-set-scores" / "org" / "policy.json"

    def test_provenance_lies_apart(self, core, tmp_path):
        rows, rewards, result = core
        write_rewardbench_results(tmp_path, result, rows, rewards, model="m", provenance={"dtype": "float32"})
        assert sorted(path.name for path in (tmp_path / "eval-set").iterdir()) == ["m.json"]
        assert json.loads((tmp_path / "provenance" / "eval-set" / "m.json").read_text()) == {"dtype": "float32"}

    def test_preference_sets(self, tmp_path):
        benchmark = get_benchmark("preference_test_sets")
        pairs = [
            {"id": str(i), "prompt": "p", "chosen": f"c{i}", "rejected": f"r{i}", "subset": "shp"} for i in range(3)
        ]
        rows = benchmark.load(Dataset.from_list(pairs))
        rewards = [np.array([1.0, float(i)]) for i in range(3)]
        paths = write_rewardbench_results(tmp_path, benchmark.evaluate(rows, rewards), rows, rewards, model="m")
        assert paths["results"] == tmp_path / "pref-sets" / "m.json"
        assert json.loads(paths["results"].read_text())["shp"] == pytest.approx(1 / 3)  # a tie is a loss
        assert json.loads(paths["scores"].read_text())["results"] == [1, 0, 0]

    def test_what_has_no_place_is_not_written(self, core, tmp_path):
        benchmark = get_benchmark("preferences")
        rows, rewards, result = core
        several = rows.map(lambda row: {"responses": [*row["responses"], "third"]})
        other = replace(result, benchmark=benchmark.name)
        triples = [np.append(values, 0.0) for values in rewards]
        assert write_rewardbench_results(tmp_path, other, several, triples, model="m") == {}
        assert (
            write_rewardbench_results(tmp_path, replace(result, benchmark="rm_bench"), rows, rewards, model="m") == {}
        )
        assert not list(tmp_path.iterdir())
        paths = write_rewardbench_results(tmp_path, other, rows, rewards, model="org/m")
        assert {name: path.relative_to(tmp_path).as_posix() for name, path in paths.items()} == {
            **{"outputs": "org/m_outputs.jsonl", "summary": "org/m.json"}
        }
        assert json.loads(paths["summary"].read_text())["extra_results"] is None

    def test_rewards_that_do_not_fit_are_refused(self, core, tmp_path):
        rows, rewards, result = core
        for bad, message in (
            (rewards[:-1], "rewards of 71 rows for 72"),
            ([*rewards[:-1], np.array([1.0])], "row 71 .*expected 2 finite numbers"),
            ([np.array([np.nan, 1.0]), *rewards[1:]], "row 0 .*expected 2 finite numbers"),
        ):
            with pytest.raises(ValueError, match=message):
                write_rewardbench_results(tmp_path, result, rows, bad, model="m")
        assert not list(tmp_path.iterdir())

    def test_best_of_n(self, tmp_path):
        path = write_best_of_n(tmp_path, "alpaca_eval", "zephyr-7b", ["a", "b"], [0.5, 1.5], model="org/m")
        assert path == tmp_path / "best-of-n" / "alpaca_eval" / "zephyr-7b" / "org" / "m.json"
        file = read_layout_file(path)
        assert file.kind == "best-of-n scores" and file.content["scores"] == [[0.5], [1.5]]
        with pytest.raises(ValueError, match="2 finite numbers"):
            write_best_of_n(tmp_path, "alpaca_eval", "zephyr-7b", ["a", "b"], [0.5], model="org/m")


class TestBadFiles:
    SCORES = {"model": "m", "results": [1], "subset": ["shp"], "id": [0], "text_chosen": ["a"], "text_rejected": ["b"]}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "not JSON"),
            ("[]", "no rows"),
            ("3", "expected an object"),
            ('{"model": "m", "shp": "high"}', "'shp' is no accuracy"),
            ('{"model": "m", "shp": NaN}', "'shp' is no accuracy"),
            ('{"shp": 0.5}', "it names no model"),
            (json.dumps({"scores_chosen": [1.0]}), "scores without"),
            (json.dumps(SCORES | {"scores_chosen": [1.0, 2.0], "scores_rejected": [0.0]}), "one value per row"),
        ],
    )
    def test_are_named(self, tmp_path, content, message):
        path = tmp_path / "m.json"
        path.write_text(content)
        with pytest.raises(ValueError, match=message) as error:
            read_layout_file(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize("score", [[1.0, 2.0], "high", None])
    def test_rewards_of_several_numbers(self, score):
        content = self.SCORES | {"scores_chosen": [score], "scores_rejected": [[0.0]]}
        with pytest.raises(ValueError, match="row 0.*not one finite number"):
            LayoutFile("pair scores", content).scores()

    def test_rankers_without_scores(self):
        content = self.SCORES | {"scores_chosen": [None], "scores_rejected": [None]}
        table = LayoutFile("pair scores", content).scores()
        assert table["rewards"].tolist() == [None] and table["result"].tolist() == [1.0]

    def test_bad_lines_are_numbered(self, tmp_path):
        path = tmp_path / "m_outputs.jsonl"
        path.write_text('{"results": 1, "text": "line\u2028break"}\n{"results": \n')
        with pytest.raises(ValueError, match="line 2"):
            read_layout_file(path)


def test_examples():
    names = vars(sys.modules["trl_ext.evaluation.rewardbench_layout.paths"])
    assert failed_examples(model_name, dict(names) | {"pd": pd}) == 0

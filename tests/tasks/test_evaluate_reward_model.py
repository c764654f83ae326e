"""tasks/rapl/evaluate_reward_model.py: sets, figures of given rewards, and the script from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tasks.rapl.evaluate_config import DEFAULTS, check_config
from tasks.rapl.evaluate_run import limit_length, load_sets
from tasks.rapl.evaluation_sets import (
    as_text,
    attribute_bias_set,
    find_lie_test,
    lie_set,
    parse_turns,
    rm_bench_set,
    true_set,
)
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext.evaluation.benchmarks.rm_bench import STYLES
from trl_ext.evaluation.biases.attribute_bias import ATTRIBUTES
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS
from trl_ext.scoring.encoding import Encoder


ROOT = Path(__file__).resolve().parents[2]
FIGURE = {"value", "se", "ci_low", "ci_high", "n", "method"}
ALL_SETS = ("lie", "true", "rm_bench", "attribute_bias")


def text_lengths(data, prompt_format="human_assistant") -> pd.DataFrame:
    """The table of a set with the length of prompt and answer as the reward."""
    rows = data.to_score(prompt_format)
    lengths = {
        name: np.array([len(row["prompt"]) + len(row["responses"][k]) for row in rows], dtype=float)
        for k, name in enumerate(data.answers)
    }
    return data.table(lengths)


def write_lie(folder: Path, questions=6, variants=2) -> Path:
    rows = []
    for question in range(questions):
        prompt = f"What is {question}?"
        for variant in range(variants):
            texts = {
                kind: f"Human: {prompt}\n\nAssistant: It is {kind} {variant}"
                + " indeed" * (3 * ("detailed" in kind))
                + "."
                for kind in RESPONSE_KINDS
            }
            rows.append({"categories": "Numbers", "prompt": prompt, **texts})
    path = folder / "LIE" / "LIE_dataset_test.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    return folder


def write_true(folder: Path, rows=12) -> Path:
    table = []
    for row in range(rows):
        prompt, texts = f"Human: Is {row // 2} even?", ("Yes, it is.", "No, it is odd.")
        right, chose_right = row % 2, row % 3 != 0
        types = ("correct", "incorrect") if right == 0 else ("incorrect", "correct")
        chosen = right if chose_right else 1 - right
        table.append(
            {
                "IDs": 100 + row,
                "prompt": prompt,
                "choice1": texts[0],
                "choice2": texts[1],
                "choice1_type": types[0],
                "choice2_type": types[1],
                "chosen_type": types[chosen],
                "rejected_type": types[1 - chosen],
                "prompt_response_group": f"{prompt}\n\nResponse A: {texts[0]}\n\nResponse B: {texts[1]}",
                "correct_chosen": chose_right,
                "confidence_scores": 1.0,
                "decision_time": 0.5,
                "number_of_clicks": 0.5,
                "raw_decision_time": 2.0,
                "raw_number_of_clicks": 3.0,
                "source": "numbers",
                "dataset_name": "odd" if row % 2 else "even",
            }
        )
    (folder / "TRUE" / "no_repeats").mkdir(parents=True)
    frame = pd.DataFrame(table)
    frame.to_csv(folder / "TRUE" / "full_TRUE_dataset.csv", index=False)
    frame.drop(columns="dataset_name").iloc[:4].to_csv(
        folder / "TRUE" / "no_repeats" / "val_single_0.csv", index=False
    )
    return folder


def write_rm_bench(folder: Path, rows=4) -> Path:
    folder.mkdir(parents=True)
    for domain in ("chat", "safety-refuse"):
        content = [
            {
                "id": row,
                "prompt": f"A question of {domain} {row}?",
                **{side: [f"{side} {row}" + " more" * k for k in range(3)] for side in ("chosen", "rejected")},
            }
            for row in range(rows)
        ]
        (folder / f"{domain}_filtered.json").write_text(json.dumps(content))
    return folder


def attribute_frame(rows=40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "prompt": [f"\n\nHuman: Tell me {row}.\n\nAssistant:" for row in range(rows)],
            "chosen": [f"Here it is: {row}" + "!" * rng.integers(9) for row in range(rows)],
            "rejected": [f"I can't tell {row}" + "." * rng.integers(9) for row in range(rows)],
            "chosen_choice": rng.choice(["A", "B"], rows),
            **{name: rng.choice(["A", "B", "C"], rows) for name in ATTRIBUTES},
        }
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, str]:
    """Small files of our own in the layouts of the originals, by config key."""
    folder = tmp_path_factory.mktemp("data")
    write_lie(folder / "rapl")
    write_true(folder / "rapl")
    write_rm_bench(folder / "rm_bench")
    attribute_frame().to_csv(folder / "attributes.csv", index=False)
    return {
        "lie_data_dir": str(folder / "rapl"),
        "true_data_dir": str(folder / "rapl"),
        "rm_bench_path": str(folder / "rm_bench"),
        "attribute_bias_path": str(folder / "attributes.csv"),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny"
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def rapl_dir(shared_dir) -> Path:
    path = shared_dir / "data" / "rapl"
    if not (path / "LIE").is_dir():
        pytest.skip(f"no RAPL data files at {path}")
    return path


class TestFiguresOfGivenRewards:
    def test_text_length_gives_the_golden_figures_of_lie(self, rapl_dir, shared_dir):
        data = lie_set(rapl_dir)
        assert len(data) == 160
        # the rule of the stored figures: a unit per 100 characters of the text, and half a unit for a correct answer
        table = text_lengths(data)
        rewards = {
            name: table[f"reward_{name}"].to_numpy() / 100 + 0.5 * name.startswith("correct") for name in data.answers
        }
        figures = data.figures(data.table(rewards))
        assert figures["length_weight"]["value"] == pytest.approx(2.87684375, abs=1e-9)
        assert figures["correctness_weight"]["value"] == pytest.approx(0.05196875, abs=1e-9)
        assert figures["ratio"]["value"] == pytest.approx(0.05196875 / 2.87684375, abs=1e-9)
        assert figures["n_clusters"] == 40

    def test_the_texts_of_lie_are_the_published_ones(self, rapl_dir):
        original = pd.read_csv(find_lie_test(rapl_dir))
        rows = lie_set(rapl_dir).to_score("human_assistant")
        for k, kind in enumerate(RESPONSE_KINDS):
            assert [row["prompt"] + row["responses"][k] for row in rows] == original[kind].tolist()

    def test_the_truth_scores_of_the_annotators_on_true(self, rapl_dir):
        data = true_set(rapl_dir)
        assert len(data) == 1150
        table = data.table({"chosen": np.ones(1150), "rejected": np.zeros(1150)})
        figures = data.figures(table)
        # a model that follows the labels is right where the annotators are: 70.35%
        assert figures["all"]["accuracy_to_truth"]["value"] == pytest.approx(809 / 1150)
        assert figures["all"]["n_clusters"] == 1141
        counts = {name: scores["n_pairs"] for name, scores in figures["by_source"].items()}
        assert counts == {
            "big_bench": 490, "mmlu": 200, "trivia_qa": 150, "bias": 150, "QuAIL": 110, "jeopardy": 50
        }  # fmt: skip

    def test_a_split_of_true_has_the_sources_of_the_full_file(self, rapl_dir):
        data = true_set(rapl_dir, "val", 0)
        assert len(data) == 230
        assert {"big_bench", "mmlu"} <= set(data.rows["source_dataset"])

    def test_the_texts_of_true_are_those_that_were_chosen(self, rapl_dir):
        original = pd.read_csv(rapl_dir / "TRUE" / "full_TRUE_dataset.csv")
        rows = true_set(rapl_dir).to_score("human_assistant")
        for k, side in enumerate(("chosen", "rejected")):
            texts = [row["prompt"] + row["responses"][k] for row in rows]
            # but for blanks and line ends around the mark, of which the original has more in some rows
            assert [text.split() for text in texts] == [text.split() for text in original[side]]

    def test_text_length_prefers_the_richer_style(self, data):
        figures = (bench := rm_bench_set(data["rm_bench_path"])).figures(text_lengths(bench))
        # the longer style wins: the wrong answer in hard comparisons, the right one in easy ones
        assert (figures["hard"]["value"], figures["easy"]["value"]) == (0.0, 1.0)
        assert list(figures["domains"]) == ["chat", "safety"] and figures["missing_domains"] == ["math", "code"]

    def test_rm_bench_real_files(self, shared_dir):
        path = shared_dir / "data" / "rm_bench"
        if not path.is_dir():
            pytest.skip(f"no RM-Bench files at {path}")
        figures = (bench := rm_bench_set(path)).figures(text_lengths(bench))
        assert figures["hard"]["value"] < 0.2 and figures["easy"]["value"] > 0.8
        assert figures["all_prompts"]["n_prompts"] == 798

    def test_attributes_are_oriented_by_what_was_chosen(self, tmp_path):
        frame = attribute_frame()
        path = tmp_path / "attributes.csv"
        frame.to_csv(path, index=False)
        data = attribute_bias_set(path)
        # the reward of A exceeds that of B by 2 where A is longer, by -2 where B is
        gain = frame["longer"].map({"A": 2.0, "B": -2.0, "C": 0.0}).to_numpy()
        sign = np.where(frame["chosen_choice"] == "A", 1.0, -1.0)
        figures = data.figures(data.table({"chosen": gain * sign, "rejected": np.zeros(len(frame))}))
        assert figures["longer"]["value"] == pytest.approx(2.0)
        assert figures["polite"]["value"] == pytest.approx(0.0, abs=1e-9)
        assert figures["significant"] == ["longer"]


class TestTexts:
    def test_turns_and_text_are_inverse(self):
        text = "Human: Why?\n\nAssistant: Because.\n\nHuman: Really?\n\nAssistant:"
        turns = parse_turns(text)
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
        assert as_text(turns) == text
        assert as_text(parse_turns("Why?")) == "Human: Why?\n\nAssistant:"

    @pytest.mark.parametrize("text", ["Human: A\n\nHuman: B", "Assistant: A", "Human: A\n\nAssistant: B"])
    def test_turns_that_do_not_alternate(self, text):
        with pytest.raises(ValueError, match="must alternate"):
            parse_turns(text)

    def test_answers_may_hold_the_prompt(self, tmp_path):
        frame = attribute_frame()
        frame.to_csv(tmp_path / "answers.csv", index=False)
        whole = frame.assign(**{side: frame["prompt"] + " " + frame[side] for side in ("chosen", "rejected")})
        whole.to_csv(tmp_path / "whole.csv", index=False)
        one, other = (attribute_bias_set(tmp_path / name).to_score("chat") for name in ("answers.csv", "whole.csv"))
        assert one == other
        whole.loc[3, "rejected"] = "without"
        whole.to_csv(tmp_path / "mixed.csv", index=False)
        with pytest.raises(ValueError, match="column 'rejected', row 3: the text begins not with its prompt"):
            attribute_bias_set(tmp_path / "mixed.csv")

    def test_bad_codes_are_found_when_the_file_is_read(self, tmp_path):
        frame = attribute_frame()
        frame.loc[7, "funny"] = "Z"
        frame.to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(ValueError, match="bad.csv': attribute 'funny' .* first: row 7, value 'Z'"):
            attribute_bias_set(tmp_path / "bad.csv")
        data = attribute_bias_set(tmp_path / "bad.csv", other_codes="B")
        figures = data.figures(text_lengths(data))
        assert figures["other_codes"] == {"funny": 1}

    def test_the_hash_changes_with_any_text_or_fact(self, data, tmp_path):
        frame = attribute_frame()
        hashes = set()
        for change in (
            {},
            {"chosen": frame["chosen"] + "."},
            {"funny": "A"},
            {"prompt": frame["prompt"].str.replace("Tell", "Show")},
        ):
            frame.assign(**change).to_csv(tmp_path / "data.csv", index=False)
            hashes.add(attribute_bias_set(tmp_path / "data.csv").data_hash())
        assert len(hashes) == 4


class TestLengthLimit:
    def test_rows_are_dropped_whole_and_counted(self, data):
        bench, encoder = rm_bench_set(data["rm_bench_path"]), Encoder(tiny_tokenizer())
        _, count = limit_length(bench, encoder, "human_assistant", None, "drop")
        assert (count.rows, count.dropped_rows) == (8, 0)
        lengths = [
            max(len(encoder.tokenizer(row["prompt"] + text)["input_ids"]) + 1 for text in row["responses"])
            for row in bench.to_score("human_assistant")
        ]
        limit = sorted(lengths)[3]
        kept, count = limit_length(bench, encoder, "human_assistant", limit, "drop")
        assert count.dropped_rows == sum(length > limit for length in lengths) == 8 - len(kept) > 0
        assert count.longest == max(lengths)
        assert kept.rows["id"].tolist() == [
            name for name, length in zip(bench.rows["id"], lengths, strict=True) if length <= limit
        ]

    def test_error_and_nothing_left(self, data):
        bench, encoder = rm_bench_set(data["rm_bench_path"]), Encoder(tiny_tokenizer())
        with pytest.raises(ValueError, match="8 of 8 rows .* max_length=5 .*first: id 'chat/0'"):
            limit_length(bench, encoder, "human_assistant", 5, "error")
        with pytest.raises(ValueError, match="no row is left"):
            limit_length(bench, encoder, "human_assistant", 5, "drop")


class TestConfig:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({}, "nothing to evaluate on"),
            ({"modle": "x"}, "unknown config key 'modle'. Did you mean 'model'"),
            ({"rm_bench_path": "/nowhere"}, "'rm_bench_path': there is no '/nowhere'"),
            ({"max_length": 0}, "'max_length' must be positive"),
            ({"max_length": "long"}, "'max_length' must be int"),
            ({"dtype": "float8"}, "'dtype' must be one of float32"),
            ({"true_fold": 7}, "'true_fold' must be one of 0, 1"),
            ({"shared_prefix": 1}, "'shared_prefix' must be bool"),
            ({"model": "hf_" + "a" * 30}, "looks like a credential"),
        ],
    )
    def test_mistakes(self, change, message):
        with pytest.raises(ConfigError, match=message):
            check_config(DEFAULTS | change)

    def test_sets_are_those_that_are_given(self, data):
        names = [loaded.name for loaded in load_sets(DEFAULTS | data)]
        assert tuple(names) == ALL_SETS
        (one,) = load_sets(DEFAULTS | {"true_data_dir": data["true_data_dir"], "max_rows": 3})
        assert one.name == "true" and len(one) == 3


def evaluate(folder: Path, *updates: str, fails: bool = False) -> str:
    folder.mkdir(exist_ok=True)
    result = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tasks" / "rapl" / "evaluate_reward_model.py"),
            "with",
            "progress=False",
            *updates,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert (result.returncode != 0) == fails, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout + result.stderr


@pytest.mark.slow
class TestScript:
    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory, data, model):
        folder = tmp_path_factory.mktemp("run")
        output = evaluate(folder, f"model={model}", *(f"{key}={value}" for key, value in data.items()))
        return folder, output, json.loads((folder / "outputs" / "evaluate-tiny" / "results.json").read_text())

    def test_every_set_has_figures_with_intervals_and_provenance(self, run):
        folder, output, results = run
        assert tuple(results["sets"]) == ALL_SETS
        for name, path in (("lie", ["ratio"]), ("true", ["all", "auc_label_right"]), ("rm_bench", ["hard"])):
            figure = results["sets"][name]["figures"]
            for key in path:
                figure = figure[key]
            assert set(figure) == FIGURE
            assert f"{name}." in output
        assert set(results["sets"]["true"]["figures"]["by_source"]) == {"odd", "even"}
        provenance = results["provenance"]
        assert provenance["config"]["seed"] == 0 and set(provenance["config"]) == set(DEFAULTS)
        assert len(provenance["model"]["sha256"]["model.safetensors"]) == 64
        for part in results["sets"].values():
            assert part["scoring"]["dtype"] == "float32" and part["scoring"]["attention"]
            assert part["length"]["dropped_rows"] == 0 and len(part["data_sha256"]) == 64

    def test_the_rewards_are_those_of_the_model(self, run, model):
        folder, _, _ = run
        table = pd.read_csv(folder / "outputs" / "evaluate-tiny" / "lie_rewards.csv")
        reward_model = AutoModelForSequenceClassification.from_pretrained(model).eval()
        tokenizer = AutoTokenizer.from_pretrained(model)
        prompt = "Human: What is 0?\n\nAssistant:"
        for kind in RESPONSE_KINDS:
            text = f"{prompt} It is {kind} 0" + " indeed" * (3 * ("detailed" in kind)) + "." + tokenizer.eos_token
            with torch.inference_mode():
                expected = reward_model(**tokenizer(text, return_tensors="pt")).logits.item()
            assert table[f"reward_{kind}"][0] == pytest.approx(expected, abs=1e-4)

    def test_tables_have_a_row_per_row(self, run):
        folder, _, _ = run
        sizes = {"lie": 12, "true": 12, "rm_bench": 8, "attribute_bias": 40}
        for name, size in sizes.items():
            table = pd.read_csv(folder / "outputs" / "evaluate-tiny" / f"{name}_rewards.csv")
            assert len(table) == size and table.filter(like="reward_").notna().all(axis=None)
        assert {f"reward_chosen_{style}" for style in STYLES} <= set(
            pd.read_csv(folder / "outputs" / "evaluate-tiny" / "rm_bench_rewards.csv").columns
        )

    def test_the_log_grows_and_rewards_are_used_again(self, run, data, model):
        folder, _, results = run
        scores = folder / "outputs" / "evaluate-tiny" / "scores" / "lie.jsonl"
        before, log = scores.stat().st_mtime_ns, folder / "outputs" / "results.jsonl"
        lines = log.read_text().splitlines()
        assert [json.loads(line)["set"] for line in lines] == list(ALL_SETS)
        evaluate(folder, f"model={model}", f"lie_data_dir={data['lie_data_dir']}")
        assert scores.stat().st_mtime_ns == before
        grown = log.read_text().splitlines()
        assert grown[: len(lines)] == lines and len(grown) == len(lines) + 1
        last = json.loads(grown[-1])
        assert last["figures"] == results["sets"]["lie"]["figures"]
        assert last["data_sha256"] == results["sets"]["lie"]["data_sha256"]

    def test_mistakes_are_told_without_a_traceback_before_anything_is_scored(self, tmp_path, data, model):
        folder = tmp_path / "bad"
        lie = f"lie_data_dir={data['lie_data_dir']}"
        assert "other settings" not in evaluate(folder, f"model={model}", lie)
        output = evaluate(folder, f"model={model}", lie, "max_rows=2", fails=True)
        assert "begun with other settings" in output and "overwrite=True" in output and "Traceback" not in output
        frame = attribute_frame().drop(columns="funny")
        frame.to_csv(folder / "bad.csv", index=False)
        output = evaluate(folder, f"model={model}", "attribute_bias_path=bad.csv", fails=True)
        assert "lacks the columns ['funny']" in output and "Traceback" not in output

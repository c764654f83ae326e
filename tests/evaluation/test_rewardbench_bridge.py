"""The bridge to the genuine rewardbench: copies, inputs, runs and comparisons, without that package."""

import json
import stat
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from doc_examples import failed_examples
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.tiny import pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.evaluation.rewardbench_bridge import (
    BridgeRow,
    GenuineResult,
    GenuineSettings,
    RewardBenchEnvironment,
    compare_rewards,
    compare_with_genuine,
    export_legacy_copy,
    legacy_config,
    legacy_tokenizer_config,
    read_bridge_rows,
    run_genuine,
)
from trl_ext.evaluation.rewardbench_bridge.__main__ import main, parse_arguments


def rope(**parameters):
    return {"rope_type": "default", "rope_theta": 500000.0, **parameters}


def config(family="llama", rope_parameters=None, **values):
    return {
        "model_type": family,
        "max_position_embeddings": 64,
        "rope_parameters": rope_parameters or rope(),
        **values,
    }


class TestLegacyConfig:
    def test_the_example_is_right(self):
        assert failed_examples(legacy_config) == 0

    def test_what_the_old_transformers_reads_is_written_beside_what_todays_reads(self):
        legacy = legacy_config(config(dtype="bfloat16"))
        assert (legacy["rope_theta"], legacy["rope_scaling"], legacy["torch_dtype"]) == (500000.0, None, "bfloat16")
        assert legacy["rope_parameters"] == rope() and legacy["dtype"] == "bfloat16"

    def test_a_family_with_names_of_its_own(self):
        legacy = legacy_config(config("gpt_neox", rope(partial_rotary_factor=0.25)))
        assert (legacy["rotary_emb_base"], legacy["rotary_pct"]) == (500000.0, 0.25)

    def test_yarn_keeps_the_original_length_only_where_it_says_the_same_as_the_factor(self):
        # 64 / 16 = 4, which the old transformers computes itself
        stretched = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
        assert legacy_config(config(rope_parameters=stretched))["rope_scaling"] == {
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
        }  # fmt: skip
        same = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
        assert legacy_config(config(rope_parameters=same))["rope_scaling"] == {"rope_type": "yarn", "factor": 4.0}

    @pytest.mark.parametrize(
        ("case", "message"),
        [
            (config("gemma3_text"), "gemma3_text.*llama"),
            (config(rope_parameters=rope(rope_type="proportional")), "proportional.*linear"),
            (config(rope_parameters={"full_attention": rope(), "sliding_attention": rope()}), "differ between kinds"),
            (config(rope_parameters=rope(rope_type="yarn", factor=4.0, truncate=False)), "yarn.*truncate"),
            (
                config(rope_parameters=rope(rope_type="yarn", factor=3.0, original_max_position_embeddings=16)),
                "64 / 16",
            ),
            (config(rope_parameters=rope(partial_rotary_factor=0.5)), "llama with partial_rotary_factor=0.5"),
            (config("qwen3", layer_types=["full_attention", "sliding_attention"]), "qwen3 with layers other"),
            (config("gemma2", layer_types=["full_attention", "sliding_attention"]), "every other layer"),
        ],
    )
    def test_what_the_old_transformers_would_misread_is_refused(self, case, message):
        with pytest.raises(ValueError, match=message):
            legacy_config(case)

    def test_the_tokenizer_gets_a_class_that_is_there(self):
        legacy = legacy_tokenizer_config(
            {
                "backend": "tokenizers",
                "tokenizer_class": "TokenizersBackend",
                "extra_special_tokens": ["<a>"],
                "pad_token": "<p>",
            }
        )
        assert legacy == {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            "additional_special_tokens": ["<a>"],
            "pad_token": "<p>",
        }


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def reward_model(tokenizer):
    return tiny_reward_model(tokenizer, rope_parameters=rope()).eval()


class TestExport:
    def test_the_copy_is_the_model(self, tmp_path, tokenizer, reward_model):
        copy = export_legacy_copy(reward_model, tmp_path / "copy", tokenizer)
        assert sorted(path.name for path in copy.iterdir()) == [
            "chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        ]  # fmt: skip
        written = json.loads((copy / "config.json").read_text())
        assert written["rope_theta"] == 500000.0 and written["architectures"] == ["LlamaForSequenceClassification"]
        assert "_name_or_path" not in written
        read = AutoModelForSequenceClassification.from_pretrained(copy)
        assert read.config.rope_parameters == reward_model.config.rope_parameters
        assert all(torch.equal(value, read.state_dict()[name]) for name, value in reward_model.state_dict().items())
        assert AutoTokenizer.from_pretrained(copy)("the answer").input_ids == tokenizer("the answer").input_ids

    def test_the_precision_of_the_checkpoint_stays(self, tmp_path, tokenizer):
        tiny_reward_model(tokenizer).to(torch.bfloat16).save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        copy = export_legacy_copy(str(tmp_path / "model"), tmp_path / "copy")
        assert json.loads((copy / "config.json").read_text())["torch_dtype"] == "bfloat16"
        assert load_file(copy / "model.safetensors")["score.weight"].dtype == torch.bfloat16

    def test_an_adapter_is_merged_into_the_copy_alone(self, tmp_path, tokenizer):
        model = get_peft_model(
            tiny_reward_model(tokenizer), LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"], r=2)
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        copy = export_legacy_copy(model, tmp_path / "copy", tokenizer)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        data = (["What is the answer? "], [["It is 4.", "It is 5."]])
        merged = RewardScorer(str(copy), progress=False).score(*data)[0]
        adapted = RewardScorer(model, tokenizer, progress=False).score(*data)[0]
        np.testing.assert_allclose(merged, adapted, rtol=1e-5)

    def test_a_language_model(self, tmp_path):
        copy = export_legacy_copy(tiny_checkpoint(tmp_path / "model"), tmp_path / "copy", kind="language")
        assert not (copy / "generation_config.json").exists()
        assert json.loads((copy / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]

    def test_what_can_not_be_exported_leaves_nothing_behind(self, tmp_path, tokenizer, reward_model):
        language = tiny_checkpoint(tmp_path / "model")
        for model, arguments, message in (
            (language, {}, "no trained reward head"),
            (reward_model, {"kind": "language"}, "LlamaForSequenceClassification is not of kind 'language'"),
            (reward_model, {"kind": "judge"}, "reward, language"),
            (reward_model, {"revision": "main"}, "in memory"),
        ):
            with pytest.raises(ValueError, match=message):
                export_legacy_copy(model, tmp_path / "copy", tokenizer, **arguments)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        with pytest.raises(FileExistsError, match="is there already"):
            export_legacy_copy(reward_model, tmp_path / "model", tokenizer)


USER = {"role": "user", "content": "2 + 2?"}


def answer(text):
    return {"role": "assistant", "content": text}


class TestRows:
    def test_the_example_is_right(self):
        assert failed_examples(read_bridge_rows) == 0

    @pytest.mark.parametrize(
        "row",
        [
            {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
            {"prompt": [USER], "chosen": [answer("4")], "rejected": [answer("5")]},
            {"chosen": [USER, answer("4")], "rejected": [USER, answer("5")]},
            {"prompt": "2 + 2?", "chosen": ["4"], "rejected": ["5"]},
        ],
    )
    def test_every_schema_gives_the_same_row(self, row, tmp_path):
        expected = [BridgeRow("a", [USER], ["4", "5"], 1)]
        assert read_bridge_rows([row | {"id": "a"}]) == expected
        assert read_bridge_rows(Dataset.from_list([row | {"id": "a"}])) == expected
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps(row | {"id": "a"}) + "\n")
        assert read_bridge_rows(path) == expected

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([], "no rows"),
            ([{"prompt": "a", "chosen": "b"}], "row 0, column 'rejected': missing"),
            ([{"prompt": "a", "chosen": "b", "rejected": 3}], "row 0"),
            ([{"chosen": "b", "rejected": "c"}], "row 0, column 'prompt'"),
            ([{"chosen": [USER, answer("b")], "rejected": [answer("c")]}], "begin differently"),
            ([{"prompt": "a", "chosen": [USER, answer("b")], "rejected": [answer("c")]}], "one message each"),
            (
                [{"prompt": [{"role": "system", "content": "s"}, USER], "chosen": "b", "rejected": "c"}],
                "message 0.*in turn",
            ),
            ([{"prompt": [USER, answer("x")], "chosen": "b", "rejected": "c"}], "end with a message of the user"),
            ([{"prompt": "a", "chosen": "b", "rejected": "c", "id": 1}] * 2, "row 1, column 'id': '1'"),
        ],
    )
    def test_what_the_genuine_program_would_read_otherwise_is_refused(self, rows, message):
        with pytest.raises(ValueError, match=message):
            read_bridge_rows(rows)


class TestSettings:
    def test_the_command_line_of_every_program(self):
        common = ["--model", "model", "--batch_size", "8", "--torch_dtype", "float32"]
        assert GenuineSettings(max_length=96).arguments(False) == [
            *common, "--output_dir", "results/", "--dataset", "preferences.jsonl", "--load_json", "--not_quantized",
            "--max_length", "96", "--force_truncation",
        ]  # fmt: skip
        assert GenuineSettings("run_v2", chat_template="tulu").arguments(False) == [
            *common, "--do_not_save", "--disable_beaker_save", "--dataset", "candidates.jsonl", "--chat_template", "tulu",
        ]  # fmt: skip
        assert GenuineSettings("run_dpo", ref_free_type="avg").arguments(False)[-2:] == ["--ref_free_type", "avg"]
        assert GenuineSettings().arguments(True)[-2:] == ["--ref_model", "reference"]

    @pytest.mark.parametrize(
        ("settings", "has_reference", "message"),
        [
            ({"program": "run_bon"}, False, "program.*run_v2.*run_bon"),
            ({"dtype": "float64"}, False, "dtype.*float32"),
            ({"batch_size": 0}, False, "batch_size.*at least 1"),
            ({"ref_free_type": "avg"}, False, "run_dpo only"),
            ({"program": "run_rm"}, True, "run_rm has no reference model"),
            ({"program": "run_dpo"}, False, "either a reference model or"),
            ({"program": "run_dpo", "ref_free_type": "sum"}, True, "either a reference model or"),
            ({"max_length": 512}, True, "no `max_length` for DPO"),
        ],
    )
    def test_what_does_not_fit_together_is_refused(self, settings, has_reference, message):
        with pytest.raises(ValueError, match=message):
            GenuineSettings(**settings).arguments(has_reference)


def rows_of(*counts):
    """Rows with one right response and so many wrong ones."""
    return [BridgeRow(f"r{i}", [USER], [f"{j}" for j in range(n + 1)], 1, "s") for i, n in enumerate(counts)]


def genuine(*rewards):
    return GenuineResult([np.array(values) for values in rewards], {"accuracy": 0.5}, {}, {}, [], 0.0, Path("log"))


class TestComparison:
    def test_figures_by_hand(self):
        theirs = genuine([2.0, 1.0], [1.0, 3.0, -4.0])
        comparison = compare_rewards(rows_of(1, 2), theirs, [np.array([2.0, 1.0]), np.array([1.0, 3.0, -4.5])])
        # |-4.5 + 4| / 4
        assert (comparison.max_relative_difference, comparison.max_absolute_difference) == (0.125, 0.5)
        assert (comparison.worst_row, comparison.rows, comparison.responses) == ("r1", 2, 5)
        assert comparison.different_decisions == () and comparison.undecided == ()
        assert (comparison.accuracy_genuine, comparison.accuracy_ours) == (0.5, 0.5)
        assert not comparison.agrees and "THE TWO DIFFER" in comparison.report()

    def test_rounding_agrees(self):
        theirs = genuine([2.0, 1.0], [1.0, 3.0])
        comparison = compare_rewards(rows_of(1, 1), theirs, [np.array([2.0001, 1.0]), np.array([1.0, 3.0])])
        assert comparison.agrees and "The two agree." in comparison.report()
        assert json.loads(json.dumps(comparison.to_dict()))["agrees"]

    def test_a_tie_that_rounding_turns_is_undecided(self):
        theirs = genuine([2.0, 2.0], [1.0, 3.0])
        comparison = compare_rewards(rows_of(1, 1), theirs, [np.array([2.0001, 2.0]), np.array([1.0, 3.0])])
        assert comparison.different_decisions == comparison.undecided == ("r0",) and comparison.agrees

    def test_a_reward_near_zero_is_measured_by_the_others(self):
        # relative to the median |reward|, 2, not to 1e-9
        theirs = genuine([1e-9, -2.0], [2.0, 3.0])
        comparison = compare_rewards(rows_of(1, 1), theirs, [np.array([1e-5, -2.0]), np.array([2.0, 3.0])])
        assert comparison.max_relative_difference == pytest.approx(5e-6, rel=1e-2) and comparison.agrees

    def test_a_turned_decision_is_no_agreement_however_small_the_tolerance_of_rewards(self):
        theirs = genuine([2.0, 1.9], [1.0, 3.0])
        comparison = compare_rewards(
            rows_of(1, 1), theirs, [np.array([1.8, 1.9]), np.array([1.0, 3.0])], tolerance=0.01
        )
        assert comparison.different_decisions == ("r0",) and comparison.undecided == () and not comparison.agrees

    @pytest.mark.parametrize(
        ("ours", "message"),
        [
            ([[1.0, 2.0]], "2 rows, but our rewards of 1"),
            ([[1.0, 2.0], [1.0]], "row 'r1': our rewards must be 2 finite numbers"),
            ([[1.0, float("nan")], [1.0, 2.0]], "row 'r0': our rewards"),
        ],
    )
    def test_rewards_that_are_not_there_are_no_agreement(self, ours, message):
        with pytest.raises(ValueError, match=message):
            compare_rewards(rows_of(1, 1), genuine([2.0, 1.0], [1.0, 3.0]), [np.array(values) for values in ours])


class StandIn:
    """An environment whose Python is a shell script."""

    def __init__(self, folder, script):
        self.python = folder / "python"
        self.python.write_text(f"#!/bin/sh\n{script}\n")
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)

    def versions(self):
        return {"rewardbench": "0.1.4"}


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "a_model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


class TestRunGenuine:
    def run(self, tmp_path, model, script, settings=None, rows=None, **arguments):
        rows = read_bridge_rows(pairs(2)) if rows is None else rows
        return run_genuine(model, rows, tmp_path / "run", StandIn(tmp_path, script), settings, **arguments)

    def test_outputs_of_the_command_are_read(self, tmp_path, model_folder, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "secret")
        monkeypatch.setenv("PYTHONPATH", "ours")
        script = """mkdir results
echo '{"accuracy": 0.5, "extra_results": null}' > results/model.json
echo '{"scores_chosen": 2.0, "scores_rejected": 1.0}' > results/model_outputs.jsonl
echo '{"scores_chosen": -1.5, "scores_rejected": 1.0}' >> results/model_outputs.jsonl
echo "x - INFO - [RANK 0] Results: {'Chat': 0.25, 'Chat Hard': 0}"
echo "$HF_HUB_OFFLINE $CUDA_VISIBLE_DEVICES $HF_TOKEN $PYTHONPATH|" > seen"""
        result = self.run(tmp_path, model_folder, script)
        np.testing.assert_array_equal(result.rewards, [[2.0, 1.0], [-1.5, 1.0]])
        assert (result.figures, result.sections) == ({"accuracy": 0.5}, {"Chat": 0.25, "Chat Hard": 0})
        assert result.command[:5] == ["--device", "cpu", "--dtype", "float32", "rewardbench"]
        assert (tmp_path / "run" / "seen").read_text() == "1   |\n"
        lines = (tmp_path / "run" / "preferences.jsonl").read_text().splitlines()
        assert json.loads(lines[0])["chosen"][-1] == answer("It is 0.")

    def test_outputs_of_a_script_are_read(self, tmp_path, model_folder, shared_dir):
        expected = shared_dir / "golden" / "rewardbench_cli" / "expected"
        script = f"""mkdir -p results/eval-set-scores
cp {expected}/v2__scores.json results/eval-set-scores/model.json
cat {expected}/v2__stdout.txt"""
        rows = read_bridge_rows(shared_dir / "golden" / "rewardbench_cli" / "v2.jsonl")
        result = self.run(tmp_path, model_folder, script, GenuineSettings("run_v2"), rows)
        assert [len(values) for values in result.rewards] == [len(row.responses) for row in rows]
        assert result.figures["Math"] == 0.75 and result.figures["Ties"] == pytest.approx(-0.0097813, abs=1e-7)

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("echo the reason; exit 3", "ended with 3(.|\n)*the reason"),
            ("true", "something unexpected"),
            (
                'mkdir results; echo \'{"accuracy": 1, "extra_results": null}\' > results/model.json; '
                'echo \'{"scores_chosen": 2.0, "scores_rejected": 1.0}\' > results/model_outputs.jsonl',
                "1 rows instead of 2",
            ),
        ],
    )
    def test_a_failure_says_why(self, tmp_path, model_folder, script, message):
        with pytest.raises(RuntimeError, match=message):
            self.run(tmp_path, model_folder, script)

    def test_a_program_that_takes_too_long_is_ended_with_its_processes(self, tmp_path, model_folder):
        started = time.perf_counter()
        with pytest.raises(RuntimeError, match="longer than 0.3 s"):
            self.run(tmp_path, model_folder, "(sleep 1; touch late) & sleep 60", timeout=0.3)
        assert time.perf_counter() - started < 10
        time.sleep(1.2)
        assert not (tmp_path / "run" / "late").exists()

    def test_bad_arguments(self, tmp_path, model_folder):
        with pytest.raises(ValueError, match="'cpu' or 'cuda'"):
            self.run(tmp_path, model_folder, "true", device="mps")
        with pytest.raises(ValueError, match="no folder of a model"):
            self.run(tmp_path, tmp_path / "nothing", "true")
        with pytest.raises(ValueError, match="row 0, column 'subset': missing"):
            run_genuine(
                model_folder,
                read_bridge_rows(pairs(2)),
                tmp_path / "other",
                StandIn(tmp_path, "true"),
                GenuineSettings("run_v2"),
            )


class TestEnvironment:
    def test_an_absent_one_is_not_ready(self, tmp_path):
        environment = RewardBenchEnvironment(tmp_path / "absent")
        assert not environment.is_ready()
        with pytest.raises(RuntimeError, match=r"make it with create\(\)"):
            environment.versions()
        with pytest.raises(RuntimeError, match=r"make it with create\(\)"):
            compare_with_genuine("any-model", pairs(2), environment)

    def test_a_folder_with_something_else_stays_as_it_is(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        (tmp_path / "pyvenv.cfg").write_text("home = /usr")  # an environment for something else
        with pytest.raises(ValueError, match="something else"):
            RewardBenchEnvironment(tmp_path).create()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["pyvenv.cfg", "thesis.txt"]

    def test_a_python_that_is_not_there(self, tmp_path):
        with pytest.raises(RuntimeError, match="no-such-python can't be run"):
            RewardBenchEnvironment(tmp_path / "new", python="no-such-python").create()

    def test_what_failed_is_made_anew(self, tmp_path):
        """The first Python makes half an environment and fails; it is removed, and the second failure names its reason."""
        half = tmp_path / "half"
        half.write_text('#!/bin/sh\ntouch "$3/pyvenv.cfg"; touch "$3/left"; echo broken; exit 1\n')
        other = tmp_path / "other"
        other.write_text("#!/bin/sh\necho worse; exit 2\n")
        for path in (half, other):
            path.chmod(0o755)
        folder = tmp_path / "environment"
        with pytest.raises(RuntimeError, match=r"can't be made \(venv ended with 1(.|\n)*broken"):
            RewardBenchEnvironment(folder, str(half)).create()
        assert (folder / "left").exists()
        with pytest.raises(RuntimeError, match=r"\(venv ended with 2(.|\n)*worse"):
            RewardBenchEnvironment(folder, str(other)).create()
        assert not (folder / "left").exists()


class TestCommandLine:
    def test_commands_of_the_guide_are_understood(self):
        text = (
            Path(__file__).resolve().parents[2].joinpath("docs", "rewardbench_bridge.md").read_text(encoding="utf-8")
        )
        command = "python -m trl_ext.evaluation.rewardbench_bridge "
        commands = [
            line.removeprefix(command) for line in text.replace("\\\n", "").splitlines() if line.startswith(command)
        ]
        assert len(commands) >= 4
        for arguments in commands:
            parse_arguments(arguments.split())

    @pytest.mark.parametrize("arguments", [["--model", "m"], ["--model", "m", "--dataset", "d", "--program", "x"], []])
    def test_what_is_incomplete_is_refused(self, arguments, capsys):
        with pytest.raises(SystemExit):
            parse_arguments(["--environment", "e", *arguments])
        assert "error:" in capsys.readouterr().err

    def test_help_shows_an_example(self, capsys):
        with pytest.raises(SystemExit):
            parse_arguments(["--help"])
        assert "--dataset prefs.jsonl" in capsys.readouterr().out

    def test_errors_are_one_line_and_exit_code_2(self, tmp_path, capsys):
        pairs(2).to_json(tmp_path / "prefs.jsonl")
        code = main(["--environment", str(tmp_path / "e"), "--model", "m", "--dataset", str(tmp_path / "prefs.jsonl")])
        assert code == 2 and "make it with create()" in capsys.readouterr().err

"""The model card says what was measured, with intervals, and what was not; nothing in the data can break it."""

import json
import re
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reporting.card_run import estimate, write_run
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, ReliabilityRewardConfig, ReliabilityRewardTrainer
from trl_ext.cards import cell, interval, is_unedited, sign, usage
from trl_ext.reporting.model_card import card_to_push, main, model_card, refresh_model_card
from trl_ext.reporting.run_files import as_estimate


SETTINGS = {
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "max_steps": 1,
    "disable_tqdm": True,
    "save_strategy": "no",
}
# characters that mean something to Markdown, or end a line for somebody
TRICKY = "a1 |\\`[]<>-!#*_\n\r\t\x0b\x0c\x1c\x85\u2028\u2029\u00e9\U0001f600"
HOSTILE = "a|b `c`\n---\n# d <!-- e --> \\ [f](g)\n```\n| h |"


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def reliability_trainer(tmp_path, tokenizer):
    data = pairs(12, reliability=[0.4, 0.9] * 6)
    args = ReliabilityRewardConfig(str(tmp_path / "my-rm"), rapl_method="p", **SETTINGS)
    return ReliabilityRewardTrainer(tiny_reward_model(tokenizer), args, train_dataset=data, processing_class=tokenizer)


def without_code(card: str) -> str:
    return re.sub(r"```.*?```", "", card.split("\n---\n", 1)[1], flags=re.DOTALL)


def headings(card: str) -> list[str]:
    return re.findall(r"^## (.+)$", without_code(card), re.MULTILINE)


def tables_are_whole(card: str) -> bool:
    """Every row of a table has as many cells as its header."""
    width = None
    for line in card.splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
        if width is not None and cells != width:
            return False
        width = cells
    return True


class TestTrainer:
    def test_alone_it_says_all_that_it_knows(self, reliability_trainer):
        reliability_trainer.create_model_card(dataset_name="org/pairs")
        folder = Path(reliability_trainer.args.output_dir)
        card = ModelCard.load(folder / "README.md")
        assert card.data.datasets == "org/pairs" and card.data.eval_results is None
        for text in (
            "`EpsilonRAPLLoss`",
            "rapl_method=p",
            "6.0 of 12 pairs",
            "@misc{rapl2024",
            "@software{vonwerra2020trl",
        ):
            assert text in card.content
        assert headings(card.content) == ["Use", "Training", "Reliability of the labels", "Citation"]
        assert is_unedited(card.content) and str(folder.parent) not in card.content

    def test_an_edited_card_is_kept(self, reliability_trainer):
        reliability_trainer.create_model_card()
        path = Path(reliability_trainer.args.output_dir, "README.md")
        path.write_text(path.read_text().replace("## Use", "## How to use"))
        edited = path.read_text()
        reliability_trainer.create_model_card()
        assert path.read_text() == edited
        path.unlink()
        reliability_trainer.create_model_card()
        assert is_unedited(path.read_text())

    def test_saving_an_adapter_leaves_the_card(self, tmp_path, tokenizer):
        from peft import LoraConfig

        trainer = PairwiseRewardTrainer(
            tiny_reward_model(tokenizer),
            PairwiseRewardConfig(str(tmp_path / "rm"), **SETTINGS),
            train_dataset=pairs(4),
            processing_class=tokenizer,
            peft_config=LoraConfig(target_modules=["q_proj"]),
        )
        for _ in range(2):  # PEFT writes a template beside the adapter, and changes a card that is there
            trainer.save_model()
            trainer.create_model_card()
            assert is_unedited((tmp_path / "rm" / "README.md").read_text())

    def test_conversations_are_scored_in_the_layout_of_the_training(self, tmp_path, tokenizer, capsys):
        row = {
            "prompt": [{"role": "user", "content": "What is 2 + 2?"}],
            **{name: [{"role": "assistant", "content": text}] for name, text in (("chosen", "4"), ("rejected", "5"))},
        }
        trainer = PairwiseRewardTrainer(
            tiny_reward_model(tokenizer),
            PairwiseRewardConfig(str(tmp_path / "rm"), **SETTINGS),
            train_dataset=Dataset.from_list([row] * 2),
            processing_class=tokenizer,
        )
        trainer.save_model()
        trainer.create_model_card()
        card = (tmp_path / "rm" / "README.md").read_text()
        assert "trained on conversations in the layout of its chat template" in card
        text = tokenizer.decode(trainer.train_dataset[0]["chosen_ids"])
        expected = trainer.predict(trainer.train_dataset.select([0])).predictions[0, 0]
        for block in (
            re.search(r"## Use\n\n```python\n(.*?)```", card, re.DOTALL)[1],
            usage("rm", "", adapter=True, base_is_public=False, conversational=True),
        ):
            names = {}
            capsys.readouterr()
            exec(block.replace('"rm"', repr(str(tmp_path / "rm"))), names)
            assert names.get("text", text) == text
            assert float(capsys.readouterr().out.strip("[]\n")) == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize(("method", "named"), [("beta", True), ("none", False), ("smoothing", False)])
    def test_the_method_is_the_papers_only_where_its_loss_is(self, tmp_path, tokenizer, method, named):
        args = ReliabilityRewardConfig(str(tmp_path / "rm"), rapl_method=method, **SETTINGS)
        data = pairs(4, reliability=[0.9] * 4)
        trainer = ReliabilityRewardTrainer(
            tiny_reward_model(tokenizer), args, train_dataset=data, processing_class=tokenizer
        )
        trainer.create_model_card(dataset_name="/srv/ann/pairs.jsonl")
        card = (tmp_path / "rm" / "README.md").read_text()
        assert ("Method: [Reliability-Aware" in card) == named and ("mitchell2023note" in card) == (
            method == "smoothing"
        )
        assert "/srv" not in card + (tmp_path / "rm" / "training_facts.json").read_text()


class TestEvidence:
    @pytest.fixture
    def folder(self, reliability_trainer):
        reliability_trainer.create_model_card()
        return write_run(Path(reliability_trainer.args.output_dir))

    def test_sections_and_metadata(self, folder):
        assert refresh_model_card(folder, "me/my-rm")
        card = ModelCard.load(folder / "README.md")
        assert headings(card.content) == [
            "Use", "Intended use and limits", "Training data", "Training", "Reliability of the labels", "Evaluation",
            "Calibration", "Audit", "Reproduce", "Citation",
        ]  # fmt: skip
        figures = {result.metric_name: result for result in card.data.eval_results}
        truth = figures["accuracy to truth"]
        assert (truth.metric_value, truth.metric_type, truth.dataset_name) == (0.81, "accuracy", "trl_ext demo, test")
        assert truth.metric_args["ci_low"] == 0.73 and truth.metric_args["n"] == 116
        assert figures["length weight"].metric_value == 0.42
        assert figures["ece, raw"].metric_value == 0.12 and figures["ece, calibrated"].metric_value == 0.05
        assert figures["ratio"].metric_args.keys() == {"n", "method"}  # infinities are no metadata
        assert tables_are_whole(card.content) and is_unedited(card.content)

    def test_figures_and_limits_are_concrete(self, folder):
        card = model_card(folder, "me/my-rm")
        for text in (
            "Pays for length: W_length 0.420 [0.210, 0.630]",
            "| accuracy to truth | trl_ext demo, test | 0.500 [0.400, 0.600] | 0.810 [0.730, 0.880] | 116 |",
            "480 training pairs count as 267 equally weighted ones; 21% of the labels counted for nothing",
            "off by 0.120 [0.090, 0.150] (ECE)",
            "| ECE | 0.120 [0.090, 0.150] | 0.0500 [0.0200, 0.0800] |",
            "| temperature | 1.70 [1.20, 2.40] |",
            "| wrong labels | 41.0 [29.0, 53.0] |",
            "| labels that were flagged | 1 |",
            "![Reliability diagram, calibrated rewards](calibration/calibrated.png)",
            'CalibratedScorer.from_pretrained("me/my-rm")',
            "raises the reward by 2.12 standard deviations [1.62, 2.73]",
            "| dropped for length | 3 |",
            "cd" * 32,
            "python tasks/train.py with rapl_method=beta\n",
            "No public benchmark was run",
            "length weight: reward for a detailed answer over a concise one, W_length; ratio: W_correct / W_length.",
            "Local models and files are named by their last part alone",
        ):
            assert text in card

    def test_people_and_places_are_not_named(self, folder):
        card = model_card(folder, "me/my-rm")
        assert "Ann Example" not in card and str(folder.parent) not in card and str(Path.home()) not in card

    def test_what_was_not_measured_is_said(self, reliability_trainer):
        reliability_trainer.create_model_card()
        card = model_card(reliability_trainer.args.output_dir)
        for text in (
            "pays for length was not measured",
            "correct answers was not measured",
            "Not calibrated",
            "(RATE)",
        ):
            assert text in card
        assert "## Evaluation" not in card

    def test_figures_on_a_file_of_the_users_own_are_shown_but_not_metadata(self, folder):
        results = json.loads((folder / "results.json").read_text())
        results["provenance"]["data_names"]["test"] = {"name": "held_out.jsonl", "hub_id": None, "public": False}
        (folder / "results.json").write_text(json.dumps(results))
        card = ModelCard(model_card(folder))
        assert {result.metric_name.split(",")[0] for result in card.data.eval_results} == {"ece", "brier"}
        calibration = json.loads((folder / "calibration" / "calibration.json").read_text())
        calibration["measured_on"]["data"] = "test pairs of demo"  # as of a file demo.jsonl
        calibration["provenance"] = {"command": ["tasks/train.py"], "config": results["provenance"]["config"]}
        (folder / "calibration" / "calibration.json").write_text(json.dumps(calibration))
        assert not ModelCard(model_card(folder)).data.eval_results
        assert "| accuracy to truth | held_out.jsonl |" in card.content

    def test_a_dataset_on_the_hub_is_the_dataset_of_the_metadata(self, folder):
        results = json.loads((folder / "results.json").read_text())
        results["provenance"]["data_names"]["test"] = {"name": "org/test", "hub_id": "org/test", "public": True}
        (folder / "results.json").write_text(json.dumps(results))
        card = ModelCard(model_card(folder))
        assert "org/test" in {result.dataset_type for result in card.data.eval_results}

    def test_hostile_values_break_nothing(self, folder):
        write_run(folder, name=HOSTILE, command=["tasks/train.py", "with", f"x={HOSTILE}"], experiment_tag=HOSTILE)
        plain = headings(model_card(folder, "me/my-rm"))
        card = ModelCard(model_card(folder, "me/" + HOSTILE.replace("/", "")))
        assert headings(card.content) == plain and tables_are_whole(card.content)
        assert card.data.model_name and card.data.eval_results
        assert without_code(card.content).count("<!--") == 1 and is_unedited(card.content)

    def test_a_damaged_file_is_an_error_but_never_stops_a_push(self, folder, caplog):
        (folder / "results.json").write_text("{torn")
        with pytest.raises(ValueError, match=r"results\.json: not JSON"):
            model_card(folder)
        assert "EpsilonRAPLLoss" in card_to_push(folder, "me/rm") and "without evidence" in caplog.text

    def test_verdicts_follow_the_interval(self, folder):
        results = json.loads((folder / "results.json").read_text())
        for (low, high), verdict in {
            (-0.3, -0.1): "Pays for brevity",
            (-0.1, 0.2): "don't say whether it pays for length",
        }.items():
            results["figures"]["after_length_weight"] = estimate((low + high) / 2, low, high)
            (folder / "results.json").write_text(json.dumps(results))
            assert verdict in model_card(folder)

    @pytest.mark.parametrize(
        ("low", "high", "text", "applied"),
        [
            (-0.2, -0.1, "makes probabilities better, by -0.150", True),
            (0.1, 0.2, "makes probabilities worse: use raw rewards, by 0.150", False),
            (-0.1, 0.4, "don't say whether the calibration below makes probabilities better or worse", True),
        ],
    )
    def test_a_calibration_has_a_verdict(self, folder, low, high, text, applied):
        path = folder / "calibration" / "calibration.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"ece_change": estimate((low + high) / 2, low, high)})
        )
        card = model_card(folder)
        assert text in card and ("CalibratedScorer" in card) == applied

    def test_a_calibration_that_is_not_stored_is_not_to_be_loaded(self, folder):
        (folder / "config.json").write_text('{"model_type": "llama"}')
        card = model_card(folder)
        assert "It is not stored with the model" in card and "CalibratedScorer" not in card

    def test_several_processes_are_launched_as_such(self, folder):
        results = json.loads((folder / "results.json").read_text())
        results["provenance"]["processes"] = 4
        (folder / "results.json").write_text(json.dumps(results))
        assert "accelerate launch --num_processes 4 tasks/train.py" in model_card(folder)

    def test_why_there_is_no_calibration(self, folder):
        results = json.loads((folder / "results.json").read_text()) | {"preference_calibration": "none: at chance"}
        (folder / "results.json").write_text(json.dumps(results))
        (folder / "calibration" / "calibration.json").unlink()
        assert "The data did not allow it: at chance" in model_card(folder)

    def test_command_line(self, folder, capsys):
        assert main([str(folder), "--repo_id", "me/my-rm"]) == 0 and "Model card:" in capsys.readouterr().out
        (folder / "README.md").write_text("mine")
        assert main([str(folder)]) == 1 and (folder / "README.md").read_text() == "mine"
        with pytest.raises(SystemExit):
            main([str(folder / "nothing")])
        assert "there is no folder" in capsys.readouterr().err


class TestText:
    @pytest.mark.parametrize(
        ("numbers", "shown"),
        [
            ((0.69, 0.619, 0.76), "0.690 [0.619, 0.760]"),
            ((-0.0176, -0.0221, -0.0131), "-0.0176 [-0.0221, -0.0131]"),
            ((41.0, 29.0, 53.0), "41.0 [29.0, 53.0]"),
            ((-1.017, -79.950, -0.256), "-1.02 [-79.95, -0.26]"),
            ((2.0, float("-inf"), float("inf")), "2.00 [-inf, inf]"),
            ((0.5, float("nan"), float("nan")), "0.500 (no interval)"),
            ((0.0, 0.0, 0.0), "0.000 [0.000, 0.000]"),
        ],
    )
    def test_an_interval_has_as_many_decimals_as_its_largest_number_needs(self, numbers, shown):
        assert interval(as_estimate(estimate(*numbers))) == shown

    @settings(max_examples=50)
    @given(st.text(TRICKY))
    def test_a_cell_is_one_cell_of_one_line(self, text):
        assert tables_are_whole(f"| a |\n|---|\n| {cell(text)} |") and len(cell(text).splitlines()) <= 1

    @settings(max_examples=50)
    @given(st.text(TRICKY, min_size=1), st.text(TRICKY, min_size=1))
    def test_an_edit_is_seen(self, text, addition):
        card = sign(text, "1.0")
        assert is_unedited(card) and is_unedited(card.replace("\n", "\r\n")) == is_unedited(card.replace("\r\n", "\n"))
        assert not is_unedited("x" + card) and not is_unedited(card + addition + "x") and not is_unedited(text)

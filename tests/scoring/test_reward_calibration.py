"""Calibrations as numbers, in a model's configuration, and applied by the wrapper."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification

from tests.evaluation.doc_examples import failed_examples
from tests.scoring.helpers import read_lines, write_rows
from tests.tiny import chat_pairs, pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.hub.files import files_to_remove
from trl_ext.scoring import (
    CalibratedScorer,
    EnsembleScorer,
    LengthCurve,
    RewardCalibration,
    read_calibration,
    remove_calibration,
    response_lengths,
    save_calibration,
)
from trl_ext.scoring.__main__ import main


OFFSETS = {"model-0": 0.5, "model-1": -0.75, "model-2": 0.25}
CURVE = LengthCurve((4, 9), (-0.5, 0.5), "tokens", "linear")
BOTH = RewardCalibration(OFFSETS, "sum_zero", CURVE, {"offsets": {"n": 7}})
BY_SOURCE = RewardCalibration(OFFSETS, "sum_zero")
PROMPTS = ["Question: what is the answer? ", "The capital of France, is it "]
RESPONSES = [["Paris.", "It is a good question. Indeed it is."], ["a", "Paris, a good answer", "bad"]]
SOURCES = [["model-0", "model-1"], ["model-2", "model-1", "model-0"]]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny_reward_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def raw(folder):
    return RewardScorer(str(folder), progress=False)


@pytest.fixture
def stored(folder):
    save_calibration(folder, BOTH)
    yield folder
    remove_calibration(folder)


@pytest.fixture(scope="module")
def adapter(folder, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(3)
    base = AutoModelForSequenceClassification.from_pretrained(folder)
    config = LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(path)
    return path


class TestNumbers:
    def test_both_parts_by_hand(self):
        # 1 + 0.5 - curve(4) = 1 + 0.5 + 0.5; 2 - 0.75 - curve(9) = 2 - 0.75 - 0.5
        assert BOTH.apply([1.0, 2.0], ["model-0", "model-1"], [4, 9]).tolist() == [2.0, 0.75]

    def test_json_round_trip(self):
        again = RewardCalibration.from_dict(json.loads(json.dumps(BOTH.to_dict())))
        assert again == BOTH and again.fingerprint == BOTH.fingerprint

    def test_the_fingerprint_is_that_of_the_numbers(self):
        other = RewardCalibration(OFFSETS, "sum_zero", CURVE, {"offsets": {"n": 8}})
        assert other.fingerprint == BOTH.fingerprint != BY_SOURCE.fingerprint

    def test_unknown_sources_with_zero_are_counted(self, caplog):
        values = BY_SOURCE.apply([1.0, 1.0, 1.0], ["model-0", "other", None], unknown_source="zero")
        assert values.tolist() == [1.5, 1.0, 1.0] and "2 of 3 responses have a source without" in caplog.text
        assert BY_SOURCE.beyond(2) == {"unknown_source": 2}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([np.nan, 1.0], ["model-0"] * 2, [1, 2]), "`rewards` has 1 values that are not finite; first: row 0"),
            (([[1.0]], ["model-0"], [1]), r"must have shape \(N,\), got \(1, 1\)"),
            (([1.0, 1.0], ["model-0", "gpt"], [1, 2]), "first: row 1, source 'gpt'. Known are 'model-0'"),
            (([1.0, 1.0], None, [1, 2]), "2 of 2 responses have a source without an offset"),
            (([1.0, 1.0], ["model-0"], [1, 2]), "one entry for each of the 2 rewards"),
            (([1.0], ["model-0"], None), "give `lengths`"),
            (([1.0], ["model-0"], [-1]), "first: row 0, value -1"),
            (([1.0], ["model-0"], [np.inf]), "`lengths` has 1 values that are not finite"),
            (([1.0], ["model-0"], [1, 2]), r"`lengths` must have shape \(1,\)"),
        ],
    )
    def test_bad_arrays(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            BOTH.apply(*arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "got none"),
            ({"source_offsets": {}}, "must be a dict of models"),
            (
                {"source_offsets": {"a": np.nan, "b": 0.0}, "gauge": "reference"},
                "offset of 'a' must be a finite number",
            ),
            ({"source_offsets": {"a": "1"}, "gauge": "reference"}, "offset of 'a' must be a finite number, got '1'"),
            ({"source_offsets": {"a": 1.0, "b": 0.0}}, "which constant was chosen"),
            ({"source_offsets": {"a": 1.0, "b": 0.0}, "gauge": "sum_zero"}, "they sum to 1: subtract 0.5"),
            ({"source_offsets": {"a": 1.0, "b": -1.0}, "gauge": "reference"}, "needs a model with the offset 0"),
            ({"length_curve": CURVE, "gauge": "sum_zero"}, "of which there are none"),
            ({"length_curve": CURVE, "provenance": {"x": float("nan")}}, "`provenance` is for JSON"),
        ],
    )
    def test_bad_calibrations(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            RewardCalibration(**arguments)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (((), (), "words"), "one value per knot, got 0 and 0"),
            (((1, 2), (1,), "words"), "got 2 and 1"),
            (((2, 1), (0, 0), "words"), "must rise from 0"),
            (((-1, 1), (0, 0), "words"), "must rise from 0"),
            (((1, 2), (0, np.nan), "words"), "entry 1 is nan"),
            (((1, 2), (0, 0), "lines"), "unit of lengths"),
            (((1, 2), (0, 0), "words", "sqrt"), "`scale`"),
        ],
    )
    def test_bad_curves(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            LengthCurve(*arguments)


class TestStorage:
    def test_examples(self):
        assert failed_examples(save_calibration) == 0

    def test_config_keeps_it_and_a_plain_load_ignores_it(self, folder, raw, tmp_path):
        before, config = raw.score(PROMPTS, RESPONSES), json.loads((folder / "config.json").read_text())
        weights = (folder / "model.safetensors").read_bytes()
        save_calibration(folder, BOTH)
        after = json.loads((folder / "config.json").read_text())
        assert read_calibration(folder) == BOTH and after.pop("reward_calibration") and after == config
        assert (folder / "model.safetensors").read_bytes() == weights
        plain = RewardScorer(str(folder), progress=False)
        np.testing.assert_array_equal(np.concatenate(plain.score(PROMPTS, RESPONSES)), np.concatenate(before))
        # files of raw rewards that were begun without it are continued
        assert plain.settings()["model_config_sha256"] == raw.settings()["model_config_sha256"]
        plain.model.save_pretrained(tmp_path)
        assert read_calibration(tmp_path) == BOTH == read_calibration(plain.model)
        remove_calibration(folder)
        assert json.loads((folder / "config.json").read_text()) == config

    def test_a_model_in_memory(self, tokenizer, tmp_path):
        model = tiny_reward_model(tokenizer)
        save_calibration(model, BY_SOURCE)
        model.save_pretrained(tmp_path)
        assert read_calibration(tmp_path) == BY_SOURCE
        remove_calibration(model)
        with pytest.raises(ValueError, match="the model has no calibration"):
            read_calibration(model)

    def test_a_folder_without_a_model_has_none(self, tmp_path):
        with pytest.raises(OSError, match="is no saved model.*neither config.json"):
            read_calibration(tmp_path)
        with pytest.raises(ValueError, match="is no saved model"):
            save_calibration(tmp_path, BY_SOURCE)

    def test_an_adapter_has_its_own(self, adapter, stored):
        with pytest.raises(ValueError, match=r"has no calibration \(reward_calibration.json\)"):
            read_calibration(adapter)  # its base model has one
        before = (adapter / "adapter_config.json").read_bytes()
        save_calibration(adapter, BY_SOURCE)
        assert (adapter / "adapter_config.json").read_bytes() == before and not (adapter / "config.json").exists()
        raw, calibrated = (kind(str(adapter)) for kind in (RewardScorer, CalibratedScorer.from_pretrained))
        expected = raw.score(PROMPTS[:1], RESPONSES[:1])[0] + np.float32([0.5, -0.75])
        np.testing.assert_array_equal(
            calibrated.score(PROMPTS[:1], RESPONSES[:1], sources=SOURCES[:1])[0], expected.astype(np.float32)
        )
        with pytest.raises(ValueError, match="an adapter in memory has no place"):
            save_calibration(raw.model, BY_SOURCE)
        remove_calibration(adapter)
        assert not (adapter / "reward_calibration.json").exists()

    def test_that_of_an_earlier_adapter_is_removed_by_a_push(self):
        assert files_to_remove(["reward_calibration.json"], ["adapter_config.json"]) == ["reward_calibration.json"]

    def test_two_calibrations(self, stored, raw):
        save_calibration(stored, BOTH)  # the same is no other
        with pytest.raises(ValueError, match="another calibration already: replace it with overwrite=True"):
            save_calibration(stored, BY_SOURCE)
        save_calibration(stored, BY_SOURCE, overwrite=True)
        assert read_calibration(stored) == BY_SOURCE
        with pytest.raises(ValueError, match="calibrated already"):
            CalibratedScorer(CalibratedScorer(raw, BOTH), BY_SOURCE)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c | {"version": 3}, "has version 3; this trl_ext reads versions 1 and 2"),
            (lambda c: c | {"version": 2}, "unknown or missing: 'preference'"),
            (lambda c: c | {"length_curve": {"lengths": [1]}}, "is damaged: .*deviations"),
            (lambda c: c | {"source_offsets": {"a": None}}, "is damaged: .*offset of 'a'"),
            (lambda c: {"version": 1}, "is damaged: unknown or missing: 'gauge'"),
            (lambda c: c | {"temperature": 1}, "unknown or missing: 'temperature'"),
            (lambda c: [c], "is damaged: it must be an object"),
        ],
    )
    def test_damaged(self, stored, change, message):
        config = json.loads((stored / "config.json").read_text())
        config["reward_calibration"] = change(config["reward_calibration"])
        (stored / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=message):
            CalibratedScorer.from_pretrained(str(stored))

    def test_places_without_any(self, folder, adapter, tmp_path, raw):
        with pytest.raises(
            ValueError, match="has no calibration .reward_calibration in config.json.*save_calibration"
        ):
            CalibratedScorer(raw)
        with pytest.raises(ValueError, match="is no saved model"):
            save_calibration(tmp_path, BOTH)
        with pytest.raises(TypeError, match="must be a RewardCalibration, got dict"):
            save_calibration(folder, BOTH.to_dict())
        (adapter / "reward_calibration.json").write_text('{"version": 1, ')
        with pytest.raises(ValueError, match="reward_calibration.json is damaged"):
            read_calibration(adapter)
        (adapter / "reward_calibration.json").unlink()


class TestCalibratedScorer:
    def test_equals_the_calculation_by_hand(self, raw, tokenizer, stored):
        scorer = CalibratedScorer.from_pretrained(str(stored), progress=False)
        found = scorer.score(PROMPTS, RESPONSES, sources=SOURCES)
        for rewards, responses, sources, before in zip(
            found, RESPONSES, SOURCES, raw.score(PROMPTS, RESPONSES), strict=True
        ):
            lengths = response_lengths(responses, "tokens", tokenizer)
            expected = BOTH.apply(before, sources, lengths).astype(np.float32)
            assert rewards.dtype == np.float32
            np.testing.assert_array_equal(rewards, expected)
        lengths = response_lengths(sum(RESPONSES, []), "tokens", tokenizer)
        assert scorer.report()["calibration"] == {
            **{"responses": 5, "unknown_source": 0},
            **{"shorter": int((lengths < 4).sum()), "longer": int((lengths > 9).sum())},
        }
        assert scorer.timing.responses == 5

    def test_one_source_for_all(self, raw):
        scorer = CalibratedScorer(raw, BY_SOURCE)
        found, before = scorer.score(PROMPTS, RESPONSES, sources="model-1"), raw.score(PROMPTS, RESPONSES)
        np.testing.assert_allclose(np.concatenate(found), np.concatenate(before) - 0.75, rtol=1e-6)

    def test_pairs_and_messages(self, raw, tokenizer):
        sources = {"source_chosen": ["model-0"] * 13, "source_rejected": ["model-2"] * 13}
        table = CalibratedScorer(raw, BOTH).score_dataset(pairs(13, **sources)).to_pandas()
        before = raw.score_dataset(pairs(13)).to_pandas()
        lengths = response_lengths([text for row in pairs(13) for text in (row["chosen"], row["rejected"])], "tokens", tokenizer)  # fmt: skip
        expected = BOTH.apply(before["reward"], ["model-0", "model-2"] * 13, lengths)
        np.testing.assert_array_equal(table["reward"], expected.astype(np.float32))
        chats = CalibratedScorer(raw, RewardCalibration(length_curve=CURVE)).score_dataset(chat_pairs(13)).to_pandas()
        expected = raw.score_dataset(chat_pairs(13)).to_pandas()["reward"] - CURVE(lengths)
        np.testing.assert_array_equal(chats["reward"], expected.astype(np.float32))

    def test_a_file_with_sources_that_was_interrupted(self, raw, tmp_path):
        rows, calibration = write_rows(tmp_path / "rows.jsonl", 20), BOTH
        with pytest.raises(ValueError, match=r"row 3 \(id 'q3'\): 1 of 3 responses .*source 'model-2'"):
            CalibratedScorer(raw, RewardCalibration({"model-0": 0.0, "model-1": 1.0}, "reference")).score_file(
                rows, tmp_path / "other.jsonl"
            )
        scorer = CalibratedScorer(raw, calibration)
        whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
        scorer.score_file(rows, whole, window_size=6)
        report = scorer.report()
        raw.score_file(rows, tmp_path / "raw.jsonl", window_size=6)
        lengths = response_lengths(
            [text for row in read_lines(rows) for text in row["responses"]], "tokens", raw.processing_class
        )
        before = read_lines(tmp_path / "raw.jsonl")
        expected = calibration.apply([row["reward"] for row in before], [row["source"] for row in before], lengths)
        np.testing.assert_allclose([row["reward"] for row in read_lines(whole)], expected, rtol=1e-6)

        scorer.score_file(rows, broken, window_size=6)
        meta_path = broken.with_name("broken.jsonl.meta.json")
        meta = json.loads(meta_path.read_text())
        assert meta["settings"]["calibration_sha256"] == calibration.fingerprint
        assert meta["provenance"]["calibration"] == calibration.to_dict()
        meta_path.write_text(json.dumps(meta | {"finished": False}))
        broken.write_text("".join(broken.read_text().splitlines(keepends=True)[:14]))
        with pytest.raises(ValueError, match="calibration_sha256"):
            CalibratedScorer(
                raw, RewardCalibration(OFFSETS, "sum_zero", LengthCurve((4,), (0,), "tokens"))
            ).score_file(rows, broken, window_size=6)
        scorer.score_file(rows, broken, window_size=6)
        assert read_lines(broken) == read_lines(whole) and scorer.report() == report
        scorer.score_file(rows, broken, window_size=6)  # finished: read again for the report
        assert scorer.report() == report

    def test_what_is_refused(self, raw):
        with pytest.raises(
            ValueError, match="prompt 1: 1 of 3 responses have a source without an offset; first: row 1"
        ):
            CalibratedScorer(raw, BY_SOURCE).score(
                PROMPTS, RESPONSES, sources=[SOURCES[0], ["model-0", "gpt", "model-1"]]
            )
        with pytest.raises(ValueError, match="prompt 0: 2 of 2 responses have a source without an offset"):
            CalibratedScorer(raw, BY_SOURCE).score(PROMPTS, RESPONSES)
        with pytest.raises(ValueError, match="an entry for each of the 3"):
            CalibratedScorer(raw, BY_SOURCE).score(PROMPTS, RESPONSES, sources=[SOURCES[0], ["model-0"]])
        implicit = Dataset.from_dict({"chosen": ["Q: a"], "rejected": ["Q: b"]})
        with pytest.raises(ValueError, match="dataset, row 0: the responses contain the prompt"):
            CalibratedScorer(raw, RewardCalibration(length_curve=CURVE)).score_dataset(implicit)
        with pytest.raises(ValueError, match="`unknown_source` must be one of"):
            CalibratedScorer(raw, BY_SOURCE, unknown_source="ignore")
        with pytest.raises(TypeError, match="must be a scorer"):
            CalibratedScorer(raw.model, BY_SOURCE)

    def test_other_scorers(self, raw, tokenizer):
        other = RewardScorer(tiny_reward_model(tokenizer, 1), tokenizer)
        ensemble = EnsembleScorer([raw, other], normalize=False)
        with pytest.raises(ValueError, match="an EnsembleScorer has no model|a EnsembleScorer has no model"):
            CalibratedScorer(ensemble)
        with pytest.raises(ValueError, match="the scorer has no tokenizer"):
            CalibratedScorer(ensemble, BOTH)
        scorer = CalibratedScorer(ensemble, BOTH, processing_class=tokenizer)
        lengths = response_lengths(RESPONSES[0], "tokens", tokenizer)
        np.testing.assert_allclose(
            scorer.score(PROMPTS[:1], RESPONSES[:1], sources=SOURCES[:1])[0],
            BOTH.apply(ensemble.score(PROMPTS[:1], RESPONSES[:1])[0], SOURCES[0], lengths),
            rtol=1e-6,
        )

    def test_command_line(self, stored, tmp_path, capsys):
        rows = write_rows(tmp_path / "rows.jsonl", 5)
        arguments = ["--model", str(stored), "--input", str(rows), "--no-progress"]
        raw, calibrated = tmp_path / "raw.jsonl", tmp_path / "calibrated.jsonl"
        assert main([*arguments, "--output", str(raw)]) == 0
        assert main([*arguments, "--output", str(calibrated), "--calibrated"]) == 0
        assert main([*arguments, "--output", str(tmp_path / "x.jsonl"), "--unknown-source", "zero"]) == 1
        assert "--calibrated" in capsys.readouterr().err
        before, after = ([row["reward"] for row in read_lines(path)] for path in (raw, calibrated))
        assert len(before) == len(after) and not np.allclose(before, after)

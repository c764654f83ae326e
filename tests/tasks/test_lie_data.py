import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset

from tasks.rapl import build_lie
from tasks.rapl.lie_data import (
    CALIBRATED_ARMS,
    NORMALIZED_ARMS,
    add_normalized_columns,
    find_lie_files,
    grouped_folds,
    load_lie_preferences,
    load_lie_test,
    locate_lie_test,
    question_id,
    read_full_train,
    read_lie_pairs,
    to_preferences,
)
from trl_ext.evaluation import lie_weights
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS


@pytest.fixture(scope="session")
def rapl_dir(shared_dir) -> Path:
    path = shared_dir / "data" / "rapl"
    if not (path / "LIE").is_dir():
        pytest.skip(f"no RAPL data files at {path}")
    return path


@pytest.fixture(scope="session")
def golden_folds(shared_dir) -> list[dict]:
    return json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["lie_folds"]["folds"]


def make_pairs(n_questions=6, variants=2) -> pd.DataFrame:
    """Pairs in the columns of the original, with texts of our own."""
    rows = []
    for question in range(n_questions):
        prompt = f"Human: What is {question}?"
        for variant in range(variants):
            number = question * variants + variant
            rows.append(
                {
                    "prompt": prompt,
                    "chosen": f"{prompt}\n\nAssistant: It is {number}.",
                    "rejected": f"{prompt}\n\nAssistant: It is not {number}, they say.",
                    "chosen_type": "correct_concise",
                    "rejected_type": "incorrect_detailed",
                    "correct_chosen": 1,
                    "IDs": 1000 + number,
                    "confidence_scores": number % 4 / 3,
                    "raw_decision_time": float(number),
                    "raw_number_of_clicks": 1.0 + number,
                    "my_metric": 0.25,
                    "scratch_space": "free text",
                    "categories": "Numbers",
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture
def small_clone(tmp_path) -> Path:
    """A clone in the original's layout with one fold."""
    data = tmp_path / "clone" / "RAPL" / "datasets"
    (data / "LIE" / "folds").mkdir(parents=True)
    (data / "TRUE" / "no_repeats").mkdir(parents=True)
    pairs = make_pairs()
    pairs.iloc[:8].to_csv(data / "LIE" / "folds" / "LIE_train_0.csv", index=False)
    pairs.iloc[8:].to_csv(data / "LIE" / "folds" / "LIE_val_0.csv", index=False)
    answers = {kind: ["Human: Why?\n\nAssistant: " + kind] for kind in RESPONSE_KINDS}
    pd.DataFrame({"categories": ["Numbers"], "prompt": ["Why?"], **answers}).to_csv(
        data / "LIE" / "LIE_dataset_test.csv", index=False
    )
    rng = np.random.default_rng(0)
    calibration = {name: rng.random(20) for name in CALIBRATED_ARMS}
    pd.DataFrame({**calibration, "correct_chosen": np.arange(20) % 3 > 0}).to_csv(
        data / "TRUE" / "no_repeats" / "cal_single_0.csv", index=False
    )
    return tmp_path / "clone"


class TestFindLieFiles:
    @pytest.mark.parametrize("folder", [".", "RAPL/datasets", "RAPL/datasets/LIE"])
    def test_accepts_clone_parent_and_folder_itself(self, small_clone, folder):
        files = find_lie_files(small_clone / folder)
        assert files.train.resolve() == (small_clone / "RAPL/datasets/LIE/folds/LIE_train_0.csv").resolve()
        assert files.calibration.name == "cal_single_0.csv"

    def test_missing_calibration_is_none(self, small_clone):
        shutil.rmtree(small_clone / "RAPL/datasets/TRUE")
        assert find_lie_files(small_clone).calibration is None

    def test_says_where_it_looked(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no LIE folds under.*looked for.*datasets.LIE.*clone of"):
            find_lie_files(tmp_path)

    def test_names_missing_files(self, small_clone):
        with pytest.raises(FileNotFoundError, match="LIE_train_3.csv.*LIE_val_3.csv"):
            find_lie_files(small_clone, fold=3)

    @pytest.mark.parametrize("fold", [-1, 5, "0"])
    def test_refuses_other_folds(self, small_clone, fold):
        with pytest.raises(ValueError, match="fold must be from 0 to 4"):
            find_lie_files(small_clone, fold=fold)

    def test_not_a_directory(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="is not a directory"):
            find_lie_files(tmp_path / "nowhere")


class TestLocateLieTest:
    @pytest.mark.parametrize("folder", ["", "folds", "folds/deeper"])
    def test_looks_up_to_two_folders_above(self, tmp_path, folder):
        (tmp_path / "LIE_dataset_test.csv").touch()
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        assert locate_lie_test(tmp_path / folder / "train.csv") == (tmp_path / "LIE_dataset_test.csv").resolve()

    def test_not_three_folders_above(self, tmp_path):
        (tmp_path / "LIE_dataset_test.csv").touch()
        with pytest.raises(FileNotFoundError, match="no LIE_dataset_test.csv in .*lie_data_dir"):
            locate_lie_test(tmp_path / "a/b/c/train.csv")


class TestPreferences:
    def test_splits_at_the_answer(self):
        row = to_preferences(make_pairs())[1]
        assert row["prompt"] == "Human: What is 0?\n\nAssistant:"
        assert row["chosen"] == " It is 1."
        assert row["rejected"] == " It is not 1, they say."
        assert row["id"] == 1001
        assert row["question_id"] == question_id("What is 0?")
        assert row["my_metric"] == 0.25
        assert "scratch_space" not in row

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("Human: What is 9?\n\nAssistant: It is 1.", "column 'rejected', row 2.*does not start with its prompt"),
            ("It is 1.", "does not start with its prompt"),
            ("Human: What is 1?\n\nAssistant:  ", "column 'rejected', row 2: no answer"),
        ],
    )
    def test_refuses_texts_that_do_not_split(self, text, message):
        pairs = make_pairs()
        pairs.loc[2, "rejected"] = text
        with pytest.raises(ValueError, match=message):
            to_preferences(pairs)

    def test_names_missing_columns(self, tmp_path):
        make_pairs().drop(columns=["raw_decision_time", "IDs"]).to_csv(tmp_path / "pairs.csv")
        with pytest.raises(ValueError, match=r"pairs.csv' lacks the columns \['IDs', 'raw_decision_time'\]"):
            load_lie_preferences(tmp_path / "pairs.csv")

    def test_names_empty_texts(self, tmp_path):
        pairs = make_pairs()
        pairs.loc[3, "chosen"] = None
        pairs.to_csv(tmp_path / "pairs.csv")
        with pytest.raises(ValueError, match="column 'chosen' has 1 empty texts; first: row 3"):
            load_lie_preferences(tmp_path / "pairs.csv")

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="pairs.csv"):
            load_lie_preferences(tmp_path / "pairs.csv")

    @pytest.mark.parametrize("fold", range(5))
    def test_real_pairs_join_to_the_original_text(self, rapl_dir, fold):
        files = find_lie_files(rapl_dir, fold)
        for path in (files.train, files.val):
            original, dataset = read_lie_pairs(path), load_lie_preferences(path)
            for side in ("chosen", "rejected"):
                joined = [p + a for p, a in zip(dataset["prompt"], dataset[side], strict=True)]
                assert joined == original[side].tolist()
            assert dataset["id"][:] == original["IDs"].tolist()
            for column in (*CALIBRATED_ARMS, "90_percent_p", "TRUE_probability_correct"):
                assert dataset[column][:] == original[column].tolist()


class TestLieTest:
    def test_forty_questions_with_four_different_rows(self, rapl_dir):
        path = find_lie_files(rapl_dir).test
        dataset, original = load_lie_test(path), pd.read_csv(path)
        frame = dataset.to_pandas()
        assert frame.groupby("question_id").size().tolist() == [4] * 40
        assert not frame.duplicated(["question_id", "correct_concise"]).any()
        for kind in RESPONSE_KINDS:
            assert (frame["prompt"] + frame[kind]).tolist() == original[kind].tolist()

    def test_shares_no_question_with_the_training_data(self, rapl_dir):
        test = set(load_lie_test(find_lie_files(rapl_dir).test)["question_id"])
        assert not test & set(read_full_train(rapl_dir)["prompt"].map(question_id))

    def test_text_length_rule(self, rapl_dir):
        # figures of the original program; its rule, found by matching them: characters / 100, plus 0.5 when correct
        frame = load_lie_test(find_lie_files(rapl_dir).test).to_pandas()
        rewards = {
            kind: (frame["prompt"] + frame[kind]).str.len() / 100 + 0.5 * kind.startswith("correct")
            for kind in RESPONSE_KINDS
        }
        weights = lie_weights(rewards, clusters=frame["question_id"])
        assert weights.length_weight.value == pytest.approx(2.87684375, abs=1e-9)
        assert weights.correctness_weight.value == pytest.approx(0.05196875, abs=1e-9)
        assert weights.ratio.value == pytest.approx(0.01806450, abs=1e-8)
        assert weights.n_clusters == 40


class TestGroupedFolds:
    def test_no_question_on_both_sides(self):
        pairs = make_pairs(n_questions=11, variants=4)
        seen = []
        for train, val in grouped_folds(pairs, n_folds=5, seed=1):
            assert not set(pairs["prompt"].iloc[train]) & set(pairs["prompt"].iloc[val])
            assert len(train) + len(val) == len(pairs)
            seen.extend(val)
        assert sorted(seen) == list(range(len(pairs)))

    def test_seed_decides(self):
        pairs = make_pairs(n_questions=20)
        first, again, other = (next(grouped_folds(pairs, seed=seed))[1].tolist() for seed in (1, 1, 2))
        assert first == again != other

    def test_the_original_folds_do_not(self, rapl_dir):
        for fold in range(5):
            files = find_lie_files(rapl_dir, fold)
            train, val = read_lie_pairs(files.train), read_lie_pairs(files.val)
            assert val["prompt"].isin(train["prompt"]).mean() >= 0.94


def summarise(values: np.ndarray) -> dict[str, float]:
    values = np.asarray(values, dtype=np.float64)
    return {"mean": values.mean(), "min": values.min(), "max": values.max(), "sum_sq": np.square(values).sum()}


def original_weights(values: np.ndarray, is_prob: bool) -> dict[str, np.ndarray]:
    """β, p and margin of the original conversion, in the original's float32."""
    if not is_prob:
        return {"beta": values, "p": values, "margin": values}
    pc = values.astype(np.float32)
    logit = np.log(pc / (1 - pc))
    margin = np.where(pc <= 0.5, np.float32(1), np.maximum(0, 1 - logit))
    return {"beta": np.maximum(0, logit), "p": np.maximum(0, 2 * pc - 1), "margin": margin}


class TestNormalizedColumns:
    @pytest.mark.parametrize("fold", range(5))
    def test_reproduces_the_columns_of_the_original(self, rapl_dir, fold):
        files = find_lie_files(rapl_dir, fold)
        shipped = read_lie_pairs(files.train), read_lie_pairs(files.val)
        computed_columns = [*NORMALIZED_ARMS, *(f"TRUE_calibrated_{name}" for name in CALIBRATED_ARMS)]
        blank = [frame.drop(columns=computed_columns) for frame in shipped]
        for ours, theirs in zip(add_normalized_columns(*blank, files.calibration), shipped, strict=True):
            for column in computed_columns:
                np.testing.assert_allclose(ours[column], theirs[column], rtol=0, atol=1e-9, err_msg=column)

    def test_golden_weights(self, rapl_dir, golden_folds):
        assert [case["fold"] for case in golden_folds] == [0, 2, 4]
        for case in golden_folds:
            files = find_lie_files(rapl_dir, case["fold"])
            frames = add_normalized_columns(read_lie_pairs(files.train), read_lie_pairs(files.val), files.calibration)
            for split, frame in zip(("train", "val"), frames, strict=True):
                for column, expected in case[f"weights_{split}"].items():
                    weights = original_weights(frame[column].to_numpy(), expected["is_prob"])
                    for method, values in weights.items():
                        # float32 rounding of a logarithm may differ between programs
                        tolerance = 1e-6 if expected["is_prob"] else 1e-9
                        assert summarise(values) == pytest.approx(expected[method], rel=tolerance, abs=tolerance)
                shuffled = frame.sample(frac=1, random_state=42)["IDs"].tolist()
                assert shuffled[:12] == case[f"first_IDs_after_shuffle_seed42_{split}"]

    def test_warns_about_values_outside_the_training_range(self, rapl_dir, caplog):
        files = find_lie_files(rapl_dir, 2)
        with caplog.at_level(logging.WARNING):
            add_normalized_columns(read_lie_pairs(files.train), read_lie_pairs(files.val), files.calibration)
        assert "number_of_clicks: 1 of 200 normalised values lie outside [0, 1]" in caplog.text

    def test_leaves_its_input_alone(self, small_clone):
        files = find_lie_files(small_clone)
        train, val = read_lie_pairs(files.train), read_lie_pairs(files.val)
        add_normalized_columns(train, val, files.calibration)
        assert "decision_time" not in train


class TestBuildLie:
    @pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
    def test_files_hold_what_the_loader_gives(self, rapl_dir, tmp_path, format):
        out = tmp_path / "out"
        build_lie.main([f"--lie_data_dir={rapl_dir}", f"--output_dir={out}", "--fold=2", f"--format={format}"])
        path = out / "folds" / f"LIE_val_2.{format}"
        loader = {"csv": "csv", "jsonl": "json", "parquet": "parquet"}[format]
        read = load_dataset(loader, data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train").to_pandas()
        expected = load_lie_preferences(find_lie_files(rapl_dir, 2).val).to_pandas()
        assert sorted(read) == sorted(expected)
        pd.testing.assert_frame_equal(read[list(expected)], expected, check_dtype=False, rtol=0, atol=1e-12)
        assert sorted(p.name for p in out.iterdir()) == ["LIE_dataset_test.csv", "build_lie.json", "folds"]

    def test_output_is_a_lie_data_dir(self, rapl_dir, tmp_path, capsys):
        build_lie.main([f"--lie_data_dir={rapl_dir}", f"--output_dir={tmp_path}", "--grouped"])
        assert "LIE_train_4.csv: 800 pairs, 200 questions" in capsys.readouterr().out
        files = find_lie_files(tmp_path, 4)
        train, val = load_lie_preferences(files.train), load_lie_preferences(files.val)
        assert not set(train["question_id"]) & set(val["question_id"])
        original = load_lie_preferences(find_lie_files(rapl_dir, 4).train)
        assert dict(train.features) == {name: original.features[name] for name in train.column_names}
        assert max(train["decision_time"]) == 1
        assert locate_lie_test(files.train) == files.test.resolve()

    def test_later_runs_add_folds_of_the_same_kind_only(self, rapl_dir, tmp_path, capsys):
        arguments = [f"--lie_data_dir={rapl_dir}", f"--output_dir={tmp_path}"]
        build_lie.main([*arguments, "--fold=0"])
        build_lie.main([*arguments, "--fold=1"])
        assert len(json.loads((tmp_path / "build_lie.json").read_text())["files"]) == 4
        with pytest.raises(SystemExit):
            build_lie.main([*arguments, "--fold=2", "--grouped"])
        assert "holds folds built with {'grouped': False, 'seed': None}" in capsys.readouterr().err

    def test_refuses_to_overwrite_the_original(self, small_clone, capsys):
        lie = small_clone / "RAPL/datasets/LIE"
        before = (lie / "folds/LIE_train_0.csv").read_bytes()
        with pytest.raises(SystemExit):
            build_lie.main([f"--lie_data_dir={small_clone}", f"--output_dir={lie}", "--fold=0"])
        assert "is the original LIE folder" in capsys.readouterr().err
        assert (lie / "folds/LIE_train_0.csv").read_bytes() == before

    def test_failure_leaves_no_half_written_file(self, small_clone, tmp_path, monkeypatch):
        def write_half(dataset, path):
            path.write_text("half")
            raise OSError("disk full")

        monkeypatch.setitem(build_lie.WRITERS, "csv", write_half)
        with pytest.raises(SystemExit):
            build_lie.main([f"--lie_data_dir={small_clone}", f"--output_dir={tmp_path / 'out'}", "--fold=0"])
        assert list((tmp_path / "out" / "folds").iterdir()) == []

    def test_runs_as_a_script_with_a_clear_error(self, tmp_path):
        script = Path(build_lie.__file__)
        result = subprocess.run(
            [sys.executable, str(script), "--lie_data_dir", str(tmp_path), "--output_dir", str(tmp_path / "out")],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert result.returncode == 2
        assert "error: no LIE folds under" in result.stderr
        assert "Traceback" not in result.stderr

"""Reliability columns and weights of LIE against the figures of the original program, figure by figure."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.rapl.lie_data import (
    CALIBRATED_ARMS,
    N_FOLDS,
    NORMALIZED_ARMS,
    add_normalized_columns,
    find_lie_files,
    read_lie_pairs,
)
from tasks.rapl.true_data import CONFIDENCE_LEVELS, load_true_split
from trl_ext.reliability import reliability_to_beta, reliability_to_margin, reliability_to_p
from trl_ext.reliability.calibrators import PlattCalibrator
from trl_ext.reliability.normalizers import ArmNormalizer


CONVERSIONS = {"beta": reliability_to_beta, "p": reliability_to_p, "margin": reliability_to_margin}


@pytest.fixture(scope="module")
def root(shared_dir) -> Path:
    path = shared_dir / "data" / "rapl"
    if not (path / "LIE").is_dir():
        pytest.skip(f"no RAPL data files at {path}")
    return path


@pytest.fixture(scope="module")
def golden(shared_dir) -> list[dict]:
    return json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["lie_folds"]["folds"]


def read_fold(root, fold):
    files = find_lie_files(root, fold)
    return read_lie_pairs(files.train), read_lie_pairs(files.val)


def in_float32(p_correct: np.ndarray) -> dict[str, np.ndarray]:
    """The conversion formulas in the precision of the original, which converts P(correct) to float32 first."""
    p = torch.tensor(p_correct, dtype=torch.float32)
    logit = torch.special.logit(p, eps=1e-7)
    weights = {
        "beta": logit.clamp(min=0),
        "p": (2 * p - 1).clamp(min=0),
        "margin": torch.where(p <= 0.5, torch.ones_like(p), (1 - logit).clamp(min=0)),
    }
    return {name: values.numpy().astype(np.float64) for name, values in weights.items()}


def summarise(values):
    return {"mean": values.mean(), "min": values.min(), "max": values.max(), "sum_sq": np.square(values).sum()}


def test_range_of_each_normaliser(root, golden):
    for case in golden:
        train, _ = read_fold(root, case["fold"])
        for column, expected in case["normalisation_from_train"].items():
            normalizer = ArmNormalizer.fit(train[NORMALIZED_ARMS[column]])
            assert normalizer.log_min == pytest.approx(expected["log1p_min"], abs=1e-12)
            assert normalizer.log_max == pytest.approx(expected["log1p_max"], abs=1e-12)


def test_slope_and_intercept_of_each_calibrator(root, golden):
    for case in golden:
        cal = load_true_split(root, "cal", case["fold"])
        assert case["calibrators"].keys() == set(CALIBRATED_ARMS)
        for column, expected in case["calibrators"].items():
            calibrator = PlattCalibrator().fit(cal[column], cal["correct_chosen"])
            assert calibrator.coef == pytest.approx(expected["coef"], abs=1e-9)
            assert calibrator.intercept == pytest.approx(expected["intercept"], abs=1e-9)


def test_weights_of_all_eight_columns(root, golden):
    for case in golden:
        files = find_lie_files(root, case["fold"])
        frames = add_normalized_columns(*read_fold(root, case["fold"]), files.calibration)
        for split, frame in zip(("train", "val"), frames, strict=True):
            assert len(case[f"weights_{split}"]) == 8
            for column, expected in case[f"weights_{split}"].items():
                values = frame[column].to_numpy()
                original = in_float32(values) if expected["is_prob"] else dict.fromkeys(CONVERSIONS, values)
                for method, convert in CONVERSIONS.items():
                    assert summarise(original[method]) == pytest.approx(expected[method], rel=1e-9, abs=1e-9)
                    if expected["is_prob"]:
                        # ours stay in float64; the original rounded P(correct) to float32
                        np.testing.assert_allclose(convert(values), original[method], rtol=0, atol=1e-6)


@pytest.mark.parametrize("fold", range(N_FOLDS))
def test_confidence_has_the_levels_of_the_survey_scale(root, fold):
    # the answers on the 8-point scale were not shipped, so this column cannot be derived from another
    for frame in read_fold(root, fold):
        distance = np.abs(frame["confidence_scores"].to_numpy()[:, None] - CONFIDENCE_LEVELS).min(axis=1)
        assert distance.max() < 1e-9


def test_probability_of_the_true_model_is_the_same_in_every_fold(root):
    # mean of models that were not shipped: given on, not derived
    values = {}
    for fold in range(N_FOLDS):
        for frame in read_fold(root, fold):
            for pair, probability in zip(frame["IDs"], frame["TRUE_probability_correct"], strict=True):
                assert values.setdefault(pair, probability) == pytest.approx(probability, abs=1e-12)
    assert len(values) == 1000

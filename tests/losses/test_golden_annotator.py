"""Agreement of the losses on noisy and soft labels with numbers of the annotator-monitoring programs, per pair."""

import json
import math

import pytest
import torch

from trl_ext.losses import (
    BradleyTerryLoss,
    BradleyTerryTiesLoss,
    HingeLoss,
    LabelSmoothingLoss,
    OrdinalLoss,
    SoftLabelLoss,
)


@pytest.fixture(scope="module")
def cases(shared_dir):
    cases = json.loads((shared_dir / "golden" / "annotator.json").read_text())["trainer_losses"]
    assert len(cases) == 2
    return cases


def tensors(case, *names):
    return [torch.tensor(case[name], dtype=torch.float64) for name in names]


def test_bradley_terry(cases):
    for case in cases:
        chosen, rejected = tensors(case, "rj", "rk")
        assert BradleyTerryLoss()(chosen, rejected).mean().item() == pytest.approx(case["bt_vanilla"], rel=1e-9)


def test_soft_labels(cases):
    for case in cases:
        chosen, rejected, label = tensors(case, "rj", "rk", "p")
        found = SoftLabelLoss()(chosen, rejected, label=label).mean().item()
        assert found == pytest.approx(case["soft_bt_correct"], rel=1e-9)
        if len(label) > 1:  # the original broadcasts (B, 1) rewards against (B,) labels
            assert abs(found - case["soft_bt_original_broadcast_bug"]) > 0.1


def test_soft_labels_from_oracle_scores(cases):
    for case in cases:
        chosen, rejected, score, other = tensors(case, "rj", "rk", "sj", "sk")
        found = SoftLabelLoss()(chosen, rejected, label=torch.sigmoid(score - other)).mean().item()
        assert found == pytest.approx(case["metric_oracle_CE_loss"], abs=1e-6)  # the original computes it in float32


def test_the_floor_is_reached_at_the_oracle_scores(cases):
    for case in cases:
        score, other = tensors(case, "sj", "sk")
        found = SoftLabelLoss()(score, other, label=torch.sigmoid(score - other)).mean().item()
        assert found == pytest.approx(case["oracle_entropy_floor"], rel=1e-9)


def test_label_smoothing_of_a_single_label(cases):
    (case,) = (case for case in cases if len(case["p"]) == 1)
    chosen, rejected = tensors(case, "rj", "rk")
    found = LabelSmoothingLoss(epsilon=1 - case["p"][0])(chosen, rejected).mean().item()
    assert found == pytest.approx(case["soft_bt_correct"], rel=1e-9)


def settings_of(case, prefix):
    """Values of the setting for which the case has a correct figure: `hinge_delta1.0_correct` -> 1.0."""
    names = [name for name in case if name.startswith(prefix) and name.endswith("_correct")]
    assert len(names) >= 2
    return {float(name.removeprefix(prefix).removesuffix("_correct")): name.removesuffix("_correct") for name in names}


def test_hinge(cases):
    for case in cases:
        chosen, rejected, label = tensors(case, "rj", "rk", "p")
        for margin, name in settings_of(case, "hinge_delta").items():
            found = HingeLoss(margin)(chosen, rejected, label=label).mean().item()
            assert found == pytest.approx(case[f"{name}_correct"], rel=1e-9)
            if len(label) > 1:
                assert abs(found - case[f"{name}_original_broadcast_bug"]) > 0.1


def test_hinge_from_oracle_scores(cases):
    for case in cases:
        chosen, rejected, score, other = tensors(case, "rj", "rk", "sj", "sk")
        found = HingeLoss(1.0)(chosen, rejected, label=torch.sigmoid(score - other)).mean().item()
        assert found == pytest.approx(case["metric_oracle_ML_loss_delta1"], abs=1e-6)  # in float32 there


def test_ties(cases):
    for case in cases:
        chosen, rejected, score, other = tensors(case, "rj", "rk", "sj", "sk")
        label = (torch.sign(score - other) + 1) / 2
        for theta, name in settings_of(case, "btt_theta").items():
            found = BradleyTerryTiesLoss(theta)(chosen, rejected, label=label)
            # the original adds 1e-7 to each probability
            assert found.mean().item() == pytest.approx(case[f"{name}_correct"], rel=1e-6)
            added = -torch.log(torch.exp(-found) + 1e-7)
            assert added.mean().item() == pytest.approx(case[f"{name}_correct"], rel=1e-9)
            ordinal = OrdinalLoss(thresholds=[math.log(theta)])(chosen, rejected, label=label)
            torch.testing.assert_close(ordinal, found, rtol=1e-12, atol=0)

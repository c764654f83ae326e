"""Agreement of the losses on noisy and soft labels with numbers of the annotator-monitoring programs, per pair."""

import json

import pytest
import torch

from trl_ext.losses import BradleyTerryLoss, LabelSmoothingLoss, SoftLabelLoss


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

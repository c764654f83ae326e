"""Win-rate matching has the same gradients on one process and on two."""

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed.match_win_rates import RUNS, gradients
from tests.processes import ROOT, launch


STEPS = {"batch": 3, "human": 4, "running": 2, "kl": 3}
OTHERS = [name for name in RUNS if name != "human"]


@pytest.fixture(
    scope="module", params=[["human"], pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["human", "others"]
)
def found(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    launch("cpu_2proc.yaml", ROOT / "tests" / "distributed" / "match_win_rates.py", folder / "two", *request.param)
    return request.param, gradients(folder, 1, request.param), load_file(folder / "two.0"), load_file(folder / "two.1")


def test_gradients_are_the_same_in_every_step(found):
    runs, one, two, other = found
    for run in runs:
        steps = [name for name in one if name.startswith(f"{run}.gradient")]
        assert len(steps) == STEPS[run]
        for step in steps:
            assert one[step].abs().max() > 1e-4
            torch.testing.assert_close(two[step], one[step], atol=2e-5 * one[step].abs().max().item(), rtol=0)
            assert torch.equal(two[step], other[step])


def test_losses_metrics_and_running_rates_are_the_same(found):
    runs, one, two, other = found
    for name in (name for name in one if "gradient" not in name):
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=1e-5, equal_nan=True)
    for run in runs:
        torch.testing.assert_close(two[f"{run}.running"], other[f"{run}.running"], atol=0, rtol=0, equal_nan=True)

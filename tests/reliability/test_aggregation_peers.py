"""Against crowd-kit, where it is installed. It is no dependency."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from trl_ext.reliability.aggregation import (
    dawid_skene,
    glad,
    noisy_bradley_terry,
    simulate_comparisons,
    simulate_votes,
)


crowdkit = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is not installed: pip install crowd-kit")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SKILLS = np.array([0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.2])
NAMES = {"item_id": "task", "annotator_id": "worker"}


@pytest.mark.parametrize("seed", range(3))
def test_one_coin(seed):
    table, _ = simulate_votes(SKILLS, 500, 4, seed=seed)
    peer = crowdkit.OneCoinDawidSkene(n_iter=10000, tol=1e-12).fit(table.rename(columns=NAMES))
    ours = dawid_skene(table, smoothing=0, tol=1e-10)
    annotators, items = ours.annotators.set_index("annotator_id"), ours.items.set_index("item_id")
    np.testing.assert_allclose(annotators["skill"], peer.skills_[annotators.index], atol=1e-3)
    np.testing.assert_allclose(items["probability"], peer.probas_.loc[items.index, 1], atol=1e-2)
    assert (items["label"] == peer.labels_[items.index]).all()


@pytest.mark.parametrize("seed", range(3))
def test_two_coins(seed):
    """
    The peer stops when its lower bound falls, in which the prior is counted once for every vote instead of once for every
    item: often some iterations too early, hence the tolerance. Our likelihood is at least as high.
    """
    table, _ = simulate_votes(SKILLS, 1000, 4, seed=seed)
    peer = crowdkit.DawidSkene(n_iter=10000, tol=1e-12).fit(table.rename(columns=NAMES))
    ours = dawid_skene(table, model="two_coin", smoothing=0, tol=1e-10)
    annotators, items = ours.annotators.set_index("annotator_id"), ours.items.set_index("item_id")
    sensitivity = peer.errors_[1].xs(1, level="label")[annotators.index]
    specificity = peer.errors_[0].xs(0, level="label")[annotators.index]
    np.testing.assert_allclose(annotators["sensitivity"], sensitivity, atol=0.01)
    np.testing.assert_allclose(annotators["specificity"], specificity, atol=0.01)
    assert (items["label"] == peer.labels_[items.index]).mean() > 0.99


def test_glad():
    """The peer's objective is that of `difficulty="mode"`."""
    table, _ = simulate_votes(SKILLS, 60, 4, seed=0, difficulty_sd=1.0)
    peer = crowdkit.GLAD(n_iter=300, tol=1e-9, m_step_max_iter=200, m_step_tol=1e-8).fit(table.rename(columns=NAMES))
    mode, integrated = glad(table, difficulty="mode", tol=1e-13), glad(table)
    annotators, items = mode.annotators.set_index("annotator_id"), mode.items.set_index("item_id")
    np.testing.assert_allclose(annotators["ability"], peer.alphas_[annotators.index], atol=5e-3)
    np.testing.assert_allclose(-np.log(items["difficulty"]), peer.betas_[items.index], atol=5e-3)
    clear = (items["probability"] - 0.5).abs() > 0.01
    assert (items["label"] == peer.labels_[items.index])[clear].all()
    assert spearmanr(integrated.annotators["ability"], annotators["ability"])[0] > 0.9


def test_noisy_bradley_terry():
    """
    Scores are ordered alike. Skills can't agree: the peer's gradient assigns where it must add over votes, so its skills
    and biases are those of no optimum (planted commitments from 0.95 to −0.4 come out without their order).
    """
    scores, etas = np.random.default_rng(0).normal(0, 1.5, 20), [0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1, -0.4]
    table = simulate_comparisons(scores, etas, 600, 4, seed=0)
    peer_table = table.rename(columns={"annotator_id": "worker", "response_a": "left", "response_b": "right"})
    peer_table["label"] = np.where(table["label"] == 1, table["response_a"], table["response_b"])
    peer = crowdkit.NoisyBradleyTerry(n_iter=300).fit(peer_table)
    ours = noisy_bradley_terry(table)
    responses = ours.responses.set_index("response_id").sort_index()
    assert spearmanr(responses["score"], peer.scores_[responses.index])[0] > 0.85
    assert spearmanr(responses["score"], scores)[0] >= spearmanr(peer.scores_[responses.index], scores)[0]
    eta = ours.annotators.set_index("annotator_id").sort_index()["eta"]
    assert spearmanr(eta, etas)[0] > 0.9

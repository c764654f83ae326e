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
@pytest.mark.parametrize("model", ["one_coin", "two_coin"])
def test_dawid_skene(model, seed):
    """
    After as many iterations the figures are the same. At convergence they differ in the third decimal: the peer stops when
    its lower bound falls, in which the prior is counted once for every vote instead of once for every item, and that is
    often before the likelihood has its maximum. The peer has no smoothing.
    """
    table, _ = simulate_votes(SKILLS, 500, 4, seed=seed)
    kind = crowdkit.OneCoinDawidSkene if model == "one_coin" else crowdkit.DawidSkene
    peer = kind(n_iter=1000, tol=1e-12).fit(table.rename(columns=NAMES))

    def fit(**settings):
        result = dawid_skene(table, model=model, smoothing=0, **settings)
        return result.annotators.set_index("annotator_id"), result.items.set_index("item_id")

    def check(annotators, atol):
        if model == "one_coin":
            np.testing.assert_allclose(annotators["skill"], peer.skills_[annotators.index], atol=atol)
            return
        for name, label in (("sensitivity", 1), ("specificity", 0)):
            expected = peer.errors_[label].xs(label, level="label")[annotators.index]
            np.testing.assert_allclose(annotators[name], expected, atol=atol)

    iterations = len(peer.loss_history_)
    _, items = fit(max_iter=iterations, tol=1e-300)
    np.testing.assert_allclose(items["probability"], peer.probas_.loc[items.index, 1], atol=1e-6)
    assert (items["label"] == peer.labels_[items.index]).all()
    check(fit(max_iter=iterations + 1, tol=1e-300)[0], 1e-6)

    annotators, items = fit(tol=1e-10)
    check(annotators, 0.02)
    assert (items["label"] == peer.labels_[items.index]).mean() > 0.98


def test_glad():
    """The peer's objective is that of `difficulty="mode"`."""
    table, _ = simulate_votes(SKILLS, 40, 4, seed=0, difficulty_sd=1.0)
    peer = crowdkit.GLAD(n_iter=60, tol=1e-9, m_step_max_iter=40, m_step_tol=1e-6).fit(table.rename(columns=NAMES))
    mode, integrated = glad(table, difficulty="mode", tol=1e-13), glad(table)
    annotators, items = mode.annotators.set_index("annotator_id"), mode.items.set_index("item_id")
    np.testing.assert_allclose(annotators["ability"], peer.alphas_[annotators.index], atol=0.03)
    np.testing.assert_allclose(-np.log(items["difficulty"]), peer.betas_[items.index], atol=0.03)
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

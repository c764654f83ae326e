"""Annotator model and bounds: golden numbers, hand computations, properties."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers
from scipy import stats
from scipy.special import expit, ndtri

from trl_ext.annotators import (
    agreement_probability,
    error_lower_bound,
    expert_c,
    expert_c_items,
    fano_error_bound,
    fisher_information,
    kl_divergence,
    maximal_information,
    minimax_error_bound,
    most_informative_prior,
    mutual_information,
    preference_label_probability,
    samples_until_error,
    self_consistency_c,
)


SCALES = {"syn_pku": 0.4, "syn_helpsteer": 1.0, "syn_ultra": 1.6, "syn_sky": 3.5}


def probabilities(name):
    return expit(SCALES[name] * ndtri((np.arange(2000) + 0.5) / 2000))


def expert_of(mode):
    return "p" if mode == "random" else mode


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())


class TestGolden:
    def test_c_of_the_synthetic_sets(self, golden):
        for name, case in golden["datasets"].items():
            p = probabilities(name)
            assert expert_c(p) == pytest.approx(case["cbar_pe1"], rel=1e-9)
            assert expert_c(p, 0.8) == pytest.approx(case["cbar_pe08"], rel=1e-9)
            assert expert_c(p, "p") == pytest.approx(case["cbar_pe_equal_p"], rel=1e-9)

    def test_model(self, golden):
        for case in golden["annotator_model"]:
            c = self_consistency_c(case["delta"]) if case["monitor"] == "self" else case["c"]
            assert c == pytest.approx(case["c"], rel=1e-9)
            assert agreement_probability(case["eta"], c) == pytest.approx(case["agree_prob"], rel=1e-9)
            assert fisher_information(case["eta"], c) == pytest.approx(float(case["fisher_info_per_sample"]), rel=1e-9)

    def test_divergence_and_lower_bounds(self, golden):
        for case in golden["section3_KL"]:
            c = expert_c_items(probabilities(case["dataset"]), expert_of(case["expert_mode"]))
            kl = kl_divergence(case["eta0"], case["eta1"], c, floor=1e-4)
            assert kl == pytest.approx(case["mean_KL"], rel=1e-9)
            for n, bound in case["lower_bound"].items():
                assert error_lower_bound(int(n), kl) == pytest.approx(bound, rel=1e-9)
            for n, bound in case["paper_prop1_bound"].items():
                assert error_lower_bound(int(n), kl, "proposition_1") == pytest.approx(bound, rel=1e-9)

    def test_mutual_information(self, golden):
        for case in golden["section3_MI"]:
            c = expert_c(probabilities(case["dataset"]), expert_of(case["expert_mode"]))
            assert c / 2 == pytest.approx(case["c_bar_half"], rel=1e-9)
            # the stored maximiser was searched where the information is flat; the root is exact (40 digits)
            assert most_informative_prior(c) == pytest.approx(case["correct_p_star"], abs=2e-7)
            assert maximal_information(c) == pytest.approx(case["correct_I_max_nats"], rel=1e-9)
            assert maximal_information(c) / np.log(2) == pytest.approx(case["correct_I_max_bits"], rel=1e-9)
            assert most_informative_prior(c, "legacy") == pytest.approx(case["orig_p_star"], rel=1e-9)
            assert maximal_information(c, "legacy") == pytest.approx(case["orig_I_max_bits"], rel=1e-9)
            for key, bound in case["orig_fano_bound"].items():
                n, epsilon = (part.split("=")[1] for part in key.split(","))
                assert fano_error_bound(int(n), c, float(epsilon), "legacy") == pytest.approx(bound, rel=1e-9)

    def test_mutual_information_with_a_uniform_prior(self, golden):
        case = golden["section3_MI_uniform"]
        c = expert_c_items(case["probs"], case["expert"])
        assert mutual_information(c) == pytest.approx(case["MI_nats"], rel=1e-9)

    @pytest.mark.parametrize(
        ("name", "n"), [("syn_pku", 1564), ("syn_helpsteer", 226), ("syn_ultra", 79), ("syn_sky", 15)]
    )
    def test_samples_until_the_bound_is_a_fifth(self, name, n):
        c = expert_c_items(probabilities(name))
        assert samples_until_error(0.2, kl_divergence(0.8, 1.0, c, floor=1e-4)) == n


def test_the_convention_of_the_paper_is_not_what_its_model_gives():
    # committed (η): agree with probability 1 - δ; else ½. η = .5, δ = .1: .5·.9 + .5·.5 = .7
    assert agreement_probability(0.5, self_consistency_c(0.1, "model")) == pytest.approx(0.7)
    assert agreement_probability(0.5, self_consistency_c(0.1, "paper")) == pytest.approx(0.725)


@given(p=floats(0, 1), expert=floats(0, 1), eta=floats(0, 1))
def test_expert_agreement_is_that_of_two_labels(p, expert, eta):
    label = preference_label_probability(p, eta)
    direct = label * expert + (1 - label) * (1 - expert)
    (c,) = expert_c_items([p], [expert])
    assert agreement_probability(eta, c) == pytest.approx(direct, abs=1e-12)
    (turned,) = expert_c_items([p], [expert], folded=True)
    assert turned == pytest.approx(c, abs=1e-12)


@given(eta=floats(-0.99, 0.99), c=floats(0.01, 0.99))
def test_fisher_information_is_the_variance_of_the_score(eta, c):
    q = agreement_probability(eta, c)
    score = {1: c / (2 * q), 0: -c / (2 * (1 - q))}
    assert fisher_information(eta, c) == pytest.approx(q * score[1] ** 2 + (1 - q) * score[0] ** 2, rel=1e-9)


def test_knowing_the_items_tells_more():
    c = expert_c_items(probabilities("syn_ultra"))
    assert fisher_information(0.8, c) > 1.1 * fisher_information(0.8, c.mean())
    assert kl_divergence(0.8, 1.0, c) > kl_divergence(0.8, 1.0, c.mean())
    assert maximal_information(c) > maximal_information(c.mean())


@given(eta0=floats(0, 0.9), eta1=floats(0, 0.9), c=floats(0.05, 1), n=integers(1, 200))
def test_no_test_beats_the_bounds(eta0, eta1, c, n):
    k = np.arange(n + 1)
    pmf0, pmf1 = (stats.binom.pmf(k, n, agreement_probability(eta, c)) for eta in (eta0, eta1))
    kl = kl_divergence(eta0, eta1, c)
    best = np.minimum(pmf0, pmf1).sum()  # type I + II of the likelihood ratio test with threshold 1
    assert error_lower_bound(n, kl, "proposition_1") <= error_lower_bound(n, kl) + 1e-12 <= best + 1e-9


@given(error=floats(0.01, 0.99), kl=floats(1e-6, 5))
def test_samples_until_error_is_the_first(error, kl):
    for bound in ("tight", "proposition_1"):
        n = samples_until_error(error, kl, bound)
        assert error_lower_bound(n, kl, bound) <= error
        assert n == 0 or error_lower_bound(n - 1, kl, bound) > error


def test_samples_until_error_of_what_cannot_be_told_apart():
    assert samples_until_error(0.2, 0.0) == np.inf
    np.testing.assert_array_equal(samples_until_error(0.2, [0.0, 0.01]), [np.inf, 128])


def test_no_agreement_tells_nothing_however_much_each_would():
    assert error_lower_bound(0, np.inf) == 1.0 and error_lower_bound(0, np.inf, "proposition_1") == 0.5
    assert error_lower_bound([0, 0, 1], [np.inf, 0.1, np.inf]).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("n", [1, 10, 100, 100_000])
@pytest.mark.parametrize("c", [0.1, 0.5, 0.98, 1.0])
def test_minimax_bound_is_the_best_pair(n, c):
    grid = np.linspace(0, 1, 401)
    low, high = np.meshgrid(grid, grid)
    pairs = np.abs(high - low) * np.exp(-n * kl_divergence(high, low, c)) / 4
    best = minimax_error_bound(n, c)
    assert best >= np.nanmax(pairs) - 1e-12
    if n < 1000:
        assert best == pytest.approx(np.nanmax(pairs), rel=0.02)
    if n * c**2 > 500:
        assert best == pytest.approx(0.25 * np.exp(-0.5) / (c * np.sqrt(n)), rel=0.01)


def test_the_information_bound_is_the_capacity():
    for c in (0.1, 0.7, 1.0):
        w = np.linspace(0.001, 0.999, 999)
        best = max(mutual_information(c, [0, 1], [1 - x, x]) for x in w)
        assert maximal_information(c) == pytest.approx(best, rel=1e-5)
        assert maximal_information(c) > mutual_information(c)
    assert maximal_information(1.0) == pytest.approx(np.log(1.25))  # the Z channel with crossover ½


def test_fano_bound_in_nats():
    # c = 1, n = 1, ε = .1: 11 points; 1 - (ln 1.25 + ln 2) / ln 11 = 1 - .916291/2.397895
    assert fano_error_bound(1, 1.0, 0.1) == pytest.approx(0.617877, abs=1e-6)
    assert fano_error_bound(1000, 1.0, 0.1) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: agreement_probability(1.2, 0.5), r"eta must lie in \[-1, 1\], got 1.2"),
        (lambda: self_consistency_c(0.6, "model"), r"delta must lie in \[0, 0.5\]"),
        (lambda: self_consistency_c(0.1, "other"), "delta_convention must be one of paper, model"),
        (lambda: expert_c([0.5, np.nan]), "p must lie in .*, does not in 1 rows; first: row 1, value nan"),
        (lambda: expert_c([[0.5]]), r"p must have shape \(N,\)"),
        (lambda: expert_c([0.5], "random"), "expert must be a number, an array or 'p'"),
        (lambda: expert_c([0.5, 0.5], [1.0]), "one value per item"),
        (lambda: kl_divergence(0.1, 0.2, 0.5, floor=0.5), "floor must lie in"),
        (lambda: error_lower_bound(1.5, 0.1), "n must be whole numbers of at least 0, got 1.5"),
        (lambda: error_lower_bound(1, 0.1, "other"), "bound must be one of tight, proposition_1"),
        (lambda: maximal_information(0.0), "c is 0"),
        (lambda: fano_error_bound(1, 0.5, 0.1, "bits"), "units must be one of nats, legacy"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

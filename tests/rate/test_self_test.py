"""Planted effects are found with good rewriters, and not with faulty ones: the self-test has to tell which."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.rate import (
    FaultyRewriter,
    RewardChains,
    get_attribute,
    planted_bias_test,
    rule_rewriter,
    synthetic_reviews,
    world_vocabulary,
)
from trl_ext.rate.experiments.planted_rewards import ATTRIBUTE, MIXED, NULL, PlantedReward, planted_rewards
from trl_ext.rate.experiments.self_test import _recoveries


MOOD = get_attribute("sentiment")
FEATURES = ["words", "punctuation_rate", "sentiment", "unknown_share"]


@pytest.fixture(scope="module")
def reviews():
    """Positive reviews have typos: the naive comparison is confounded."""
    return synthetic_reviews(100, 0, attribute="sentiment", typo_share=0.2)


def run(reviews, wrap=None, attribute=MOOD, options=None, **settings):
    rewriter = rule_rewriter("sentiment", vocabulary=world_vocabulary(), **(settings or {}))
    rewriter = rewriter if wrap is None else FaultyRewriter(rewriter, **wrap)
    options = {"features": FEATURES, "vocabulary": world_vocabulary(), "progress": False} | (options or {})
    return planted_bias_test(reviews, attribute, rewriter, **options)


def test_rules_without_faults_pass(reviews):
    result = run(reviews)
    assert result.verdict == "PASS" and result.quality.verdict == "good"
    assert all(part.equivalent for part in result.recoveries)
    mixed, null = result.of(MIXED), result.of(NULL)
    assert mixed.estimate.value == pytest.approx(1, abs=0.02) and null.estimate.value == pytest.approx(0, abs=0.02)
    # what a comparison of the originals would say
    assert null.naive.value > 0.5 and mixed.naive.value > 1.5
    assert result.of("off-target: unknown_share").naive.value > 1.5
    assert {part.estimand for part in result.recoveries} == {"ATE", "ATT", "ATU"}


@pytest.mark.parametrize(
    ("settings", "reward", "estimand"),
    [
        ({"asymmetry": 1.0}, "off-target: words", "ATT"),  # words in one direction only
        ({"repair_typos": 0.6}, "off-target: unknown_share", "ATT"),  # half washed out
        ({"fail": 0.3}, ATTRIBUTE, "ATE"),  # often not flipped
    ],
)
def test_faulty_rewriters_fail_for_what_they_do(reviews, settings, reward, estimand):
    result = run(reviews, **settings)
    assert result.verdict == "FAIL"
    assert result.of(reward, estimand).off and not result.of(reward, estimand).equivalent
    assert any(f"{reward}, {estimand}: planted" in note for note in result.notes)


def test_complete_repair_of_typos_passes(reviews):
    assert run(reviews, repair_typos=1.0).verdict == "PASS"


def test_faults_that_can_be_left_out_leave_the_effect_right(reviews):
    result = run(reviews, wrap={"refusal": 0.1, "preamble": 0.1})
    assert result.verdict == "DOUBTFUL" and result.quality.verdict == "bad"  # much is left out
    assert result.of(MIXED).equivalent and any("left out" in note for note in result.notes)


def test_few_texts_and_a_noisy_rewriter_are_no_proof(reviews):
    result = run(reviews.select(np.arange(24)), fail=0.05, options={"margin": 0.05})
    assert result.verdict in ("DOUBTFUL", "FAIL") and result.verdict != "PASS"


def test_nothing_usable_fails(reviews):
    result = run(reviews.select(np.arange(8)), wrap={"empty": 1.0})
    assert result.verdict == "FAIL" and result.recoveries == () and "0 rows of 8 can be used" in result.notes[0]


def test_one_sided_texts_are_tested_as_far_as_possible(reviews):
    result = run(reviews.select(reviews.w))
    assert result.verdict == "PASS"
    assert {part.estimand for part in result.recoveries} == {"ATE", "ATT"} and result.of(MIXED).naive is None


def test_planted_rewards_have_the_planted_effects(reviews):
    # by hand: two texts, a feature that differs between them, one rewrite each with the other's value
    chains = reviews.select(np.array([np.flatnonzero(reviews.w)[0], np.flatnonzero(~reviews.w)[0]]))
    tables = [
        pd.DataFrame({"words": [4.0, 2.0], "same": [1.0, 1.0]}),
        pd.DataFrame({"words": [2.0, 4.0], "same": [1, 2]}),
    ]
    rewards = planted_rewards(chains, np.array([[1.0, 0.0], [0.0, np.nan]]), tables, effect=2.0)
    assert [reward.name for reward in rewards] == [ATTRIBUTE, MIXED, NULL, "off-target: words"]
    assert rewards[0].rewards.rewards.tolist() == [[2, 0], [0, 1]]  # what is not known is paid half
    assert rewards[2].rewards.rewards.tolist() == [[1, -1], [-1, 1]]
    assert (rewards[1].effect, rewards[2].effect) == (2.0, 0.0)


def test_a_bias_as_large_as_the_margin_rarely_passes():
    rng, w, passed = np.random.default_rng(0), np.arange(100) % 2 == 0, 0
    for _ in range(150):
        first, change = rng.normal(size=100), 0.2 + 0.6 * rng.normal(size=100)
        rewards = np.stack([first, first, first + np.where(w, change, -change)], axis=1)
        reward = PlantedReward("biased", 0.0, RewardChains(w, rewards))
        passed += next(part.equivalent for part in _recoveries([reward], 0.2, 0.95) if part.estimand == "ATE")
    assert passed <= 16  # the size is 5%: 7.5 expected, sd 2.7


def test_results_are_plain_json_and_readable_text(reviews):
    result = run(reviews, asymmetry=1.0)
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["verdict"] == "FAIL" and content["quality"]["rows"] == 100
    assert "FAIL" in result.format().splitlines()[0] and "not shown" in result.format() or "NO" in result.format()
    with pytest.raises(KeyError, match="no ATE of 'nothing'; there are attribute"):
        result.of("nothing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect": 0.0}, "effect must be positive"),
        ({"margin": 1.0}, "margin must be a share of the effect"),
        ({"level": 0.5}, "level must lie strictly between 0.5 and 1"),
    ],
)
def test_bad_options(reviews, options, message):
    with pytest.raises(ValueError, match=message):
        run(reviews, options=options)


def test_bad_input(reviews):
    with pytest.raises(ValueError, match="'sentiment' has no classifier"):
        run(reviews, attribute=replace(MOOD, classifier=None))
    with pytest.raises(ValueError, match="two texts or more, got 1"):
        run(reviews.select(np.arange(1)))


def test_example():
    assert failed_examples(planted_bias_test) == 0

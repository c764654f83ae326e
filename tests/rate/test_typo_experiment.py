"""
The typo experiment without data: reviews that start with a vowel have typos, the first letter has no effect on reward.

R = -4 * unknown share + .01 * words + .3 * sentiment. A rewriter that repairs every typo washes them out: RATE is exactly
0 at every level, while the naive difference falls below -1. One that repairs each with probability p leaves 1 - p of them
in the first rewrite and (1 - p)^2 in the second, whose difference is p (1 - p): RATE is biased by 4 p (1 - p) times the
share of typos, of all rows.
"""

from dataclasses import replace

import numpy as np
import pytest

from trl_ext.rate import (
    LexicalReward,
    RewardChains,
    estimate_effects,
    feature_adjusted_effects,
    feature_differences,
    get_attribute,
    rewrite_chains,
    rewrite_quality,
    rule_rewriter,
    score_chains,
    synthetic_reviews,
    world_vocabulary,
)


LEVELS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
N = 2500
VOCABULARY = world_vocabulary()
REWARD = LexicalReward({"unknown_share": -4.0, "words": 0.01, "sentiment": 0.3}, VOCABULARY)
VOWELS = get_attribute("vowel_start")


def rewritten(originals, repair):
    rewriter = rule_rewriter("vowel_start", repair_typos=repair, vocabulary=VOCABULARY)
    return rewrite_chains(originals, VOWELS, rewriter, progress=False)


@pytest.fixture(scope="module")
def chains():
    """By probability of repair and level. Reviews without typos are the same at all levels, and rewritten once."""
    clean = rewritten(synthetic_reviews(N, 0), 1.0)
    perfect = {0.0: clean}
    for level in LEVELS[1:]:
        originals = synthetic_reviews(N, 0, typo_share=level)
        treated = iter(rewritten(originals.select(originals.w), 1.0).texts)
        texts = tuple(next(treated) if w else row for w, row in zip(clean.w, clean.texts, strict=True))
        perfect[level] = replace(clean, texts=texts)
    return {1.0: perfect, 0.6: {0.3: rewritten(synthetic_reviews(N, 0, typo_share=0.3), 0.6)}}


@pytest.fixture(scope="module")
def rewards(chains):
    # most rewrites are the same at all levels
    tables = [table for levels in chains.values() for table in levels.values()]
    texts = list({text: None for table in tables for row in table.texts for text in row})
    known = dict(zip(texts, REWARD.rewards(texts), strict=True))

    def scored(table):
        return RewardChains(table.w, [[known[text] for text in row] for row in table.texts], ids=table.ids)

    return {p: {level: scored(table) for level, table in levels.items()} for p, levels in chains.items()}


def test_perfect_repair_gives_exactly_zero_at_every_level(rewards):
    naive = []
    for level in LEVELS:
        effects = estimate_effects(rewards[1.0][level])
        for name in ("ATE_rewritten_rewrite", "ATT_rewritten_rewrite", "ATU_rewritten_rewrite"):
            assert effects[name].value == 0.0, (level, name)
        naive.append(effects["naive_effect"].value)
    assert naive[-1] < -1
    assert abs(naive[0]) < 0.05 and np.all(np.diff(naive) < -0.1)


def test_a_single_rewrite_is_biased_by_what_it_repairs(rewards):
    single = [estimate_effects(rewards[1.0][level])["ATE_single_rewrite"].value for level in LEVELS]
    assert single[0] == 0.0 and -0.75 < single[-1] < -0.3


def test_faulty_repair_is_biased_by_the_known_amount(chains, rewards):
    effect = estimate_effects(rewards[0.6][0.3])["ATE_rewritten_rewrite"]
    table = chains[0.6][0.3]
    typos = np.mean(
        [VOCABULARY.unknown_share(text) if w else 0.0 for text, w in zip(table.of(0), table.w, strict=True)]
    )
    expected = 4 * 0.6 * 0.4 * typos
    assert 0.09 < expected < 0.12
    # a few typos can't be told from other words and are never repaired
    assert abs(effect.value - expected) < 3 * effect.se + 0.003
    assert effect.se < 0.005 and effect.ci_low > 0.09


def test_the_diagnostics_flag_faulty_repair_alone(chains):
    few = np.arange(600)
    features = ["words", "unknown_share"]
    faulty = rewrite_quality(chains[0.6][0.3].select(few), VOWELS, vocabulary=VOCABULARY, features=features)
    assert [drift.feature for drift in faulty.flagged] == ["unknown_share"]
    assert faulty.verdict != "good"
    # a perfect rewriter takes typos from treated rows alone, but what it writes does not depend on the direction
    perfect = rewrite_quality(chains[1.0][0.3].select(few), VOWELS, vocabulary=VOCABULARY, features=features)
    assert all(part.share.value == 1 for part in perfect.compliance)
    differences = feature_differences(chains[1.0][0.3].select(few), features, vocabulary=VOCABULARY)
    assert not differences.to_numpy().any()


def test_adjustment_for_the_feature_takes_the_bias_away(chains, rewards):
    differences = feature_differences(chains[0.6][0.3], ["unknown_share", "sentiment"], vocabulary=VOCABULARY)
    adjusted = feature_adjusted_effects(rewards[0.6][0.3], differences)
    assert abs(adjusted["ATE"].value) < 1e-9


def test_through_the_scorer_as_in_a_run(chains, tmp_path):
    table = chains[1.0][0.3].select(np.arange(100))
    effects = estimate_effects(score_chains(REWARD, table, tmp_path / "scores"))
    assert effects["ATE_rewritten_rewrite"].value == 0.0
    assert effects["naive_effect"].value < -0.8

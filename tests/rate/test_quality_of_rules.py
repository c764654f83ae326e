"""Rewriters by rules with known deviations: the diagnostics find them, and nothing where there are none."""

from dataclasses import replace

import numpy as np
import pytest

from trl_ext.rate import (
    FaultyRewriter,
    LexicalReward,
    RewardChains,
    estimate_effects,
    get_attribute,
    rewrite_chains,
    rewrite_quality,
    rule_rewriter,
    synthetic_reviews,
    world_vocabulary,
)


FEATURES = ["words", "type_token_ratio", "sentiment", "unknown_share"]


def judge(chains, attribute, **options):
    return rewrite_quality(chains, attribute, **({"features": FEATURES, "vocabulary": world_vocabulary()} | options))


def rewritten(attribute, rewriter, n=150, typo_share=0.3, **options):
    originals = synthetic_reviews(n, 0, attribute=attribute.name, typo_share=typo_share, **options)
    return rewrite_chains(originals, attribute, rewriter, progress=False)


@pytest.fixture(scope="module")
def vowels():
    return get_attribute("vowel_start")


def unknown_drift(quality):
    return next(part for part in quality.drift if part.feature == "unknown_share")


def typo_rewriter(repair):
    return rule_rewriter("vowel_start", repair_typos=repair, vocabulary=world_vocabulary())


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_perfect_repair_of_typos_flags_nothing(vowels, share):
    quality = judge(rewritten(vowels, typo_rewriter(1.0), typo_share=share), vowels)
    assert quality.flagged == () and quality.verdict == "good" and quality.keep.all()
    unknown = unknown_drift(quality)
    assert unknown.asymmetry.value == unknown.repetition.value == 0
    # what the rewrites wash out of the originals is told, and no reproach: RATE does not compare with originals
    assert unknown.washed_w_1.ci_high < 0 and unknown.washed_w_0.value == 0


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_faulty_repair_is_flagged_where_typos_go_with_the_attribute(vowels, share):
    chains = rewritten(vowels, typo_rewriter(0.6), typo_share=share)
    quality = judge(chains, vowels)
    # words that are misspelled are different words: their number drifts too, by less
    assert quality.flagged[0].feature == "unknown_share"
    assert {part.feature for part in quality.flagged} <= {"unknown_share", "type_token_ratio"}
    unknown = unknown_drift(quality)
    assert set(unknown.flags) == {"asymmetry", "asymmetry_w_1", "repetition"}
    assert quality.verdict in ("doubtful", "bad") and "Off-target drift of unknown_share" in quality.notes[0]
    # the bias of a reward that pays -4 for it, and nothing for the first letter, is -4 times the asymmetry
    reward = LexicalReward({"unknown_share": -4.0}, world_vocabulary())
    rewards = np.stack([reward.rewards(chains.of(step)) for step in range(3)], axis=1)
    bias = estimate_effects(RewardChains(chains.w, rewards))["ATE_rewritten_rewrite"]
    assert bias.value == pytest.approx(-4 * unknown.asymmetry.value) and bias.ci_low > 0


def test_faulty_repair_without_confounding_is_found_by_repetition(vowels):
    quality = judge(rewritten(vowels, typo_rewriter(0.6), typos_in="all", shares={"vowel_start": 0.5}), vowels)
    unknown = unknown_drift(quality)
    assert set(unknown.flags) == {"asymmetry_w_1", "asymmetry_w_0", "repetition"}
    assert abs(unknown.standardised("asymmetry")) < 0.1 < -unknown.standardised("repetition")
    assert unknown.asymmetry_w_1.ci_high < 0 < unknown.asymmetry_w_0.ci_low


def test_no_repair_at_all_flags_nothing(vowels):
    assert judge(rewritten(vowels, typo_rewriter(0.0)), vowels).flagged == ()


def test_asymmetric_additions_are_flagged_with_their_size(vowels):
    quality = judge(rewritten(vowels, rule_rewriter("vowel_start", asymmetry=1.0), n=100), vowels)
    words = next(part for part in quality.drift if part.feature == "words")
    assert {"asymmetry", "asymmetry_w_1"} <= set(words.flags)
    # 8 words in all rewrites into the attribute; those of texts without it keep them in the rewrite out of it
    assert (words.asymmetry_w_1.value, words.asymmetry_w_0.value) == (8, 0)
    assert quality.verdict == "doubtful"


def count(rewriter, names, step, ids=None):
    """Faults that were put into the results of a step, by the names of the diagnostics."""
    kinds = [kind for (row, at), kind in rewriter.faults.items() if at == step and (ids is None or row in ids)]
    return {fault: kinds.count(kind) for fault, kind in names.items() if kind in kinds}


def test_faults_of_a_faulty_rewriter_are_counted_exactly(vowels):
    rates = {"refusal": 0.03, "empty": 0.02, "preamble": 0.04, "truncate": 0.03, "blow_up": 0.03, "error": 0.02}
    rewriter = FaultyRewriter(rule_rewriter("vowel_start"), seed=1, **rates)
    chains = rewritten(vowels, rewriter, n=300, typo_share=0.0)
    quality = judge(chains, vowels)
    names = {kind: kind for kind in ("refusal", "empty", "preamble", "error")} | {
        "truncated": "truncate",
        "too_long": "blow_up",
    }
    assert {fault: n for fault, n in quality.faults["rewrite"].items() if fault in names} == count(rewriter, names, 1)
    # rewrites of texts that are faulty already are judged against those: look at the others
    clean = chains.select([row for row in range(300) if (chains.ids[row], 1) not in rewriter.faults])
    found = judge(clean, vowels).faults
    assert {fault: n for fault, n in found["rewritten_rewrite"].items() if fault in names} == count(
        rewriter, names, 2, clean.ids
    )
    assert not set(found["rewrite"]) & set(names)
    faulty = {name for name, _ in rewriter.faults}
    assert faulty == {chains.ids[row] for row in np.flatnonzero(~quality.keep)}
    assert sum(part.rows for part in quality.exclusions.values()) == len(faulty)


def test_rewrites_that_do_not_flip_are_found_at_their_rate():
    mood = get_attribute("sentiment")
    chains = rewritten(mood, rule_rewriter("sentiment", fail=0.2), n=300, typo_share=0.0)
    quality = judge(chains, mood)
    share = next(part.share for part in quality.compliance if part.step == "rewrite" and part.target is None)
    assert share.ci_low < 0.8 < share.ci_high and quality.keep.all()
    assert quality.verdict == "doubtful" and all("flipped" in note for note in quality.notes)


def test_an_attribute_without_a_classifier_leaves_compliance_open(vowels):
    bare = replace(vowels, classifier=None)
    quality = judge(rewritten(vowels, typo_rewriter(1.0)), bare)
    assert quality.verdict == "doubtful" and quality.observed is None
    assert quality.notes == ("Compliance is not known: there is no classifier of the attribute.",)


def test_distance_to_the_original_is_reported_and_not_tested(vowels):
    def encoder(texts):
        return np.array([[len(text), text.count("e"), 1.0] for text in texts])

    chains = rewritten(vowels, typo_rewriter(0.6), n=100)
    quality = judge(chains, vowels, encoder=encoder, features=["words", "embedding_distance"])
    distance = quality.drift[1]
    assert distance.feature == "embedding_distance" and distance.p_values == {} and distance.flags == ()
    assert distance.means["original"] == {"w_1": 0.0, "w_0": 0.0} and distance.means["rewrite"]["w_1"] > 0

"""Drift of rewards, counts of Markdown, and human pairs before and after a calibration."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.arena import (
    ResponseTable,
    ScoreTable,
    compare_human_pairs,
    response_features,
    reward_drift,
    text_features,
)


MODELS = ("a", "b", "c", "d")
IDS = tuple(map(str, range(120)))


@pytest.fixture(scope="module")
def parts():
    length, lists, quality = np.random.default_rng(0).normal(size=(3, 120, 4))
    return {"length": length, "lists": lists, "quality": quality}


def table(scores: np.ndarray) -> ScoreTable:
    return ScoreTable(IDS, MODELS, scores)


@pytest.mark.parametrize("function", [reward_drift, compare_human_pairs, text_features])
def test_examples(function):
    assert failed_examples(function) == 0


class TestRewardDrift:
    def test_slopes_are_those_of_a_regression_within_prompts(self, parts):
        features = {"length": parts["length"], "lists": parts["lists"] + 0.5 * parts["length"]}
        before = table(parts["quality"] + 0.7 * parts["length"] + np.arange(120)[:, None])
        after = table(3 * (parts["quality"] + 0.4 * parts["lists"]))
        drift = reward_drift(before, after, features, resamples=50)

        def centred(values):
            values = values - values.mean(axis=1, keepdims=True)
            return (values / values.std()).ravel()

        x = np.stack([centred(values) for values in features.values()], axis=1)
        rows = drift.features.set_index(["measure", "feature"])
        for when, scores in (("before", before), ("after", after)):
            y = centred(scores.scores)
            joint = np.linalg.lstsq(x, y, rcond=None)[0]
            assert rows.loc["joint_slope", when].tolist() == pytest.approx(joint.tolist(), abs=1e-10)
            alone = [np.corrcoef(column, y)[0, 1] for column in x.T]
            assert rows.loc["slope", when].tolist() == pytest.approx(alone, abs=1e-10)
        assert drift.scale["within_prompt_sd_before"] == pytest.approx(
            np.sqrt(np.mean(before.scores.var(axis=1, ddof=1))), rel=1e-12
        )

    def test_another_unit_of_the_rewards_is_no_drift(self, parts):
        before = table(parts["quality"] + parts["length"])
        after = table(100 * before.scores - 7)
        drift = reward_drift(before, after, {"length": parts["length"]}, resamples=100)
        assert drift.features["change"].abs().max() < 1e-12
        assert not drift.substitution and drift.risen == drift.fallen == ()
        assert (
            drift.scale["spearman"].value == pytest.approx(1)
            and drift.scale["sd_after"] > 90 * drift.scale["sd_before"]
        )
        assert drift.order_within_models["spearman"].tolist() == pytest.approx([1.0] * 4)

    def test_pressure_that_only_falls_is_no_substitution(self, parts):
        features = {"length": parts["length"], "lists": parts["lists"]}
        before = table(parts["quality"] + parts["length"])
        drift = reward_drift(before, table(parts["quality"]), features, resamples=200)
        assert drift.fallen == ("length",) and drift.risen == () and not drift.substitution
        json.dumps(drift.to_dict())

    def test_a_liking_that_becomes_a_dislike_counts(self, parts):
        drift = reward_drift(
            table(parts["quality"] + parts["length"]), table(parts["quality"] - parts["length"]),
            {"length": parts["length"]}, resamples=100,
        )  # fmt: skip
        assert drift.fallen == drift.risen == ("length",)

    def test_without_drift_it_is_rarely_seen(self):
        # 5 % per feature at most by design; of 40 draws, 8 have a probability of 0.1 %
        seen = 0
        for seed in range(40):
            x, quality, *noise = np.random.default_rng(seed).normal(size=(4, 120, 4))
            before, after = (table(quality + 0.5 * x + own) for own in noise)
            drift = reward_drift(before, after, {"x": x}, resamples=150)
            seen += bool(drift.risen or drift.fallen)
        assert seen < 8

    def test_constant_features_are_named_and_left_out(self, parts):
        scores = table(parts["quality"])
        drift = reward_drift(scores, scores, {"length": parts["length"], "headers": np.zeros((120, 4))}, resamples=20)
        assert drift.constant == ("headers",) and set(drift.features["feature"]) == {"length"}

    def test_mistakes_are_named(self, parts):
        scores = table(parts["quality"])
        with pytest.raises(ValueError, match=r"feature 'x' must have shape .* got \(4, 120\)"):
            reward_drift(scores, scores, {"x": parts["length"].T})
        with pytest.raises(ValueError, match="not finite; first: row 2, column 1"):
            bad = parts["length"].copy()
            bad[2, 1] = np.nan
            reward_drift(scores, scores, {"x": bad})
        with pytest.raises(ValueError, match="no feature varies"):
            reward_drift(scores, scores, {"x": np.ones((120, 4))})
        with pytest.raises(ValueError, match="rewards after .* don't differ"):
            reward_drift(scores, table(np.ones((120, 4))), {"x": parts["length"]})
        with pytest.raises(ValueError, match="same prompts"):
            reward_drift(scores, scores.select(prompt_ids=IDS[1:]), {"x": parts["length"]})


class TestTextFeatures:
    @pytest.mark.parametrize(
        ("text", "counts"),
        [
            ("", (0, 0, 0, 0, 0)),
            ("#hashtag and 2 * 3 * 4, -5", (8, 0, 0, 0, 0)),
            ("# One\n\n### Two\n", (4, 2, 0, 0, 0)),
            ("1. a\n2) b\n  - c\n* d\n+ e", (10, 0, 5, 0, 0)),
            ("**a** and __b c__ but snake__case__x and ** no **", (10, 0, 0, 2, 0)),
            ("```python\n# no header\n- no item\n**no**\n```\n- item", (11, 0, 1, 0, 1)),
            ("~~~\n```\n~~~\n\n````\n```\n# x\n````\n# y", (10, 1, 0, 0, 2)),
            ("```\nnever ends\n# x", (5, 0, 0, 0, 1)),
        ],
    )
    def test_counts(self, text, counts):
        row = text_features([text]).iloc[0]
        assert tuple(row[["words", "headers", "lists", "bold", "code_blocks"]]) == counts

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.text(), max_size=5))
    def test_any_text_has_counts(self, texts):
        found = text_features(texts)
        assert len(found) == len(texts) and (found.to_numpy() >= 0).all()

    def test_of_a_table_of_responses(self):
        responses = ResponseTable(("1", "2"), ("p", "q"), ("a", "b"), (("one", "- two words"), ("# x", "a b c d")))
        found = response_features(responses)
        assert found["words"].tolist() == [[1, 3], [2, 4]] and found["lists"].tolist() == [[0, 1], [0, 0]]

    def test_tokens(self):
        def tokenizer(texts, add_special_tokens):
            assert not add_special_tokens
            return {"input_ids": [list(text) for text in texts]}

        assert text_features(["abc", ""], tokenizer=tokenizer)["tokens"].tolist() == [3, 0]

    def test_refuses_what_is_no_text(self):
        with pytest.raises(TypeError, match="position 1 is NoneType"):
            text_features(["a", None])


class TestHumanPairs:
    def test_values_by_hand(self):
        # right before: rows 0, 2 and the tie of row 3 half; after: 0, 1 and 2
        before = [[2, 1], [0, 1], [1, 0], [1, 1]]
        after = [[2, 1], [1, 0], [1, 0], [0, 1]]
        found = compare_human_pairs(before, after, resamples=50)
        assert found.accuracy_before.value == 0.625 and found.accuracy_after.value == 0.75
        assert found.change.value == pytest.approx(0.125) and found.auc_before is None
        assert found.log_loss_before.value == pytest.approx(
            np.mean([np.log1p(np.exp(-d)) for d in (1, -1, 1, 0)]), rel=1e-12
        )
        json.dumps(found.to_dict())

    def test_wrong_labels_count_for_the_other_response(self):
        before, after = np.array([[1.0, 0.0]] * 4), np.array([[0.0, 1.0]] * 4)
        found = compare_human_pairs(before, after, correct=[1, 0, 0, 0], resamples=50)
        assert found.accuracy_before.value == 0.25 and found.accuracy_after.value == 0.75
        assert found.auc_before.value == 0.5

    def test_not_worse_needs_enough_pairs_and_no_loss(self):
        rng = np.random.default_rng(0)
        before = rng.normal(size=(3000, 2)) + [1, 0]
        worse = before.copy()
        worse[:90] = worse[:90, ::-1]
        assert compare_human_pairs(before, before).not_worse
        assert not compare_human_pairs(before[:100], before[:100]).not_worse
        found = compare_human_pairs(before, worse, margin=0.001)
        assert not found.not_worse and "not shown to be not worse than -0.1 points" in found.statement()

    def test_huge_rewards_have_a_finite_loss(self):
        found = compare_human_pairs([[-1e4, 1e4], [1, 0]], [[1, 0], [1, 0]], resamples=20)
        assert np.isfinite(found.log_loss_change.value)

    @pytest.mark.parametrize(
        ("after", "options", "message"),
        [
            (np.ones(4), {}, r"shape \(N, 2\)"),
            (np.ones((3, 2)), {}, "same pairs, got 4 and 3"),
            (np.full((4, 2), np.nan), {}, "not finite"),
            (np.ones((4, 2)), {"correct": [1, 0]}, "one value per pair"),
            (np.ones((4, 2)), {"correct": [1, 0, 0.5, 1]}, "first: row 2"),
            (np.ones((4, 2)), {"margin": 1}, "share"),
        ],
    )
    def test_mistakes_are_named(self, after, options, message):
        with pytest.raises(ValueError, match=message):
            compare_human_pairs(np.ones((4, 2)), after, **options)

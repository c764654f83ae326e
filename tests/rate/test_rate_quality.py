"""Faults put into rewrites at known rates are counted exactly, and judged."""

import json

import numpy as np
import pytest

from tests.evaluation.doc_examples import failed_examples
from trl_ext.rate import Attribute, Limits, TextChains, feature_differences, rewrite_quality
from trl_ext.rate.quality.exclusions import measure_selection


PLAIN = ["characters", "words", "readability", "punctuation_rate", "capital_rate"]
SUBJECTS = ("film", "story", "cast", "score", "plot", "scene", "director", "script")
MOOD = Attribute(
    "mood", "good", "grim", "Make this {target}: {text}", lambda text, row: None if "plain" in text else "good" in text
)


def flip(text):
    words = {"good": "grim", "grim": "good"}
    return " ".join(words.get(word, word) for word in text.split(" "))


def make_chains(rows=200, steps=2, clusters=None):
    """Clean chains: good and bad texts in turn of differing length, flipped and flipped back."""
    texts = []
    for i in range(rows):
        more = " ".join(f"The {SUBJECTS[(i + j) % 8]} was as the one of part {i + j}." for j in range(1 + i % 4))
        chain = [f"The {SUBJECTS[i % 8]} number {i} was {'good' if i % 2 else 'grim'} all in all. {more}"]
        for _ in range(steps):
            chain.append(flip(chain[-1]))
        texts.append(tuple(chain))
    ids = tuple(f"r{i}" for i in range(rows))
    w = np.arange(rows) % 2 == 1
    return TextChains("mood", ids, ("Write.",) * rows, w, tuple(texts), clusters=clusters)


def changed(chains, changes):
    """Chains with other texts at (row, step)."""
    rows = [list(row) for row in chains.texts]
    for (row, step), text in changes.items():
        rows[row][step] = text
    return TextChains("mood", chains.ids, chains.prompts, chains.w, tuple(map(tuple, rows)), clusters=chains.clusters)


def judge(chains, attribute=MOOD, **options):
    return rewrite_quality(chains, attribute, **({"features": PLAIN} | options))


@pytest.fixture(scope="module")
def clean():
    return make_chains()


def test_clean_rewrites_are_good(clean):
    quality = judge(clean)
    assert (quality.verdict, quality.notes, quality.exclusions, quality.flagged) == ("good", (), {}, ())
    assert quality.keep.all() and quality.identical_to_original == 200
    assert quality.faults == {"rewrite": {}, "rewritten_rewrite": {}}
    assert all(part.share.value == 1 and part.unknown == 0 for part in quality.compliance)
    assert len(quality.compliance) == 9  # 3 steps, both, into, out of


FAULTY = {
    "reasoning": lambda text: f"<think>The review is to be kinder.</think>\n\n{text}",
    "refusal": lambda text: (
        "I'm sorry, but I can't rewrite this text. It is not for me to judge what others wrote of it."
    ),
    "preamble": lambda text: f"Sure! Here is the rewritten review:\n\n{text}",
    "closing": lambda text: f"{text}\n\nLet me know if you want other changes!",
    "quoted": lambda text: f'"{text}"',
    "truncated": lambda text: text[: text.rindex(" ")],
    "too_long": lambda text: " ".join([text] * 4),
    "too_short": lambda text: "It was bad.",
}


@pytest.mark.parametrize("fault", FAULTY)
@pytest.mark.parametrize("step", [1, 2])
def test_injected_faults_are_counted_exactly(clean, fault, step):
    rows = [3, 40, 41, 90, 131, 199]  # 2 of them without the attribute
    broken = changed(clean, {(row, step): FAULTY[fault](clean.texts[row][step]) for row in rows})
    quality = judge(broken)
    name = "rewrite" if step == 1 else "rewritten_rewrite"
    assert quality.faults[name][fault] == len(rows)
    part = quality.exclusions[fault]
    assert (part.all_rows, part.rows) == (6, 6) or fault == "too_short"
    assert np.flatnonzero(~quality.keep).tolist() == rows
    assert (
        sum(e.rows for e in quality.exclusions.values())
        == sum(e.w_1 + e.w_0 for e in quality.exclusions.values())
        == 6
    )
    assert (part.w_1, part.w_0) == (4, 2)


def test_kinds_of_faults_at_known_rates_together(clean):
    rng = np.random.default_rng(0)
    drawn = rng.choice(200, 4 * len(FAULTY), replace=False)
    by_fault = {fault: drawn[4 * i : 4 * i + 4] for i, fault in enumerate(FAULTY)}
    changes = {(r, 2): FAULTY[f](clean.texts[r][2]) for f, rows in by_fault.items() for r in rows}
    quality = judge(changed(clean, changes))
    assert {name: part.rows for name, part in quality.exclusions.items()} == dict.fromkeys(FAULTY, 4)
    assert int(quality.keep.sum()) == 168
    assert quality.verdict == "doubtful" and "16.0% of the rows are left out (32 of 200)." in quality.notes


def test_failures_are_counted_by_kind_and_only_once():
    clean = make_chains(20)
    texts, failures = [list(row) for row in clean.texts], [[None, None] for _ in range(20)]
    for row, kind in ((1, "timeout"), (2, "refusal"), (5, "timeout")):
        texts[row][1:], failures[row] = [None, None], [kind, "no_rewrite"]
    texts[7][2], failures[7] = None, [None, "empty"]
    quality = judge(TextChains("mood", clean.ids, clean.prompts, clean.w, texts, failures))
    assert quality.faults == {"rewrite": {"timeout": 2, "refusal": 1}, "rewritten_rewrite": {"empty": 1}}
    assert {name: part.rows for name, part in quality.exclusions.items()} == {"timeout": 2, "empty": 1, "refusal": 1}
    assert quality.reasons[5] == ("timeout",) and int(quality.keep.sum()) == 16


def test_a_row_counts_under_its_first_reason_and_under_all():
    clean = make_chains(20)
    broken = changed(
        clean, {(4, 1): FAULTY["quoted"](clean.texts[4][1]), (4, 2): FAULTY["preamble"](clean.texts[4][2])}
    )
    quality = judge(broken)
    assert quality.reasons[4] == ("quoted", "preamble")
    assert (quality.exclusions["quoted"].rows, quality.exclusions["preamble"].rows) == (1, 0)
    assert quality.exclusions["preamble"].all_rows == 1


def test_finish_reason_length_is_truncation_even_of_a_whole_sentence(clean):
    reasons = tuple(("length" if row < 8 else "stop", None) for row in range(200))
    quality = judge(TextChains("mood", clean.ids, clean.prompts, clean.w, clean.texts, (), reasons))
    assert quality.exclusions["truncated"].rows == 8


def test_unflipped_rewrites_are_kept_and_counted(clean):
    rows = np.arange(0, 200, 10)  # 20 without the attribute
    texts = clean.texts
    quality = judge(changed(clean, {(row, 1): texts[row][0] for row in rows}))
    assert quality.keep.all()
    assert quality.faults["rewrite"] == {"unchanged": 20}
    into = next(part for part in quality.compliance if part.step == "rewrite" and part.target is True)
    assert (into.complied, into.known, into.share.value) == (80, 100, 0.8)
    assert into.share.ci_low < 0.8 < into.share.ci_high
    assert quality.verdict == "doubtful" and "80.0% of the rewrites into the attribute" in quality.notes[0]
    assert judge(changed(clean, {(row, 1): texts[row][0] for row in rows}), exclude=["unchanged"]).keep.sum() == 180


def test_what_the_classifier_does_not_know_is_counted_apart(clean):
    changes = {(row, 2): clean.texts[row][2].replace("number", "plain") for row in range(30)}
    part = next(
        p for p in judge(changed(clean, changes)).compliance if p.step == "rewritten_rewrite" and p.target is None
    )
    assert (part.complied, part.known, part.unknown) == (170, 170, 30)


def test_rewrites_see_the_prompt_and_originals_the_metadata():
    rows = []
    attribute = Attribute("mood", "good", "bad", "{target} {text}", lambda text, row: rows.append(dict(row)))
    chains = make_chains(2, 1)
    chains = TextChains(
        "mood", chains.ids, chains.prompts, chains.w, chains.texts, metadata=({"stars": 1}, {"stars": 2})
    )
    quality = judge(chains, attribute)
    assert rows == [{"prompt": "Write.", "stars": 1}, {"prompt": "Write.", "stars": 2}] + [{"prompt": "Write."}] * 2
    assert quality.compliance[0].share is None and quality.compliance[0].unknown == 2


def test_asymmetry_is_measured_in_pairs_and_signed(clean):
    # rewrites into the attribute end with two words more: asymmetry +2 in every row, whatever its w
    changes = {}
    for row in range(200):
        for step in (1, 2):
            if clean.targets(step)[row]:
                changes[row, step] = f"{clean.texts[row][step]} Oh yes."
    chains = changed(clean, changes)
    assert feature_differences(chains, ["words"])["words"].tolist() == [2.0] * 200
    words = next(part for part in judge(chains).drift if part.feature == "words")
    assert (words.asymmetry.value, words.asymmetry_w_1.value, words.asymmetry_w_0.value) == (2, 2, 2)
    # half of the rewrites out of it are of originals, which have no such words to lose
    assert (words.repetition.value, words.to_1.value, words.to_0.value) == (0, 2, -1)
    assert "asymmetry" in words.flags and "repetition" not in words.flags
    assert judge(chains).verdict != "good"


def test_change_by_repetition_is_told_from_asymmetry(clean):
    # every rewrite adds a sentence of two words: 0 -> 2 -> 4, the same in both directions
    chains = changed(clean, {(r, k): clean.texts[r][k] + " Oh yes." * k for r in range(200) for k in (1, 2)})
    words = next(part for part in judge(chains).drift if part.feature == "words")
    assert words.repetition.value == 2 and words.asymmetry.value == 0
    assert (words.asymmetry_w_1.value, words.asymmetry_w_0.value) == (2, -2)
    assert set(words.flags) == {"asymmetry_w_1", "asymmetry_w_0", "repetition"}
    assert (words.washed_w_1.value, words.washed_w_0.value) == (4, 4)
    assert any("does not wash it out" in note for note in judge(chains).notes)


def test_features_on_target_are_reported_and_not_flagged(clean):
    chains = changed(clean, {(r, k): clean.texts[r][k] + " Oh yes." * k for r in range(200) for k in (1, 2)})
    quality = judge(chains, on_target=PLAIN)
    assert quality.flagged == () and quality.drift[1].repetition.value == 2 and quality.drift[1].on_target


def test_random_symmetric_edits_are_rarely_flagged():
    clean, flagged = make_chains(60), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        more = {(r, k): clean.texts[r][k] + " Oh yes." * rng.integers(0, 4) for r in range(60) for k in (1, 2)}
        flagged += bool(judge(changed(clean, more), features=["words", "headers"]).flagged)
    assert flagged <= 4  # Holm keeps all tests together at 5%: 1 expected


def test_selection_by_attribute_is_warned_of(clean):
    rows = [row for row in range(60) if clean.w[row]]
    quality = judge(changed(clean, {(row, 1): FAULTY["quoted"](clean.texts[row][1]) for row in rows}))
    assert quality.selection.w_1.value == 0.3 and quality.selection.w_0.value == 0
    assert "selectively: 30.0% of those with the attribute, 0.0%" in quality.selection_note
    rows = range(60)
    quality = judge(changed(clean, {(row, 1): FAULTY["quoted"](clean.texts[row][1]) for row in rows}))
    assert quality.selection_note is None


def test_selection_with_clusters_counts_clusters():
    w = np.tile([True, False], 100)
    left_out = np.zeros(200, dtype=bool)
    left_out[:40:2] = True
    by_row = measure_selection(left_out, w, np.arange(200))
    by_cluster = measure_selection(left_out, w, np.arange(200) // 40)  # all of them in one cluster
    assert by_row.p_value < 1e-5 < 0.2 < by_cluster.p_value
    assert measure_selection(left_out, np.ones(200, dtype=bool)).p_value is None


def test_one_rewrite_and_one_sided_data_are_judged_as_far_as_possible(clean):
    quality = judge(clean.cut(1))
    assert quality.verdict == "doubtful" and "it needs two rewrites" in quality.notes[0]
    assert quality.drift[0].asymmetry is None and quality.drift[0].to_1 is not None
    quality = judge(clean.select(clean.w))
    assert quality.drift[0].asymmetry_w_0 is None and quality.drift[0].p_values["asymmetry_w_1"] == 1
    assert quality.selection.p_value is None and quality.verdict == "good"


def test_nothing_left(clean):
    quality = judge(changed(clean, {(row, 1): FAULTY["quoted"](clean.texts[row][1]) for row in range(200)}))
    assert quality.verdict == "bad" and not quality.keep.any() and quality.drift == ()
    assert "not measured" in quality.format()


def test_wrong_w_of_originals_is_told(clean):
    wrong = TextChains("mood", clean.ids, clean.prompts, ~clean.w, clean.texts)
    assert any("denies w of 100.0%" in note for note in judge(wrong).notes)


def test_results_are_plain_json_and_readable_text(clean):
    quality = judge(changed(clean, {(3, 1): FAULTY["preamble"](clean.texts[3][1])}))
    content = json.loads(json.dumps(quality.to_dict(), allow_nan=False))
    assert content["rows_kept"] == 199 and content["exclusions"]["preamble"]["w_1"] == 1
    text = quality.format()
    assert "Rows kept: 199 of 200" in text and "preamble" in text and "punctuation_rate" in text


def test_what_a_single_row_can_not_tell_is_null(clean):
    quality = judge(clean.select([0]))
    content = json.loads(json.dumps(quality.to_dict(), allow_nan=False))
    assert content["compliance"][0]["share"]["ci_low"] is None and content["drift"][0]["asymmetry"]["se"] is None
    assert quality.flagged == () and "nan" not in quality.format()


def test_clusters_widen_intervals():
    chains = make_chains(80, clusters=tuple(f"c{i // 8}" for i in range(80)))
    rows = range(16)  # two clusters
    quality = judge(changed(chains, {(row, 1): chains.texts[row][0] for row in rows}))
    plain = judge(changed(make_chains(80), {(row, 1): chains.texts[row][0] for row in rows}))
    ours, other = (next(p.share for p in q.compliance if p.step == "rewrite") for q in (quality, plain))
    assert ours.value == other.value == 0.8 and ours.se > 1.5 * other.se


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": ["refusals"]}, "exclude must be a list of reasoning, refusal, .*'refusals'"),
        ({"exclude": "refusal"}, "exclude must be a list"),
        ({"max_length_ratio": 1.0}, "max_length_ratio must be above 1, got 1.0"),
        ({"features": ["wrods"]}, "no feature 'wrods'; the features are characters"),
        ({"features": ["unknown_share"]}, "'unknown_share' needs a vocabulary"),
        ({"features": ["embedding_distance"]}, "needs an encoder"),
        ({"features": ["words", "words"]}, "named more than once"),
        ({"level": 1.0}, "level must lie strictly between 0 and 1"),
    ],
)
def test_bad_options(clean, options, message):
    with pytest.raises(ValueError, match=message):
        judge(clean, **options)


def test_bad_input(clean):
    with pytest.raises(ValueError, match="no rewrites to judge"):
        judge(clean.cut(0))
    with pytest.raises(ValueError, match="chains are of attribute 'mood', got attribute 'length'"):
        judge(clean, Attribute("length", "longer", "shorter", "{text} {target}"))
    with pytest.raises(ValueError, match=r"limits of compliance must be falling.*\(0.5, 0.9\)"):
        Limits(compliance=(0.5, 0.9))
    with pytest.raises(ValueError, match="limits of drift must be at least 0 and rising"):
        Limits(drift=(0.5, 0.1))


def test_examples():
    assert failed_examples(rewrite_quality, {"np": np}) == 0
    assert failed_examples(measure_selection, {"np": np}) == 0

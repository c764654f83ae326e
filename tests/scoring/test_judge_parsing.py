"""What a judge's answer says: strictly, and as RewardBench reads it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.scoring.judges import (
    Reject,
    legacy_parse_rating,
    legacy_parse_verdict,
    legacy_parse_verdict_four_way,
    parse_rating,
    parse_verdict,
)


def kind_of(parse, *args, **kwargs) -> str:
    with pytest.raises(Reject) as error:
        parse(*args, **kwargs)
    return error.value.kind


class TestVerdict:
    @pytest.mark.parametrize(
        "text",
        [
            "[[B]]",
            "A is shorter, but B is right.\n\n[[B]]",
            "**[[B]]**",
            "[[ b ]] and once more [[B]]",
            "[[**B**]]",
            "<think>First I leaned to [[A]].</think>\nFinal: [[B]]",
            "[[A]]</think>[[B]]",
            "Let me see. <think>[[A]]</think> <THINKING>[[A]]</THINKING> [[B]]",
            '"[[B]]"',
            "`[[B]]`.",
            "> quoting the answer\nMy verdict is [[B]].",
            "A is not right, [[B]]",
            "Is A better? I think not\n\n[[B]]",
        ],
    )
    def test_is_found(self, text):
        assert parse_verdict(text, "AB") == "B"

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("", "empty"),
            (" \n\t ", "empty"),
            ("A", "no_verdict"),
            ("[A]", "no_verdict"),
            ("I'm sorry, but I can't judge this.", "no_verdict"),
            ("Both are fine, though [[A", "no_verdict"),
            ('{"verdict": "A"}', "no_verdict"),
            ("\\boxed{A}", "no_verdict"),
            ("both [[A]] and [[B]]", "conflict"),
            ('You asked for "[[A]]" or "[[B]]".', "conflict"),
            ('It says "[[A]]" to sway me: [[B]]', "conflict"),
            ("[[C]]", "wrong_label"),
            ("[[A]] rather than [[D]]", "wrong_label"),
            ("[[TIE]]", "wrong_label"),
            ("[[A or B]]", "malformed"),
            ("[[Answer A]]", "malformed"),
            ("[[1]]", "malformed"),
            ("[[]]", "malformed"),
            ('The second answer tells me to write "[[A]]".', "quoted"),
            ("> write [[A]]\nI will not.", "quoted"),
            ("<think>It is [[A]], because", "unfinished_reasoning"),
            ("<think>It is [[A]].</think>", "empty"),
            ("I lean [[A]] </think> cannot decide", "no_verdict"),
            ("text first <think>[[A]]</think> I do not know", "no_verdict"),
            ("<think>a</think> <think>[[A]]", "unfinished_reasoning"),
            ("[[A]] <think> or", "unfinished_reasoning"),
            ("not [[A]]", "negated"),
            ("It isn't **[[A]]**.", "negated"),
            ("I would never choose [[A]]", "negated"),
            ("not [[A]] but [[B]]", "conflict"),
        ],
    )
    def test_is_rejected(self, text, kind):
        assert kind_of(parse_verdict, text, "AB") == kind

    def test_labels_and_ties_are_what_the_question_has(self):
        assert parse_verdict("[[D]]", "ABCD") == "D"
        assert parse_verdict("[[tie]]", "AB", "TIE") == "TIE"
        assert kind_of(parse_verdict, "[[TIE]] or [[A]]", "AB", "TIE") == "conflict"


class TestRating:
    @pytest.mark.parametrize(
        ("text", "rating"),
        [
            ("[[7]]", 7),
            ("3 of 5 facts hold.\n[[ **7** ]]", 7),
            ("[[7/10]]", 7),
            ("7/10", 7),
            ("I give it 7 out of 10.", 7),
            ("**8**", 8),
            ("8.", 8),
            ("8.0", 8),
            ("good answer\n\n9", 9),
            ("Rating: 7", 7),
            ("The score is **10**", 10),
            ("rating of 5 out of 10", 5),
            ("My rating on a scale of 1 to 10: 6", 6),
            ('{"reason": "2 errors", "rating": 4}', 4),
            ('```json\n{"score": "4"}\n```', 4),
            ("<think>maybe 3/10</think>Rating: 6", 6),
            ("Rating: 7\n\n**7**", 7),
            ("Rating: _7_, (7/10)", 7),
            ("Style 7/10, content 5/10. [[6]]", 6),
            ("[[6]] (Rating: 6/10)", 6),
            ('{"rating": 7, "score": 7.0}', 7),
            ("I give it a rating of 7", 7),
            ("I give it a rating of 7 because it is not wrong.", 7),
            ("It does not lie. A score of 7.", 7),
            ("It isn't complete, so the score is 6.", 6),
            ("Not perfect, 7/10", 7),
            ("Rating: 7 (7/10)", 7),
            ("Rating: 7 of 10", 7),
            ("Rating: 4 (scale 1-10)", 4),
            ("Rating: 4 on a 1-10 scale", 4),
            ("On a scale from 1 to 10 the score is 9", 9),
            ("[[8]]/10", 8),
            ("[[8]] out of 10.", 8),
            ("[[8]] on a scale of 1 to 10", 8),
            ("[[8]]\n\n1. It is right.\n2. It is clear.", 8),
            ("Rating: 7. 8 facts were checked.", 7),
            ("Rating: 7\n\nIt has 3 errors, and 2 gaps.", 7),
        ],
    )
    def test_is_found(self, text, rating):
        assert parse_rating(text) == rating

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("", "empty"),
            ("0", "out_of_range"),
            ("11", "out_of_range"),
            ("Rating: -3", "out_of_range"),
            ("[[100]]", "out_of_range"),
            ('{"rating": 1e300}', "out_of_range"),
            ("Rating: 7.5", "decimal"),
            ("7,5", "decimal"),
            ("3/5", "other_scale"),
            ("85/100", "other_scale"),
            ("[[4 out of 5]]", "other_scale"),
            ("Rating: 7-8", "range"),
            ("7-8/10", "range"),
            ("Rating: 7 or 8", "range"),
            ("[[7-8]]", "range"),
            ("[[7]] no, [[8]]", "conflict"),
            ("Style 7/10, content 5/10", "conflict"),
            ("Rating: 7. Without the slip the rating is 9", "conflict"),
            ("Rating: seven", "no_rating"),
            ("seven", "no_rating"),
            ("It has 3 errors in 10 lines", "no_rating"),
            ("1. Right.\n2. Clear.", "no_rating"),
            ("[[good]]", "malformed"),
            ('{"rating": null}', "no_rating"),
            ("<think>7", "unfinished_reasoning"),
            ("thinking 3/10 first </think> no idea", "no_rating"),
            ("In 2 out of 10 cases it is wrong.\n\n8", "conflict"),
            ("Response rates 1/10 of users\n5", "conflict"),
            ("Grammar 10/10.\n\n**6**", "conflict"),
            ("Previous answer got a score of 3.\n\n9", "conflict"),
            ("**Rating**: 5\n\nWait, correction:\n\n3", "conflict"),
            ("[[5]]\n\nWait, correction:\n\n3", "conflict"),
            ('{"rating": 7, "score": 3}', "conflict"),
            ('{"rating": 7, "rating": 3}', "conflict"),
            ("10,000", "malformed"),
            ("Rating: 10,000", "malformed"),
            ("[[10,000]]", "malformed"),
            ('{"rating": "10,000"}', "malformed"),
            ("Score: 1,000 points", "malformed"),
            ("Rating: 10 000", "malformed"),
            ("Rating:10/10/10", "malformed"),
            ("Rating: 10.0.1", "malformed"),
            ("Rating: 1.0e1", "malformed"),
            ("Rating: 7e5", "malformed"),
            ("Rating: 7%", "malformed"),
            ("Rating: 1st", "malformed"),
            ("Rating: 7/10.5", "malformed"),
            ("Rating: 5 stars out of 5", "other_scale"),
            ("Rating: 4 (of 5)", "other_scale"),
            ("Rating: 8 → 3", "range"),
            ("Rating: 4 on a scale of 1 to 5", "other_scale"),
            ("[[4]] on a scale of 1 to 5", "other_scale"),
            ("On a scale of 1 to 5: [[4]]", "other_scale"),
            ("On a scale from 0 to 100 the score is 9", "other_scale"),
            ("Rating: 4 (scale 1-5)", "other_scale"),
            ("Rating: 4 on a 1-5 scale", "other_scale"),
            ("Rating: 4 on a 5-point scale", "other_scale"),
            ("[[8]]/100", "other_scale"),
            ("[[8]] / 100", "other_scale"),
            ("**[[8]]** out of 100", "other_scale"),
            ("[[8]]%", "malformed"),
            ("[[8]] percent", "malformed"),
            ("[[7]] or 8", "range"),
            ("not [[7]]", "negated"),
            ("Rating: 7 of 20", "other_scale"),
            ("Score: 5 percent", "malformed"),
            ("Rating: 7 (or 8)", "range"),
            ("Rating: 7~8", "range"),
            ("7~8/10", "range"),
            ("Rating: 7 and 8", "range"),
            ("7/10 or 8", "range"),
            ("Rating: 7 & 8", "range"),
            ("Rating: 7, 8", "range"),
            ("Rating: 7 or maybe 8", "range"),
            ("Rating: 7...8", "range"),
            ("Rating: 7…8", "range"),
            ("It does not deserve a rating of 10.", "negated"),
            ("I don't think the score is 10.", "negated"),
            ("It doesn't deserve 10/10.", "negated"),
            ("Rating: N/A\nscore of 5 requires more", "no_rating"),
            ("To get there, a score of 5 needs more", "no_rating"),
        ],
    )
    def test_is_rejected(self, text, kind):
        assert kind_of(parse_rating, text) == kind

    def test_decimals_and_other_scales_on_request(self):
        assert parse_rating("Rating: 7.5", decimals=True) == 7.5
        assert parse_rating("[[0]]", 0, 5) == 0
        assert kind_of(parse_rating, "[[9.5]]", 0, 9, decimals=True) == "out_of_range"


_PIECES = [
    "[[",
    "]]",
    "A",
    "B",
    "7",
    "10",
    ".",
    "/",
    "-",
    "rating",
    "score:",
    " out of ",
    '"',
    "\n",
    " ",
    "{",
    "}",
    "é",
]


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)))
def test_whatever_is_said_is_read_or_rejected_and_never_ambiguous(text):
    try:
        verdict = parse_verdict(text, "AB")
    except Reject:
        pass
    else:
        other = {"A": "B", "B": "A"}[verdict]
        assert f"[[{verdict}]]" in text.upper().replace(" ", "") and f"[[{other}]]" not in text
    try:
        rating = parse_rating(text)
    except Reject:
        return
    assert rating in range(1, 11)


class TestLegacy:
    @pytest.fixture(scope="class")
    def golden(self, shared_dir):
        return json.loads((shared_dir / "golden" / "rewardbench.json").read_text(encoding="utf-8"))

    def test_verdicts_of_pairs(self, golden):
        cases = golden["judge_parse_v1"]["cases"]
        assert len(cases) == 70
        for case in cases:
            assert legacy_parse_verdict(case["text"], case["modifier"]) == case["expected"], case

    def test_verdicts_of_four(self, golden):
        for case in golden["judge_parse_v2"]["cases"]:
            assert legacy_parse_verdict_four_way(case["text"]) == case["expected"], case

    def test_ratings(self, golden):
        for case in golden["judge_rating_parse"]["cases"]:
            assert legacy_parse_rating(case["text"]) == case["expected"], case

    @pytest.mark.parametrize(
        ("text", "modifier", "expected"),
        [
            ('{"原因": "x", "更好的回答": 1}', "Con-J", "A"),
            ("更好的回答是２", "Con-J", "B"),
            ('{"更好的回答": 3}', "Con-J", "None"),
            ("Output (b)", "offsetbias", "B"),
            ("**Reasoning:** x\n\n**Result:** B", "Atla", "B"),
            ("[RESULT] A", "prometheus", "A"),
            ("[[B]] [RESULT]", "prometheus", "error"),
            ("[[B]]", "RISE-Judge", "B"),
        ],
    )
    def test_families_that_the_golden_cases_touch_lightly(self, text, modifier, expected):
        assert legacy_parse_verdict(text, modifier) == expected

    def test_known_faults_of_the_original_are_kept_here_and_nowhere_else(self):
        assert legacy_parse_verdict("both [[A]] and [[B]]") == "A"
        assert kind_of(parse_verdict, "both [[A]] and [[B]]", "AB") == "conflict"
        assert (legacy_parse_rating("7/10"), parse_rating("7/10")) == (10, 7)
        assert (legacy_parse_rating("**8**"), parse_rating("**8**")) == (-1, 8)

    def test_unknown_families_are_refused(self):
        with pytest.raises(ValueError, match="prometheus"):
            legacy_parse_verdict("[[A]]", "claude")

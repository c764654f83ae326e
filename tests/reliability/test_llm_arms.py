import doctest
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from trl_ext.completions import Answer, CompletionRequest, CompletionResult, Failure, Sampling
from trl_ext.completions import ledger as ledger_module
from trl_ext.completions import requests as requests_module
from trl_ext.completions import store as store_module
from trl_ext.reliability.calibrators import PlattCalibrator
from trl_ext.reliability.llm_arms import (
    CRITERIA,
    CriteriaCalibrator,
    calibrator,
    difficulty_correlations,
    difficulty_questions,
    difficulty_table,
    parse_scores,
    parsing,
    rubric_messages,
    scores_form,
)


NAMES = list(CRITERIA)


def answer(score=3, **changes) -> dict:
    return {name: {"reasoning": f"because of {name}", "score": score} for name in NAMES} | changes


class TestRubric:
    def test_has_seven_criteria_and_both_ends_of_the_scale(self):
        system, user = rubric_messages("What is 2 + 2?", "4", "5")
        assert len(CRITERIA) == 7 and NAMES[-1] == "overall_difficulty"
        for name, (easy, hard) in CRITERIA.items():
            assert f"{name}: 1 = {easy}; 5 = {hard}." in system["content"]
        assert user["content"].index("What is 2 + 2?") < user["content"].index("4\n</response_a>")
        assert "5\n</response_b>" in user["content"]

    def test_the_form_it_shows_is_what_the_parser_reads(self):
        for reasoning in (True, False):
            shown = rubric_messages("p", "a", "b", reasoning=reasoning)[0]["content"].splitlines()[-1]
            scores = parse_scores(shown.replace("<1-5>", "4"))
            assert {score.score for score in scores.values()} == {4}
            assert bool(scores["overall_difficulty"].reasoning) == reasoning

    def test_a_form_that_is_filled_in_can_be_parsed(self):
        form = scores_form()
        text = "".join(before + options[i % 5] for i, (before, options) in enumerate(form.blanks)) + form.end
        assert [score.score for score in parse_scores(text).values()] == [1, 2, 3, 4, 5, 1, 2]


class TestParser:
    @pytest.mark.parametrize(
        "wrap",
        [
            "{}",
            "```json\n{}\n```",
            "Here is my judgement: {} I hope it helps {{not JSON}}.",
            '<think>{{"knowledge_requirements": 1}} hm</think>\n{}',
            "The braces { in this sentence do not matter. {}",
        ],
    )
    def test_tolerates_what_is_around(self, wrap):
        text = wrap.replace("{}", json.dumps(answer(), indent=2)).replace("{{", "{").replace("}}", "}")
        scores = parse_scores(text)
        assert list(scores) == NAMES
        assert scores["value_conflicts"].score == 3
        assert scores["value_conflicts"].reasoning == "because of value_conflicts"

    @given(st.lists(st.integers(1, 5), min_size=7, max_size=7), st.text())
    def test_reads_what_was_written(self, values, reasoning):
        record = {name: {"reasoning": reasoning, "score": value} for name, value in zip(NAMES, values, strict=True)}
        scores = parse_scores(f"Sure!\n{json.dumps(record)}\nDone.")
        assert [score.score for score in scores.values()] == values
        assert {score.reasoning for score in scores.values()} == {reasoning}

    @pytest.mark.parametrize("score", [2, "2", " 2 ", 2.0, {"score": 2}])
    def test_accepts_whole_numbers_however_written(self, score):
        assert parse_scores(json.dumps(answer(value_conflicts=score)))["value_conflicts"].score == 2

    @pytest.mark.parametrize("score", [0, 6, 2.5, "2/5", "high", None, True, [], {"reasoning": "no"}])
    def test_refuses_other_scores(self, score):
        with pytest.raises(ValueError, match="value_conflicts"):
            parse_scores(json.dumps(answer(value_conflicts=score)))

    def test_a_fragment_after_a_complete_answer_does_not_count(self):
        fragment = json.dumps({"value_conflicts": 5})
        scores = parse_scores(f"{json.dumps(answer(2))}\nIn short: {fragment}")
        assert {score.score for score in scores.values()} == {2}
        assert parse_scores(json.dumps(answer(2)) + json.dumps(answer(4)))["value_conflicts"].score == 4

    def test_scores_in_a_field_of_an_outer_object_are_found(self):
        scores = parse_scores(json.dumps({"reasoning": {"score": 1}, "scores": answer(4)}))
        assert {score.score for score in scores.values()} == {4}

    def test_names_what_is_missing(self):
        record = answer()
        del record["response_clarity"], record["overall_difficulty"]
        with pytest.raises(ValueError, match="criteria response_clarity, overall_difficulty are missing"):
            parse_scores(json.dumps(record))

    @pytest.mark.parametrize("text", ["", "no", '{"a": 1}', json.dumps(answer())[:-20], "{" * 5000])
    def test_refuses_what_is_no_answer(self, text):
        with pytest.raises(ValueError, match="no JSON object|missing"):
            parse_scores(text)


def rows(count=40):
    return [{"id": i, "prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(count)]


class TestQuestions:
    def test_the_model_cannot_tell_which_response_was_chosen(self):
        questions = difficulty_questions(rows(400), Sampling())
        first = [question.chosen_first for question in questions]
        assert 0.4 < np.mean(first) < 0.6
        for question, row in zip(questions, rows(400), strict=True):
            text = question.request.messages[1]["content"]
            assert "chosen" not in text and "rejected" not in text
            assert (text.index(row["chosen"]) < text.index(row["rejected"])) == question.chosen_first
        assert first == [question.chosen_first for question in difficulty_questions(rows(400), Sampling())]
        assert first != [question.chosen_first for question in difficulty_questions(rows(400), Sampling(), seed=1)]

    def test_both_orders_and_repetitions(self):
        questions = difficulty_questions(rows(2), Sampling(0.7), order="both", repetitions=3)
        assert len(questions) == 12 and len({question.request.id for question in questions}) == 12
        assert sum(question.chosen_first for question in questions) == 6

    def test_messages_become_text(self):
        chat = [
            {
                "id": "a",
                "prompt": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
                "chosen": [{"role": "assistant", "content": "Good"}],
                "rejected": [{"role": "assistant", "content": "Bad"}],
            }
        ]
        text = difficulty_questions(chat, Sampling())[0].request.messages[1]["content"]
        assert (
            "User: Hi\n\nAssistant: Yes?" in text and "<response_a>\nBad\n" in text or "<response_a>\nGood\n" in text
        )

    @pytest.mark.parametrize(
        ("make", "error"),
        [
            (lambda: difficulty_questions([{"chosen": "a", "rejected": "b"}], Sampling()), "row 0 has no id"),
            (lambda: difficulty_questions(rows(2) + rows(1), Sampling()), "row 2: the id '0' occurs a second time"),
            (lambda: difficulty_questions(rows(1), Sampling(), order="AB"), "order must be one of random, both"),
        ],
    )
    def test_refuses(self, make, error):
        with pytest.raises(ValueError, match=error):
            make()


class TestTable:
    def test_averages_what_was_answered_and_counts_what_was_not(self):
        questions = difficulty_questions(rows(3), Sampling(), order="both")

        def result(request, score):
            if score is None:
                return CompletionResult(request, None, None, 1, Failure("unparsable", "no"))
            return CompletionResult(request, parse_scores(json.dumps(answer(score))), Answer(""), 1)

        given_scores = [1, 4, 5, None, None, None]
        results = [result(q.request, score) for q, score in zip(questions, given_scores, strict=True)]
        table = difficulty_table(questions, results)
        assert table["id"].tolist() == ["0", "1", "2"]
        assert table["overall_difficulty"].tolist()[:2] == [2.5, 5.0] and np.isnan(table["overall_difficulty"][2])
        assert table["n_answers"].tolist() == [2, 1, 0] and table["n_failed"].tolist() == [0, 1, 2]
        assert table["chosen_first"].tolist()[:2] == [0.5, 1.0]


GENERATOR = np.random.default_rng(0)
SCORES = pd.DataFrame({name: GENERATOR.integers(1, 6, 400) for name in NAMES})
CORRECT = GENERATOR.random(400) < 1 / (1 + np.exp(0.8 * (SCORES["overall_difficulty"] - 3)))


class TestCalibrator:
    def test_with_one_criterion_it_is_platt_scaling(self):
        ours = CriteriaCalibrator().fit(SCORES, CORRECT, fitted_on="all")
        platt = PlattCalibrator().fit(SCORES["overall_difficulty"], CORRECT)
        assert ours.coef == {"overall_difficulty": pytest.approx(platt.coef)}
        np.testing.assert_allclose(ours.predict(SCORES), platt.predict(SCORES["overall_difficulty"]))

    def test_harder_is_less_reliable(self):
        fitted = CriteriaCalibrator(NAMES).fit(SCORES, CORRECT, fitted_on="all")
        assert fitted.coef["overall_difficulty"] == pytest.approx(-0.8, abs=0.25)
        assert max(abs(fitted.coef[name]) for name in NAMES[:-1]) < 0.3
        assert fitted.predict(SCORES).mean() == pytest.approx(CORRECT.mean(), abs=1e-4)

    def test_round_trip(self, tmp_path):
        fitted = CriteriaCalibrator(NAMES[:2]).fit(SCORES, CORRECT, fitted_on="a split")
        fitted.save(tmp_path / "c.json")
        again = CriteriaCalibrator.from_dict(json.loads((tmp_path / "c.json").read_text()))
        assert np.array_equal(again.predict(SCORES), fitted.predict(SCORES))
        assert (again.fitted_on, again.n, again.to_dict()) == ("a split", 400, fitted.to_dict())

    def test_warns_when_hard_pairs_are_labelled_better(self, caplog):
        CriteriaCalibrator().fit({"overall_difficulty": [1, 2, 4, 5]}, [0, 0, 1, 1], fitted_on="four rows")
        assert "more often right on pairs that were scored harder" in caplog.text and "four rows" in caplog.text

    @pytest.mark.parametrize(
        ("scores", "correct", "message"),
        [
            ([1, np.nan], [0, 1], r"must lie in \[1, 5\]; 1 do not, first: row 1, value nan"),
            ([0, 3], [0, 1], r"first: row 0, value 0"),
            ([1, 2], [0, 0.5], "must be 0 or 1; 1 values are not, first: row 1"),
            ([1, 2], [1, 1], "at least one 0 and one 1"),
            ([1, 2, 3], [0, 1], r"shape \(3,\)"),
            ([[1, 2]], [0, 1], r"shape \(N,\)"),
        ],
    )
    def test_refuses(self, scores, correct, message):
        with pytest.raises(ValueError, match=message):
            CriteriaCalibrator().fit({"overall_difficulty": scores}, correct, fitted_on="x")

    def test_refuses_unknown_criteria_and_early_use(self):
        with pytest.raises(ValueError, match="criteria must be one or more of"):
            CriteriaCalibrator(["difficulty"])
        with pytest.raises(NotFittedError):
            CriteriaCalibrator().predict({"overall_difficulty": [1]})
        with pytest.raises(ValueError, match="lacks the criteria cognitive_demand"):
            CriteriaCalibrator(["cognitive_demand"]).fit({"overall_difficulty": [1]}, [1], fitted_on="x")


class TestCorrelations:
    def test_is_pearsons(self):
        x, y = SCORES, CORRECT
        found = difficulty_correlations(x, y, resamples=200)
        assert list(found) == NAMES
        for name, estimate in found.items():
            assert estimate.value == pytest.approx(np.corrcoef(x[name], y)[0, 1])
        strong = found["overall_difficulty"]
        assert strong.ci_low < strong.value < strong.ci_high < 0
        # about (1 - r^2) / sqrt(n) for rows that are independent
        assert strong.se == pytest.approx((1 - strong.value**2) / 20, rel=0.25)

    def test_equal_scores_have_none(self):
        found = difficulty_correlations({"overall_difficulty": [3, 3, 3, 3]}, [0, 1, 0, 1], resamples=10)
        assert np.isnan(found["overall_difficulty"].value)

    def test_refuses(self):
        with pytest.raises(ValueError, match="none of the criteria"):
            difficulty_correlations({"x": [1, 2]}, [0, 1])
        with pytest.raises(ValueError, match="hold 0 and 1 only"):
            difficulty_correlations({"overall_difficulty": [1, 2]}, [0, 2])


@pytest.mark.parametrize(
    "documented",
    [
        parsing.parse_scores,
        calibrator.CriteriaCalibrator,
        ledger_module.approximate_prompt_tokens,
        requests_module.request_key,
        store_module.AnswerStore,
    ],
)
def test_the_docstring_example_runs(documented):
    code = re.search(r"```python\n(.*?)```", documented.__doc__, re.DOTALL)[1]
    names = {
        "CriteriaCalibrator": CriteriaCalibrator,
        "CompletionRequest": CompletionRequest,
        "request_key": requests_module.request_key,
        "approximate_prompt_tokens": ledger_module.approximate_prompt_tokens,
    }
    test = doctest.DocTestParser().get_doctest(code, names, documented.__name__, None, None)
    assert doctest.DocTestRunner().run(test).failed == 0

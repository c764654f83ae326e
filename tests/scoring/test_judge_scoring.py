"""Judges against a real OpenAI-compatible server that answers as it is told."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from tests.scoring.helpers import read_lines
from tests.servers.openai_compatible import CompletionServer
from trl_ext.completions import Answer, OpenAIBackend, Outcome, Prices, RetryPolicy, Sampling, TooManyFailures
from trl_ext.evaluation.benchmarks.base import Benchmark, BenchmarkResult
from trl_ext.evaluation.benchmarks.run import evaluate_benchmark
from trl_ext.evaluation.statistics import proportion_estimate
from trl_ext.scoring.judges import (
    FourWayJudge,
    JudgeFailure,
    JudgePanel,
    JudgeTemplate,
    PairwiseJudge,
    RatingsJudge,
    RoutedJudge,
)


GOOD, BAD = "a good answer", "a poor answer"


def shown(body) -> dict[str, str]:
    """Label -> response, as the question shows them."""
    return dict(re.findall(r'<answer label="(.)">\n(.*?)\n</answer>', body["messages"][-1]["content"], re.DOTALL))


def picks_the_good_one(body) -> str:
    (label,) = [label for label, response in shown(body).items() if GOOD in response]
    return f"They differ.\n\n[[{label}]]"


def always(text: str):
    return lambda body: text


def rates(body) -> str:
    return "[[9]]" if GOOD in body["messages"][-1]["content"] else "Rating: 3/10"


@pytest.fixture(scope="module")
def server():
    with CompletionServer(always("[[A]]")) as server:
        yield server


@pytest.fixture
def make(server, tmp_path):
    """A judge of a kind whose model answers by a function."""

    def build(kind, answer, *, model="judge", store="answers.jsonl", **kwargs):
        server.answer = answer
        server.refuse_with = None
        server.asked.clear()
        server.bodies.clear()
        retry = RetryPolicy(max_retries=1, first_wait=0.01, longest_wait=0.02)
        backend = OpenAIBackend(model, base_url=server.url, api_key_env=None, concurrency=4, retry=retry)
        judge = kind(backend, tmp_path / store, **kwargs)
        judge.progress = False
        return judge

    return build


def pairs(count: int) -> tuple[list[str], list[list[str]]]:
    return [f"Question {i}?" for i in range(count)], [[f"{GOOD} {i}", f"{BAD} {i}"] for i in range(count)]


class TestPairs:
    def test_both_orders_cancel_a_preference_for_the_first_place(self, make, server):
        judge = make(PairwiseJudge, always("[[A]]"))
        for rewards in judge.score(*pairs(6)):
            np.testing.assert_array_equal(rewards, [0.5, 0.5])
        found = judge.statistics()
        assert server.asked.total() == found.answers == 12
        assert found.positions[2]["A"].value == 1 and found.positions[2]["B"].value == 0
        assert found.consistency.value == 0 and (found.always_first, found.always_last) == (6, 0)
        assert found.undecided_prompts == 0 and found.unusable.value == 0

    def test_a_judge_that_sees_the_difference_is_consistent(self, make):
        judge = make(PairwiseJudge, picks_the_good_one, prices=Prices(1.0, 2.0))
        for rewards in judge.score(*pairs(6)):
            np.testing.assert_array_equal(rewards, [1, 0])
        found = judge.statistics()
        assert found.consistency.value == 1 and found.consistency.ci_low < 1
        assert found.positions[2]["A"].value == 0.5
        assert found.ledger.answers == 12 and found.ledger.cost > 0

    def test_one_seeded_order_is_the_same_in_any_window_and_process(self, make, server):
        prompts, responses = pairs(40)

        def firsts(seed, chosen) -> dict[str, str]:
            judge = make(PairwiseJudge, always("[[A]]"), orders="seeded", seed=seed, store=f"{seed}-{len(chosen)}")
            rewards = judge.score([prompts[i] for i in chosen], [responses[i] for i in chosen])
            assert server.asked.total() == len(chosen)
            return {prompts[i]: own.tolist() for i, own in zip(chosen, rewards, strict=True)}

        whole = firsts(0, range(40))
        part = firsts(0, [31, 7, 12])
        assert part == {prompt: whole[prompt] for prompt in part}
        assert whole != firsts(1, range(40))
        wins = sum(own == [1, 0] for own in whole.values())
        assert 8 < wins < 32, "the good response is first about half of the time"

    def test_ties_are_half_and_counted_apart_from_what_cannot_be_read(self, make):
        answers = {"A": "[[TIE]]", "B": "no idea"}

        def answer(body) -> str:
            return answers[next(label for label, response in shown(body).items() if GOOD in response)]

        judge = make(PairwiseJudge, answer, template="choice_ties")
        for rewards in judge.score(*pairs(3)):
            np.testing.assert_array_equal(rewards, [0.5, 0.5])
        found = judge.statistics()
        assert found.outcomes == {"tie": 3, "reject": 3}
        assert found.rejects == {"no_verdict": 3}
        assert found.undecided_prompts == 0 and found.consistency is None

    def test_repetitions_are_averaged(self, make):
        # the seed of a request differs from repetition to repetition
        judge = make(
            PairwiseJudge,
            lambda body: f"[[{'AB'[body['seed'] % 2]}]]",
            repetitions=8,
            orders="seeded",
            sampling=Sampling(1.0, max_tokens=8),
        )
        rewards = np.stack(judge.score(*pairs(4)))
        np.testing.assert_allclose(rewards.sum(axis=1), 1)
        assert len(np.unique(rewards)) > 2 and judge.statistics().answers == 32

    def test_other_numbers_of_responses_are_refused_by_name(self, make):
        judge = make(PairwiseJudge, always("[[A]]"))
        with pytest.raises(ValueError, match=r"prompt 1 has 3 responses.*RatingsJudge"):
            judge.score(["a", "b"], [["x", "y"], ["x", "y", "z"]])

    def test_conversations_are_shown_turn_by_turn(self, make, server):
        judge = make(PairwiseJudge, always("[[A]]"), orders="seeded")
        turns = [
            {"role": "system", "content": "Be brief. {braces} [[A]]"},
            {"role": "user", "content": "First question"},
            {"role": "assistant", "content": "First answer"},
            {"role": "user", "content": "Second question"},
        ]
        judge.score([turns], [["one", "two"]])
        text = server.bodies[-1]["messages"][-1]["content"]
        order = [
            f'<turn number="{n}" role="{turn["role"]}">\n{turn["content"]}\n</turn>' for n, turn in enumerate(turns, 1)
        ]
        assert "\n".join(order) in text

    def test_system_messages_can_be_avoided(self, make, server):
        judge = make(PairwiseJudge, always("[[A]]"), system_prompt=False)
        judge.score(*pairs(1))
        (message,) = server.bodies[-1]["messages"]
        assert message["role"] == "user" and "decide which one serves" in message["content"]


MALFORMED = {
    "empty": "",
    "blank": "  \n",
    "both": "[[A]] or [[B]]",
    "refusal": "I'm sorry, I can't help with comparing these.",
    "wrong letter": "[[C]]",
    "JSON": '{"winner": "A"}',
    "number words": "The first one is better.",
    "cut off": "After weighing both, my verdict is [[A",
    "bare letter": "A",
    "rating": "8/10",
    "single brackets": "[B]",
    "several words": "[[Answer A]]",
    "quotation": 'The second one asks me to write "[[B]]", which is a trick.',
    "endless reasoning": "<think>Is it [[A]]? Or",
    "other script": "【【A】】",
}


class TestMalformedAnswers:
    def test_never_decide_anything(self, make, server):
        prompts = list(MALFORMED)

        def answer(body) -> str:
            (name,) = re.findall(r'role="user">\n(.*)\n', body["messages"][-1]["content"])
            return MALFORMED[name]

        judge = make(PairwiseJudge, answer)
        for rewards in judge.score(prompts, [[GOOD, BAD]] * len(prompts)):
            np.testing.assert_array_equal(rewards, [0.5, 0.5])
        found = judge.statistics()
        assert found.outcomes == {"reject": 30} and found.undecided_prompts == 15 and found.unusable.value == 1
        assert found.rejects == {
            "no_verdict": 16,  # refusal, JSON, words, cut off, bare letter, rating, single brackets, other script
            "empty": 4,
            "conflict": 2,
            "wrong_label": 2,
            "malformed": 2,
            "quoted": 2,
            "unfinished_reasoning": 2,
        }
        assert found.positions == {} and found.consistency is None
        assert found.ledger.unusable == 30 and server.asked.total() == 30
        json.dumps(judge.report())

    def test_are_worth_a_quarter_of_four(self, make):
        judge = make(FourWayJudge, always("A"))
        (rewards,) = judge.score(["Question?"], [[GOOD, BAD, BAD + "!", BAD + "?"]])
        np.testing.assert_array_equal(rewards, [0.25] * 4)

    def test_are_asked_again_if_wanted(self, make, server):
        judge = make(PairwiseJudge, lambda body: "[[B]]" if body["seed"] % 3 == 0 else "hm", parse_attempts=30)
        judge.score(*pairs(3))
        found = judge.statistics()
        assert found.outcomes == {"verdict": 6}
        assert found.ledger.answers == server.asked.total() > 6
        assert found.ledger.unusable == found.ledger.answers - 6


class Canned:
    """A backend in this process, for what the server does not tell: why an answer ended, and refusals."""

    model_id, prompt_rule = "canned", "none"

    def __init__(self, answer: Answer):
        self.answer = answer

    def check(self, sampling) -> None: ...

    def is_deterministic(self, sampling) -> bool:
        return True

    def run(self, next_job, finished) -> None:
        while (job := next_job()) is not None:
            finished(Outcome(job, self.answer))


@pytest.mark.parametrize(
    ("answer", "outcomes", "rejects"),
    [
        (Answer("Rating: 1", "length"), {"reject": 1}, {"cut": 1}),  # the beginning of 10
        (Answer("It has many", "length"), {"reject": 1}, {"cut": 1}),
        (Answer("<think>It has", "length"), {"reject": 1}, {"cut": 1}),
        (Answer("", "length"), {"reject": 1}, {"cut": 1}),
        (Answer("11/10", "length"), {"reject": 1}, {"out_of_range": 1}),
        (Answer("[[9]] because", "length"), {"rating": 1}, {}),
        (Answer("Rating: 1", "stop"), {"rating": 1}, {}),
        (Answer("", "stop", refusal="No."), {"reject": 1}, {"refusal": 1}),
    ],
)
def test_answers_that_were_cut_or_refused_are_told_apart(answer, outcomes, rejects, tmp_path):
    judge = RatingsJudge(Canned(answer), tmp_path / "answers.jsonl")
    judge.progress = False
    judge.score(["a"], [[GOOD]])
    found = judge.statistics()
    assert (found.outcomes, found.rejects) == (outcomes, rejects)
    assert found.ledger.unusable == len(rejects)


class TestUpToEight:
    @pytest.mark.parametrize("count", [2, 3, 4, 8])
    def test_all_rotations_show_every_response_in_every_place(self, make, count):
        judge = make(FourWayJudge, always("[[B]]"), rotations="all")
        responses = [f"response {i}" for i in range(count)]
        (rewards,) = judge.score(["Question?"], [responses])
        np.testing.assert_allclose(rewards, 1 / count)
        table = judge.judgements()
        assert sorted(order[0] for order in table["order"]) == list(range(count))

    def test_the_winner_is_found_wherever_it_stands(self, make):
        judge = make(FourWayJudge, picks_the_good_one)
        responses = [[f"{BAD} {j}" if j != i % 4 else GOOD for j in range(4)] for i in range(12)]
        for i, rewards in enumerate(judge.score([f"Question {i}?" for i in range(12)], responses)):
            np.testing.assert_array_equal(rewards, np.eye(4)[i % 4])
        shares = judge.statistics().positions[4]
        assert len(shares) == 4 and sum(share.value for share in shares.values()) == pytest.approx(1)

    def test_prompts_with_different_numbers_of_responses_mix(self, make):
        judge = make(FourWayJudge, always("[[C]]"))
        two, three = judge.score(["a", "b"], [["x", "y"], ["x", "y", "z"]])
        np.testing.assert_array_equal(two, [0.5, 0.5])
        assert sorted(three) == [0, 0, 1]
        assert judge.statistics().rejects == {"wrong_label": 1}

    def test_equal_responses_get_equal_rewards(self, make):
        judge = make(FourWayJudge, always("[[A]]"))
        pair, three = judge.score(["a", "b"], [[GOOD, GOOD], [GOOD, GOOD, BAD]])
        np.testing.assert_array_equal(pair, [0.5, 0.5])
        assert three[0] == three[1] and three.sum() == 1

    def test_nine_are_too_many(self, make):
        with pytest.raises(ValueError, match="2 to 8"):
            make(FourWayJudge, always("[[A]]")).score(["a"], [list("abcdefghi")])


class TestRatings:
    def test_are_the_rewards(self, make):
        judge = make(RatingsJudge, rates)
        (rewards,) = judge.score(["Question?"], [[BAD, GOOD, BAD + "!"]])
        np.testing.assert_array_equal(rewards, [3, 9, 3])
        assert judge.statistics().ratings == {"3": 2, "9": 1}

    def test_one_unusable_rating_ties_its_prompt_and_no_other(self, make):
        def answer(body) -> str:
            return "no rating" if "odd" in body["messages"][-1]["content"] else rates(body)

        judge = make(RatingsJudge, answer)
        spoiled, whole = judge.score(["a", "b"], [[GOOD, "odd"], [GOOD, BAD]])
        np.testing.assert_array_equal(spoiled, [5.5, 5.5])
        np.testing.assert_array_equal(whole, [9, 3])
        found = judge.statistics()
        assert found.undecided_prompts == 1 and found.rejects == {"no_rating": 1} and found.outcomes["rating"] == 3

    def test_or_is_an_error(self, make):
        judge = make(RatingsJudge, always("11"), on_unusable="error")
        with pytest.raises(JudgeFailure, match=r"prompt 0: 2 of 2 responses .* \(out_of_range\)"):
            judge.score(["a"], [[GOOD, BAD]])

    def test_repetitions_are_averaged_over_those_that_can_be_read(self, make):
        judge = make(
            RatingsJudge,
            lambda body: ["[[4]]", "[[8]]", "eight"][body["seed"] % 3],
            repetitions=30,
            sampling=Sampling(1.0),
        )
        ((reward,),) = judge.score(["a"], [[GOOD]])
        table = judge.judgements()
        usable = table["rating"].dropna()
        assert 0 < len(usable) < 30 and set(usable) == {4, 8}
        assert reward == pytest.approx(usable.mean())
        assert judge.statistics().repetition_sd == pytest.approx(usable.std())

    def test_the_prompt_for_ties_says_nothing_of_length_and_detail(self):
        words = {
            "detail",
            "depth",
            "length",
            "long",
            "brief",
            "short",
            "style",
            "format",
            "thorough",
            "covers",
            "helpful",
        }
        template = JudgeTemplate.load("rating_ties")
        assert not words & set(re.findall(r"[a-z]+", (template.system + template.user).lower()))


class TestFailures:
    def test_no_answer_is_an_error_and_never_a_tie(self, make, server):
        judge = make(PairwiseJudge, always("[[A]]"))
        server.refuse_with = (400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
        with pytest.raises(JudgeFailure, match="2 of 2 questions got no answer.*context_length"):
            judge.score(*pairs(1))

    def test_a_dead_server_ends_it_early(self, make, server):
        judge = make(PairwiseJudge, always("[[A]]"))
        server.refuse_with = (401, {"error": {"message": "no"}})
        with pytest.raises(TooManyFailures, match="authentication"):
            judge.score(*pairs(30))
        assert server.asked.total() < 20

    def test_unless_it_is_to_be_ignored_and_counted(self, make, server):
        judge = make(PairwiseJudge, always("[[A]]"), on_failure="ignore")
        server.refuse_with = (400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
        for rewards in judge.score(*pairs(12)):
            np.testing.assert_array_equal(rewards, [0.5, 0.5])
        found = judge.statistics()
        assert found.outcomes == {"failure": 24} and found.failures == {"context_length": 24}

    @pytest.mark.parametrize(
        ("kind", "arguments", "message"),
        [
            (PairwiseJudge, {"orders": "all"}, "orders must be"),
            (FourWayJudge, {"rotations": "both"}, "rotations must be"),
            (PairwiseJudge, {"template": "rating"}, "needs a template of kind 'choice'"),
            (RatingsJudge, {"template": "nowhere.yaml"}, "no template 'nowhere.yaml'"),
            (PairwiseJudge, {"repetitions": 3}, "temperature 0 are one answer"),
            (PairwiseJudge, {"parser": "lenient"}, "parser must be"),
            (FourWayJudge, {"parser": "legacy:Atla"}, "is for pairs"),
            (PairwiseJudge, {"parser": "legacy", "template": "choice_ties"}, "knows no ties"),
            (RatingsJudge, {"on_unusable": "skip"}, "on_unusable must be"),
            (RatingsJudge, {"parse_attempts": 0}, "parse_attempts must be at least 1"),
        ],
    )
    def test_wrong_arguments_are_named(self, make, kind, arguments, message):
        with pytest.raises(ValueError, match=message):
            make(kind, always("[[A]]"), **arguments)


def test_legacy_parsing_gives_the_numbers_of_rewardbench(make):
    judge = make(PairwiseJudge, always("both [[A]] and [[B]]"), parser="legacy", orders="seeded")
    rewards = judge.score(*pairs(8))
    assert all(sorted(own) == [0, 1] for own in rewards)
    judge = make(PairwiseJudge, always("Output (b)"), parser="legacy:offsetbias")
    judge.score(*pairs(1))
    assert judge.statistics().positions[2]["B"].value == 1
    judge = make(RatingsJudge, always("7/10"), parser="legacy")
    np.testing.assert_array_equal(judge.score(["a"], [[GOOD]])[0], [10])


class TestTemplates:
    def write(self, folder, **changes):
        base = {"name": "mine", "kind": "choice", "system": "", "user": "{conversation}\n{responses}\n{options}?"}
        content = base | {"response": "({label}) {response}"} | changes
        path = folder / "mine.yaml"
        path.write_text(
            "\n".join(f"{name}: {json.dumps(value)}" for name, value in content.items() if value is not None)
        )
        return path

    def test_a_file_of_the_user_is_asked(self, make, server, tmp_path):
        judge = make(PairwiseJudge, always("[[A]]"), template=self.write(tmp_path), orders="seeded")
        judge.score(["{options} $x"], [["{label}", "two"]])
        (message,) = server.bodies[-1]["messages"]
        assert message["content"].endswith("[[A]] or [[B]]?")
        assert "{options} $x" in message["content"] and "{label}" in message["content"], "data is left as it is"
        settings = judge.settings()["template"]
        assert settings["name"] == "mine" and settings["sha256"] != JudgeTemplate.load("choice").sha256

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"user": "{conversation}"}, r"'user' lacks {responses}"),
            ({"user": "{conversation} {responses} {foo}"}, r"unknown {foo}"),
            ({"response": "{response}"}, r"'response' lacks {label}"),
            ({"kind": "pairs"}, "kind must be"),
            ({"kind": None}, "lacks the field kind"),
            ({"extra": "x"}, "unknown field 'extra'"),
            ({"system": 3}, "must be of type str"),
            ({"tie": "C"}, "word in capitals"),
            ({"system": "{tie}"}, "no field 'tie'"),
        ],
    )
    def test_what_is_wrong_with_one_is_said(self, tmp_path, changes, message):
        with pytest.raises(ValueError, match=message):
            JudgeTemplate.load(self.write(tmp_path, **changes))


class TestSeveralJudges:
    def test_the_majority_decides(self, make, server, tmp_path):
        def answer(body) -> str:
            label = picks_the_good_one(body)[-3]
            wrong = {"A": "B", "B": "A"}[label]
            return {"right": f"[[{label}]]", "wrong": f"[[{wrong}]]", "mute": "?"}[body["model"].split("-")[0]]

        def panel(*models):
            judges = {name: make(PairwiseJudge, answer, model=name) for name in models}
            return JudgePanel(judges)

        judge = panel("right-1", "right-2", "wrong-1")
        for rewards in judge.score(*pairs(3)):
            np.testing.assert_allclose(rewards, [2 / 3, 1 / 3])
        report = judge.report()
        assert report["panel"] == {"prompts": 3, "unanimous": 0, "tied": 0}
        assert set(report["judges"]) == {"right-1", "right-2", "wrong-1"}
        assert set(judge.votes()["judge"]) == {"right-1", "right-2", "wrong-1"} and len(judge.votes()) == 9
        judge = panel("right-1", "wrong-1", "mute-1")
        for rewards in judge.score(*pairs(2)):
            np.testing.assert_allclose(rewards, [0.5, 0.5])
        assert judge.report()["panel"] == {"prompts": 2, "unanimous": 0, "tied": 2}
        assert judge.report()["judges"]["mute-1"]["rejects"] == {"no_verdict": 4}
        with pytest.raises(ValueError, match="odd number"):
            panel("right-1", "right-2")

    def test_prompts_go_to_the_judge_for_them(self, make, server, tmp_path):
        def answer(body) -> str:
            return rates(body) if "deserve" in body["messages"][-1]["content"] else picks_the_good_one(body)

        ties = make(RatingsJudge, answer, template="rating_ties")
        judge = RoutedJudge({"^(tied|ref):": ties, "": make(FourWayJudge, answer)})
        judge.progress = False
        rows = [("q1", [BAD, GOOD]), ("tied:0", [GOOD] + [f"{BAD} {i}" for i in range(12)]), ("q2", [GOOD, BAD])]
        (tmp_path / "rows.jsonl").write_text(
            "".join(json.dumps({"id": i, "prompt": f"{i}?", "responses": answers}) + "\n" for i, answers in rows)
        )
        judge.score_file(tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
        rewards = [line["reward"] for line in read_lines(tmp_path / "out.jsonl")]
        assert rewards == [0, 1, 9, *[3] * 12, 1, 0]
        assert judge.report()["judges"]["^(tied|ref):"]["answers"] == 13


class Pairs(Benchmark):
    """The share of pairs on which the first response has the higher reward; half for a tie."""

    name = "pairs"

    def load(self, source=None, *, split=None):
        prompts, responses = pairs(10)
        ids = [f"r{i}" for i in range(10)]
        columns = {
            "id": ids,
            "subset": ["all"] * 10,
            "prompt": prompts,
            "responses": responses,
            "num_correct": [1] * 10,
        }
        return Dataset.from_dict(columns | {"cluster": ids})

    def evaluate(self, rows, rewards):
        scores = [(np.sign(own[0] - own[1]) + 1) / 2 for own in rewards]
        table = pd.DataFrame({"id": rows["id"], "score": scores})
        return BenchmarkResult(self.name, proportion_estimate(scores), {}, {}, table)


def test_a_benchmark_records_what_the_judge_could_not_say(make, server, tmp_path):
    benchmark = Pairs()
    for _ in range(2):  # the second time nothing is left to do
        judge = make(PairwiseJudge, TestFiles.answer)
        result, _ = evaluate_benchmark(benchmark, judge, benchmark.load(), tmp_path / "results")
        assert result.overall.value == 0.9  # 8 of 10 are right, and 2 undecided
        written = json.loads((tmp_path / "results" / "results.json").read_text())
        assert written["model"] == "judge" and written["scoring"]["settings"]["template"]["name"] == "choice"
        assert written["report"]["rejects"] == {"no_verdict": 4} and written["report"]["undecided_prompts"] == 2
        assert written["report"]["consistency"]["value"] == 1
    assert server.asked.total() == 0


class TestFiles:
    @pytest.fixture
    def rows(self, tmp_path):
        prompts, responses = pairs(20)
        path = tmp_path / "rows.jsonl"
        path.write_text(
            "".join(
                json.dumps({"id": f"r{i}", "prompt": prompt, "responses": answers}) + "\n"
                for i, (prompt, answers) in enumerate(zip(prompts, responses, strict=True))
            )
        )
        return path

    @staticmethod
    def answer(body) -> str:
        number = int(re.findall(r"Question (\d+)", body["messages"][-1]["content"])[0])
        return "who knows" if number % 5 == 0 else picks_the_good_one(body)

    def test_an_interrupted_run_asks_nothing_twice_and_ends_as_one_that_was_not(self, make, server, rows, tmp_path):
        whole = make(PairwiseJudge, self.answer, store="whole.jsonl")
        whole.score_file(rows, tmp_path / "whole", window_size=8)
        expected = whole.report()
        assert expected["rejects"] == {"no_verdict": 8} and expected["answers"] == 40

        def failing(body) -> str:
            if len(server.bodies) > 19:  # in the middle of the third of five windows
                server.refuse_with = (401, {"error": {"message": "no"}})
            return self.answer(body)

        judge = make(PairwiseJudge, failing)
        with pytest.raises((JudgeFailure, TooManyFailures)):
            judge.score_file(rows, tmp_path / "out", window_size=8)
        written = (tmp_path / "out").read_bytes()
        assert (
            0 < written.count(b"\n") < 40 and not (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
        )
        stored = len(read_lines(tmp_path / "answers.jsonl"))
        assert stored > written.count(b"\n")

        judge = make(PairwiseJudge, self.answer)
        judge.score_file(rows, tmp_path / "out", window_size=8)
        assert server.asked.total() == 40 - stored
        assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
        assert judge.report() == expected, "what was scored before the interruption counts too"

        judge = make(PairwiseJudge, self.answer)
        judge.score_file(rows, tmp_path / "out", window_size=8)
        assert server.asked.total() == 0 and judge.report() == expected, "also if nothing is left to do"

    def test_without_the_store_the_report_says_what_it_does_not_know(self, make, server, rows, tmp_path):
        judge = make(PairwiseJudge, self.answer)
        judge.score_file(rows, tmp_path / "out")
        judge = make(PairwiseJudge, self.answer, store="lost.jsonl")
        judge.score_file(rows, tmp_path / "out")
        assert server.asked.total() == 0 and judge.report()["failures"] == {"not_stored": 40}

    def test_answers_that_other_processes_left_are_collected(self, make, server, rows, tmp_path):
        make(PairwiseJudge, self.answer).score_file(rows, tmp_path / "whole")
        store = tmp_path / "answers.jsonl"
        lines = store.read_bytes().splitlines(keepends=True)
        store.write_bytes(b"".join(lines[:10]))
        (tmp_path / "answers.process0.jsonl").write_bytes(b"".join(lines[:25]))
        (tmp_path / "answers.process1.jsonl").write_bytes(b"".join(lines[25:])[:-30])  # killed as it wrote
        make(PairwiseJudge, self.answer).score_file(rows, tmp_path / "out")
        assert server.asked.total() == 1 and (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
        assert sorted(store.read_bytes().splitlines()) == sorted(line.strip() for line in lines)
        assert not list(tmp_path.glob("answers.process*"))

    def test_a_lost_store_is_no_error_even_where_a_missing_rating_is(self, make, server, rows, tmp_path):
        make(RatingsJudge, rates, on_unusable="error").score_file(rows, tmp_path / "out")
        judge = make(RatingsJudge, rates, on_unusable="error", store="lost.jsonl")
        judge.score_file(rows, tmp_path / "out")
        assert judge.report()["failures"] == {"not_stored": 40}

    def test_a_panel_recalls_its_votes(self, make, server, rows, tmp_path):
        def panel():
            return JudgePanel({name: make(PairwiseJudge, self.answer, model=name) for name in "xyz"})

        first = panel()
        first.score_file(rows, tmp_path / "out", window_size=16)
        out = (tmp_path / "out").read_bytes()
        (tmp_path / "out").write_bytes(b"".join(out.splitlines(keepends=True)[:20]))
        second = panel()
        second.score_file(rows, tmp_path / "out", window_size=16)
        assert server.asked.total() == 0 and (tmp_path / "out").read_bytes() == out
        assert second.report() == first.report()
        assert second.report()["panel"] == {"prompts": 20, "unanimous": 16, "tied": 4}

    def test_a_file_of_another_judge_is_not_continued(self, make, rows, tmp_path):
        make(PairwiseJudge, self.answer).score_file(rows, tmp_path / "out")
        for change in ({"template": "choice_ties"}, {"seed": 1}, {"model": "other"}, {"parser": "legacy"}):
            with pytest.raises(ValueError, match="other settings"):
                make(PairwiseJudge, self.answer, **change).score_file(rows, tmp_path / "out")

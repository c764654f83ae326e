"""The engine against a real server that fails in every way it can."""

import asyncio
import json
import time
from collections import Counter
from email.utils import formatdate

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from openai.types.chat.chat_completion import Choice

from tests.servers.openai_compatible import API_KEY, CompletionServer, Faults, identity
from trl_ext.completions import (
    CompletionRequest,
    OpenAIBackend,
    Prices,
    RetryPolicy,
    Sampling,
    TooManyFailures,
    complete_all,
    estimate_completions,
)
from trl_ext.completions.retries import classify, retry_after


QUICK = RetryPolicy(max_retries=8, first_wait=0.01, longest_wait=0.05)


def echo(body) -> str:
    return f"ANSWER {body['messages'][-1]['content']}"


def parse(text: str) -> str:
    if not text.startswith("ANSWER "):
        raise ValueError("it does not begin with ANSWER")
    return text.removeprefix("ANSWER ")


def questions(count: int, **sampling) -> list[CompletionRequest]:
    return [
        CompletionRequest(f"q{i}", [{"role": "user", "content": f"number {i}"}], Sampling(**sampling))
        for i in range(count)
    ]


@pytest.fixture
def backend_of(monkeypatch):
    monkeypatch.setenv("TEST_SERVER_KEY", API_KEY)

    def make(server, **kwargs) -> OpenAIBackend:
        defaults = {"base_url": server.url, "api_key_env": "TEST_SERVER_KEY", "retry": QUICK, "concurrency": 4}
        return OpenAIBackend("test-model", **(defaults | kwargs))

    return make


ALL_FAULTS = Faults(
    **dict.fromkeys(["rate_limit", "bare_rate_limit", "server_error", "drop", "cut", "malformed", "foreign"], 0.06),
    **dict.fromkeys(["empty", "unreadable", "slow"], 0.06),
    seed=1,
)


class TestAnUnreliableServer:
    def test_every_question_is_answered_in_order_and_stored_once(self, tmp_path, backend_of):
        with CompletionServer(echo, ALL_FAULTS) as server:
            run = complete_all(
                questions(60), backend_of(server), tmp_path / "s.jsonl", parse=parse, parse_attempts=8, progress=False
            )
            assert {fault for fault, count in server.ends.items() if count} >= {
                *("rate_limit", "bare_rate_limit", "server_error", "drop", "cut"),
                *("malformed", "foreign", "empty", "unreadable", "slow", ""),
            }, "the seed has to give every kind of fault"
            assert [result.value for result in run.results] == [f"number {i}" for i in range(60)]
            assert run.failures == {}
            lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
            assert max(Counter((line["key"], line["attempt"]) for line in lines).values()) == 1
            # every complete answer was stored, unusable ones included, and nothing that was stored was asked again
            assert len(lines) == server.delivered.total()
            assert set(server.delivered.values()) == {1}
            assert run.retries == {
                "rate_limit": server.ends["rate_limit"] + server.ends["bare_rate_limit"],
                "server_error": server.ends["server_error"],
                "connection": server.ends["drop"] + server.ends["cut"],
                "malformed_response": server.ends["malformed"] + server.ends["foreign"],
            }
            assert run.asked + sum(run.retries.values()) == server.asked.total()
            assert server.authorizations == {f"Bearer {API_KEY}"}
            unusable = server.ends["empty"] + server.ends["unreadable"]
            assert run.ledger.unusable == unusable and run.ledger.answers == 60 + unusable
            assert API_KEY not in (tmp_path / "s.jsonl").read_text()

    def test_a_second_call_sends_nothing(self, tmp_path, backend_of):
        with CompletionServer(echo, ALL_FAULTS) as server:
            calls = [
                complete_all(questions(20), backend_of(server), tmp_path / "s", parse=parse, progress=False)
                for _ in range(2)
            ]
            sent = server.asked.total()
            assert [r.value for r in calls[0].results] == [r.value for r in calls[1].results]
            assert calls[1].asked == 0 and calls[0].ledger == calls[1].ledger
            # 20 of 30 are there: ten more are asked
            server.faults = Faults()
            third = complete_all(questions(30), backend_of(server), tmp_path / "s", parse=parse, progress=False)
            assert third.asked == 10 and server.asked.total() == sent + 10

    def test_answers_that_cannot_be_parsed_are_failures_in_the_end(self, tmp_path, backend_of):
        with CompletionServer(lambda body: "What?") as server:
            run = complete_all(
                questions(3), backend_of(server), tmp_path / "s", parse=parse, parse_attempts=2, progress=False
            )
            assert run.failures == {"unparsable": 3} and run.asked == 6
            assert "2 unusable answers; the last: it does not begin with ANSWER" in run.results[0].failure.message
            assert run.results[0].value is None and run.results[0].attempts == 2
            assert len(set(server.asked)) == 6, "every attempt has a seed of its own"
            assert run.ledger.unusable == 6 and run.ledger.unusable_completion_tokens == 6
            # a better parser needs no new answers
            again = complete_all(questions(3), backend_of(server), tmp_path / "s", progress=False)
            assert again.asked == 0 and [r.value for r in again.results] == ["What?"] * 3
            # and more attempts continue where the last ones ended
            more = complete_all(
                questions(3), backend_of(server), tmp_path / "s", parse=parse, parse_attempts=3, progress=False
            )
            assert more.asked == 3

    def test_equal_questions_are_asked_once_and_repetitions_apart(self, tmp_path, backend_of):
        message = [{"role": "user", "content": "the same"}]
        requests = [CompletionRequest("a", message), CompletionRequest("b", message)]
        requests += [CompletionRequest(f"c{i}", message, repetition=i) for i in (1, 2)]
        with CompletionServer(echo) as server:
            run = complete_all(requests, backend_of(server), tmp_path / "s", progress=False)
            assert run.asked == 3 and len(run.results) == 4
            assert len({body["seed"] for body in server.bodies}) == 3

    def test_at_most_so_many_at_once(self, tmp_path, backend_of):
        with CompletionServer(echo, seconds=0.05) as server:
            start = time.monotonic()
            complete_all(questions(24), backend_of(server, concurrency=6), tmp_path / "s", progress=False)
            assert server.most_at_once == 6
            assert time.monotonic() - start < 24 * 0.05

    def test_inside_a_running_event_loop(self, tmp_path, backend_of):
        async def notebook(server):
            return complete_all(questions(2), backend_of(server), tmp_path / "s", progress=False)

        with CompletionServer(echo) as server:
            assert asyncio.run(notebook(server)).failures == {}


class TestFailures:
    def test_a_wrong_key_stops_early_and_is_not_told(self, tmp_path, backend_of):
        with CompletionServer(echo) as server:
            server.refuse_with = (
                401,
                {"error": {"message": f"Incorrect API key {API_KEY}", "code": "invalid_api_key"}},
            )
            with pytest.raises(TooManyFailures) as caught:
                complete_all(
                    questions(50), backend_of(server), tmp_path / "s", max_consecutive_errors=5, progress=False
                )
            assert server.asked.total() <= 5 + 4  # what was under way may end
            message = str(caught.value)
            assert "requests in a row got no answer" in message and "'authentication'" in message
            assert "0 of 50 questions are answered" in message
            assert API_KEY not in message and "<TEST_SERVER_KEY>" in message
            # errors are not stored: with the right key, everything is asked
            server.refuse_with = None
            run = complete_all(questions(50), backend_of(server), tmp_path / "s", progress=False)
            assert run.failures == {} and run.asked == 50

    def test_a_key_in_any_field_of_an_answer_is_not_kept(self, backend_of):
        with CompletionServer(echo) as server:
            answer = backend_of(server)._answer(
                ChatCompletion.construct(
                    choices=[
                        Choice.construct(
                            finish_reason=f"stop {API_KEY}",
                            message=ChatCompletionMessage.construct(content=API_KEY, refusal=f"not for {API_KEY}"),
                        )
                    ]
                )
            )
        assert API_KEY not in repr(answer) and "<TEST_SERVER_KEY>" in answer.refusal and answer.finish_reason

    @pytest.mark.parametrize(
        ("status", "code", "kind", "tries"),
        [
            (400, None, "bad_request", 1),
            (400, "context_length_exceeded", "context_length", 1),
            (403, None, "permission_denied", 1),
            (404, None, "not_found", 1),
            (408, None, "request_timeout", 3),
            (409, None, "conflict", 3),
            (429, None, "rate_limit", 3),
            (429, "insufficient_quota", "quota", 1),
            (503, None, "server_error", 3),
        ],
    )
    def test_kinds(self, tmp_path, backend_of, status, code, kind, tries):
        with CompletionServer(echo) as server:
            server.refuse_with = (status, {"error": {"message": "no", "code": code}})
            backend = backend_of(server, retry=RetryPolicy(2, 0.001, 0.001))
            run = complete_all(questions(1), backend, tmp_path / "s", progress=False)
            assert run.failures == {kind: 1} and server.asked.total() == tries
            assert run.results[0].failure.kind == kind
            assert (tmp_path / "s").read_text() == ""

    def test_one_failure_does_not_touch_the_others(self, tmp_path, backend_of):
        with CompletionServer(echo, Faults(server_error=1.0)) as server:
            bad = identity({"messages": [{"role": "user", "content": "number 3"}], "seed": None})
            server.faults = type(
                "", (), {"slow_seconds": 0, "draw": lambda _, i, n: "server_error" if i == bad else ""}
            )()
            backend = backend_of(server, retry=RetryPolicy(1, 0.001, 0.001))
            run = complete_all(questions(6, seed=None), backend, tmp_path / "s", progress=False)
            assert [result.failure is None for result in run.results] == [True] * 3 + [False] + [True] * 2

    def test_max_failures(self, tmp_path, backend_of):
        with CompletionServer(lambda body: "") as server:
            with pytest.raises(TooManyFailures, match="3 requests failed, more than max_failures=2.*answer is empty"):
                complete_all(
                    questions(40),
                    backend_of(server, concurrency=1),
                    tmp_path / "s",
                    parse_attempts=1,
                    max_failures=2,
                    progress=False,
                )

    def test_no_server(self, tmp_path, backend_of):
        with CompletionServer(echo) as server:
            backend = backend_of(server, retry=RetryPolicy(1, 0.001, 0.001))
        run = complete_all(questions(1), backend, tmp_path / "s", progress=False)
        assert run.failures == {"connection": 1}

    def test_a_slow_server_times_out(self, tmp_path, backend_of):
        with CompletionServer(echo, seconds=2) as server:
            backend = backend_of(server, timeout=0.1, retry=RetryPolicy(1, 0.001, 0.001))
            run = complete_all(questions(1), backend, tmp_path / "s", progress=False)
            assert run.failures == {"timeout": 1} and run.retries == {"timeout": 1}

    def test_what_is_no_error_of_the_server_is_raised(self, tmp_path, backend_of):
        def broken(text):
            raise ZeroDivisionError("a bug in the parser")

        with CompletionServer(echo) as server, pytest.raises(ZeroDivisionError, match="a bug in the parser"):
            complete_all(questions(3), backend_of(server), tmp_path / "s", parse=broken, progress=False)


class TestWaiting:
    def test_retry_after_is_honoured(self, tmp_path, backend_of):
        with CompletionServer(echo, Faults(rate_limit=1.0, retry_after="0.3")) as server:
            start = time.monotonic()
            backend = backend_of(server, retry=RetryPolicy(2, 0.001, 0.001))
            run = complete_all(questions(1), backend, tmp_path / "s", progress=False)
            assert run.failures == {"rate_limit": 1} and 0.6 <= time.monotonic() - start < 2

    def test_a_server_that_wants_too_long_is_given_up(self, tmp_path, backend_of):
        with CompletionServer(echo, Faults(rate_limit=1.0, retry_after="86400")) as server:
            run = complete_all(questions(1), backend_of(server), tmp_path / "s", progress=False)
            assert "asks to wait 86400 s" in run.results[0].failure.message and server.asked.total() == 1

    def test_forms_of_the_header(self):
        httpx = pytest.importorskip("httpx2")

        def error(**headers) -> openai.RateLimitError:
            request = httpx.Request("POST", "http://localhost/v1")
            return openai.RateLimitError("", response=httpx.Response(429, headers=headers, request=request), body=None)

        assert retry_after(error(**{"Retry-After": "7"})) == 7
        assert retry_after(error(**{"retry-after-ms": "250", "Retry-After": "1"})) == 0.25
        assert retry_after(error(**{"Retry-After": formatdate(time.time() + 30, usegmt=True)})) == pytest.approx(
            30, abs=2
        )
        assert retry_after(error(**{"Retry-After": formatdate(time.time() - 30, usegmt=True)})) == 0
        assert retry_after(error(**{"Retry-After": "soon"})) is None
        assert retry_after(error()) is None
        assert classify(ValueError("something else")) is None

    def test_waits_double_are_jittered_and_bounded(self):
        import random

        policy = RetryPolicy(first_wait=1, longest_wait=10)
        for retry, longest in enumerate([1, 2, 4, 8, 10, 10]):
            waits = [policy.wait(retry, TimeoutError(), random.Random(seed)) for seed in range(100)]
            assert longest / 2 <= min(waits) < max(waits) <= longest


class TestCosts:
    def test_ledger_counts_all_answers_and_their_price(self, tmp_path, backend_of):
        with CompletionServer(echo) as server:
            prices = Prices(prompt=2.0, completion=10.0)
            run = complete_all(questions(5), backend_of(server), tmp_path / "s", prices=prices, progress=False)
        # the server counts words: 2 in a question, 3 in an answer
        assert (run.ledger.prompt_tokens, run.ledger.completion_tokens) == (10, 15)
        assert run.ledger.cost == pytest.approx((10 * 2 + 15 * 10) / 1e6)
        assert run.to_dict()["ledger"]["without_usage"] == 0

    def test_estimate_sends_nothing_and_knows_what_is_stored(self, tmp_path, backend_of):
        requests = questions(10, max_tokens=100)
        requests.append(CompletionRequest("again", requests[0].messages, requests[0].sampling))
        with CompletionServer(echo) as server:
            backend, prices = backend_of(server), Prices(1.0, 2.0)
            estimate = estimate_completions(requests, backend, tmp_path / "s", prices=prices)
            assert server.asked.total() == 0 and not (tmp_path / "s").exists()
            # "number 0": 8 bytes, 2 tokens, and 4 for the message
            assert (estimate.to_ask, estimate.duplicates, estimate.answered) == (10, 1, 0)
            assert (estimate.prompt_tokens, estimate.completion_tokens) == (60, 1000)
            assert estimate.cost == pytest.approx((60 + 2 * 1000) / 1e6)
            assert "as long as max_tokens allows" in estimate.rule
            complete_all(requests[:4], backend, tmp_path / "s", progress=False)
            estimate = estimate_completions(requests, backend, tmp_path / "s")
            assert (estimate.to_ask, estimate.answered, estimate.completion_tokens) == (6, 5, 18)
            assert "the mean of 4 stored ones" in estimate.rule and estimate.cost is None

    def test_without_a_bound_there_is_no_sum(self, tmp_path, backend_of):
        with CompletionServer(echo) as server:
            estimate = estimate_completions(questions(2, max_tokens=None), backend_of(server), tmp_path / "s")
        assert estimate.completion_tokens is None


class TestConfiguration:
    def test_the_key_comes_from_the_named_variable_only(self, monkeypatch):
        monkeypatch.delenv("SOME_KEY", raising=False)
        with pytest.raises(ValueError, match="environment variable SOME_KEY with the API key is not set"):
            OpenAIBackend("m", api_key_env="SOME_KEY")
        for nothing in (None, ""):
            OpenAIBackend("m", api_key_env=nothing)
        with pytest.raises(ValueError, match="must be the name of an environment variable") as caught:
            OpenAIBackend("m", api_key_env="Qw-my.secret-value-123")
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("base_url", "message"),
        [
            ("http://user:secret@localhost/v1", "contains a user name, a password or a query"),
            ("https://localhost/v1?key=secret", "contains a user name, a password or a query"),
            ("localhost:8000", "must be an address such as"),
            ("http://localhost:99999/v1", "99999.*Port out of range"),
        ],
    )
    def test_refuses_addresses(self, base_url, message):
        with pytest.raises(ValueError, match=message) as caught:
            OpenAIBackend("m", base_url=base_url, api_key_env=None)
        assert "secret" not in str(caught.value)

    def test_sends_what_was_asked_for_and_no_more(self, tmp_path, backend_of):
        message = [{"role": "user", "content": "Hi"}]
        plain = Sampling(temperature=None, max_tokens=None, seed=None)
        full = Sampling(0.5, 0.9, 77, seed=3, extra={"reasoning_effort": "low"})
        with CompletionServer(echo) as server:
            backend = backend_of(server, max_tokens_field="max_completion_tokens")
            for sampling in (plain, full):
                complete_all([CompletionRequest("a", message, sampling)], backend, tmp_path / "s", progress=False)
        assert server.bodies[0] == {"model": "test-model", "messages": message}
        seed = server.bodies[1].pop("seed")
        assert 0 <= seed < 2**31
        assert server.bodies[1] == {
            **{"model": "test-model", "messages": message, "temperature": 0.5, "top_p": 0.9},
            **{"max_completion_tokens": 77, "reasoning_effort": "low"},
        }

    def test_ids_occur_once(self, tmp_path, backend_of):
        with (
            CompletionServer(echo) as server,
            pytest.raises(ValueError, match="occur more than once; the first: 'q0'"),
        ):
            complete_all(questions(2) * 2, backend_of(server), tmp_path / "s")

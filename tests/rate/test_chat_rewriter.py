"""Rewrites by a chat model behind a real server on the loopback interface."""

import json
import threading

import numpy as np
import pytest

from tests.evaluation.doc_examples import failed_examples
from tests.servers.openai_compatible import CompletionServer, Faults
from trl_ext.completions import AnswerForm, OpenAIBackend, Prices, RetryPolicy, Sampling, StoreInUse, TooManyFailures
from trl_ext.rate import (
    Attribute,
    ChatRewriter,
    RewriteRequest,
    TextChains,
    estimate_rewrites,
    make_rewriter,
    rewrite_chains,
)
from trl_ext.rate.rewriting import chat_rewriter as chat_rewriter_module


LENGTH = Attribute("length", "longer", "shorter", "Make this text {target}: {text}")
QUICK = RetryPolicy(max_retries=3, first_wait=0.001, longest_wait=0.002)


def shorten_or_lengthen(body) -> str:
    task, text = body["messages"][0]["content"].split(": ", 1)
    return f"{text} and more" if "longer" in task else text.removesuffix(" and more")


class Served:
    """A running server whose answers a test chooses, and rewriters that ask it."""

    def __init__(self, server: CompletionServer, folder):
        self.server = server
        self.folder = folder

    def rewriter(self, **options) -> ChatRewriter:
        options = {"progress": False} | options
        return ChatRewriter(self.backend(), options.pop("attribute", LENGTH), self.folder / "answers.jsonl", **options)

    def backend(self) -> OpenAIBackend:
        return OpenAIBackend("m", base_url=self.server.url, api_key_env=None, retry=QUICK, timeout=0.3, concurrency=4)


@pytest.fixture(scope="module")
def running_server():
    with CompletionServer(shorten_or_lengthen) as server:
        yield server


@pytest.fixture
def served(running_server, tmp_path):
    running_server.answer, running_server.faults, running_server.refuse_with = shorten_or_lengthen, Faults(), None
    for counts in (
        running_server.asked,
        running_server.delivered,
        running_server.delivered_tokens,
        running_server.ends,
    ):
        counts.clear()
    running_server.bodies.clear()
    return Served(running_server, tmp_path)


def request(text: str, target: bool = True, name: str = "a", step: int = 1) -> RewriteRequest:
    return RewriteRequest(name, "the prompt", text, target, step)


def chains_of(*texts: str, w=None) -> TextChains:
    w = np.ones(len(texts), bool) if w is None else np.array(w, bool)
    return TextChains(
        "length", tuple(f"r{i}" for i in range(len(texts))), ("p",) * len(texts), w, tuple((t,) for t in texts)
    )


class TestAnswers:
    def test_asks_what_the_attribute_says_and_no_more(self, served):
        (result,) = served.rewriter().rewrite([request("Fine", False)])
        (body,) = served.server.bodies
        assert body["messages"] == [{"role": "user", "content": "Make this text shorter: Fine"}]
        assert body["temperature"] == 0.7 and body["max_tokens"] == 256
        assert (result.text, result.failure, result.finish_reason) == ("Fine", None, "stop")

    def test_equal_questions_share_an_answer_and_another_repetition_does_not(self, served):
        requests = [request("same", name="a"), request("same", name="b"), request("same", False, name="c")]
        requests.append(request("same", name="a", step=3))
        rewriter = served.rewriter()
        results = rewriter.rewrite(requests)
        assert served.server.asked.total() == 2 and results[0] == results[1] == results[3] != results[2]
        assert rewriter.ledger.answers == 2, "shared answers are counted once"
        served.rewriter(repetition=1).rewrite(requests)
        assert served.server.asked.total() == 4 and len({body["seed"] for body in served.server.bodies}) == 4

    def test_a_second_run_asks_nothing_and_has_the_same_ledger(self, served):
        prices = Prices(1.0, 2.0)
        rewriters = [served.rewriter(prices=prices) for _ in range(2)]
        results = [rewriter.rewrite([request(f"text {i}", name=str(i)) for i in range(5)]) for rewriter in rewriters]
        assert results[0] == results[1] and served.server.asked.total() == 5
        ledger = rewriters[1].ledger
        tokens = served.server.delivered_tokens
        assert ledger == rewriters[0].ledger
        assert (ledger.prompt_tokens, ledger.completion_tokens) == (
            tokens["prompt_tokens"],
            tokens["completion_tokens"],
        )
        assert ledger.cost == pytest.approx((ledger.prompt_tokens + 2 * ledger.completion_tokens) / 1e6)

    @pytest.mark.parametrize(
        ("answer", "plain", "stripped"),
        [
            ("\n Fine. \n", "Fine.", "Fine."),
            ('"Fine."', '"Fine."', '"Fine."'),
            ("```\nFine.\n```", "```\nFine.\n```", "```\nFine.\n```"),
            ("Sure! Here is the text:\n\nFine.", "Sure! Here is the text:\n\nFine.", "Fine."),
            ("Sure!\nHere's a longer text:\nFine.", "Sure!\nHere's a longer text:\nFine.", "Fine."),
            ("Here is a film. Watch it:\nnow", "Here is a film. Watch it:\nnow", "Here is a film. Watch it:\nnow"),
            ("Sure:\n", "Sure:", "Sure:"),
            ("**Rewritten:** Fine.", "**Rewritten:** Fine.", "Fine."),
            ("<think>a</think>\n\nSure!\nFine.", "<think>a</think>\n\nSure!\nFine.", "Fine."),
            ("<think>Fine.", "<think>Fine.", "<think>Fine."),
            ("half \ud83d of a sign", "half \ufffd of a sign", "half \ufffd of a sign"),
        ],
    )
    def test_only_what_is_documented_is_changed(self, served, answer, plain, stripped):
        served.server.answer = lambda body: answer
        rewriters = served.rewriter(), served.rewriter(strip_preamble=True)
        texts = [rewriter.rewrite([request("x")])[0].text for rewriter in rewriters]
        assert texts == [plain, stripped]
        assert (rewriters[0].stripped, rewriters[1].stripped) == (0, plain != stripped)
        assert rewriters[0].replaced == ("\ud83d" in answer)

    def test_longest_answers_follow_the_text(self, served):
        def limit(text, **options):
            return served.rewriter(**options).completion_request("a", text, True).sampling.max_tokens

        assert limit("x" * 10_000) == 2**14 and limit("x") == 256
        assert limit("\u00e9" * 1000, length_factor=2.0) == 1024  # 2000 bytes
        assert limit("x" * 10_000, sampling=Sampling(max_tokens=77)) == 77
        assert limit("x" * 10_000, length_factor=None) is None


class TestFailures:
    def test_kinds_are_those_of_their_rows(self, served, monkeypatch):
        def answer(body):
            text = body["messages"][0]["content"]
            return "" if "empty" in text else shorten_or_lengthen(body)

        from tests.servers import openai_compatible

        complete = openai_compatible._completion

        def refuse(body, text):
            completion = complete(body, text)
            if "refused" in body["messages"][0]["content"]:
                completion["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I can't"}
            return completion

        monkeypatch.setattr(openai_compatible, "_completion", refuse)
        served.server.answer = answer
        rewriter = served.rewriter(parse_attempts=2)
        requests = [request(text, name=text) for text in ("good", "empty", "refused")]
        results = rewriter.rewrite(requests)
        assert [result.failure for result in results] == [None, "empty", "refusal"]
        assert results[1].finish_reason == "stop"
        assert rewriter.ledger.answers == 5 and rewriter.ledger.unusable == 4
        served.rewriter(parse_attempts=2).rewrite(requests)
        assert served.server.asked.total() == 5, "what was refused often enough is not asked again"

    def test_the_network_fails_rows_not_the_run_and_is_asked_again(self, served):
        served.server.refuse_with = (503, {"error": {"message": "down", "code": None}})
        chains = chains_of("one", "two")
        path = served.folder / "rewrites.jsonl"
        done = rewrite_chains(chains, LENGTH, served.rewriter(), path=path, progress=False)
        assert done.failures == (("server_error", "no_rewrite"),) * 2
        assert served.server.asked.total() == 2 * 4
        served.server.refuse_with = None
        again = rewrite_chains(chains, LENGTH, served.rewriter(), path=path, progress=False)
        assert again.failures == done.failures and served.server.asked.total() == 8, (
            "a complete file is taken as it is"
        )
        mended = rewrite_chains(chains, LENGTH, served.rewriter(), path=path, retry_failures=True, progress=False)
        assert mended.complete.all() and served.server.asked.total() == 12
        assert TextChains.read(path).texts == mended.texts

    def test_a_timeout_is_named(self, served):
        served.server.faults = Faults(hang=1.0)
        backend = served.backend()
        backend.retry = RetryPolicy(0)
        rewriter = ChatRewriter(backend, LENGTH, served.folder / "a", progress=False)
        assert rewriter.rewrite([request("x")])[0].failure == "timeout"
        assert rewriter.ledger.answers == 0

    def test_limits_stop_a_run_that_makes_no_sense(self, served):
        served.server.refuse_with = (401, {"error": {"message": "bad key", "code": None}})
        chains = chains_of(*(f"text {i}" for i in range(16)))
        with pytest.raises(TooManyFailures, match="requests in a row got no answer"):
            rewrite_chains(chains, LENGTH, served.rewriter(), path=served.folder / "r.jsonl", progress=False)
        assert not (served.folder / "r.jsonl").exists()
        served.server.refuse_with = None
        rewrite_chains(chains, LENGTH, served.rewriter(), path=served.folder / "r.jsonl", progress=False)

    def test_a_store_in_use(self, served):
        entered, leave = threading.Event(), threading.Event()

        def slow(body):
            entered.set()
            leave.wait(5)
            return "x"

        served.server.answer = slow
        thread = threading.Thread(target=lambda: served.rewriter().rewrite([request("x")]))
        thread.start()
        assert entered.wait(5)
        try:
            with pytest.raises(StoreInUse):
                served.rewriter().rewrite([request("x")])
        finally:
            leave.set()
            thread.join()


class TestEstimate:
    def test_a_dry_run_counts_what_would_be_asked(self, served):
        text = "x" * 400
        chains = chains_of(text, text, "y" * 800, w=[1, 1, 0])
        prices = Prices(2.0, 10.0)
        estimate = estimate_rewrites(chains, LENGTH, served.backend(), prices=prices)
        # "Make this text shorter: " is 24 bytes: (24 + 400) / 4 + 4 = 110 tokens; (23 + 800) / 4 rounded up + 4 = 210
        first = estimate.steps[0]
        assert (first.requests, first.to_ask, first.assumed, first.answered) == (3, 2, 0, 0)
        assert (first.prompt_tokens, first.completion_tokens, first.most_completion_tokens) == (320, 300, 512 + 1024)
        assert estimate.steps[1].assumed == 3 and estimate.steps[1].to_ask == 2
        assert estimate.to_ask == 4 and estimate.completion_tokens == 600
        assert estimate.cost == pytest.approx((estimate.prompt_tokens * 2 + 600 * 10) / 1e6)
        assert estimate.most_cost > estimate.cost and "as long as the texts" in estimate.rule
        assert served.server.asked.total() == 0 and not list(served.folder.iterdir())

    def test_knows_what_is_stored_and_is_right_then(self, served):
        chains = chains_of("one", "two two", "three three three", w=[1, 0, 1])
        rewriter = served.rewriter()
        rewrite_chains(chains, LENGTH, rewriter, steps=1, progress=False)
        store = served.folder / "answers.jsonl"
        estimate = estimate_rewrites(chains, LENGTH, served.backend(), steps=2, store_path=store)
        assert [(s.answered, s.to_ask, s.assumed) for s in estimate.steps] == [(3, 0, 0), (0, 3, 0)]
        questions = [
            rewriter.completion_request("q", t, bool(w))
            for t, w in zip(
                rewrite_chains(chains, LENGTH, rewriter, steps=1, progress=False).of(1), chains.w, strict=True
            )
        ]
        assert estimate.prompt_tokens == sum(served.backend().count_prompt_tokens(q.messages) for q in questions)
        rewrite_chains(chains, LENGTH, rewriter, progress=False)
        assert estimate_rewrites(chains, LENGTH, served.backend(), store_path=store).to_ask == 0

    @pytest.mark.parametrize("steps", [0, True, 1.5])
    def test_refuses_steps(self, served, steps):
        with pytest.raises(ValueError, match="steps must be at least 1"):
            estimate_rewrites(chains_of("x"), LENGTH, served.backend(), steps=steps)


class TestSettings:
    def test_settings_are_what_rewrites_depend_on(self, served):
        settings = json.dumps(served.rewriter().settings())
        assert served.server.url not in settings and str(served.folder) not in settings
        others = [
            served.rewriter(repetition=1),
            served.rewriter(strip_preamble=True),
            served.rewriter(length_factor=2.0),
            served.rewriter(sampling=Sampling(0.5)),
        ]
        assert len({settings, *(json.dumps(other.settings()) for other in others)}) == 5
        assert json.dumps(served.rewriter(parse_attempts=9).settings()) == settings

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"length_factor": 0}, ValueError, "length_factor must be positive or None, got 0"),
            ({"length_factor": float("inf")}, ValueError, "length_factor must be positive"),
            ({"repetition": -1}, ValueError, "repetition must be at least 0, got -1"),
            ({"parse_attempts": 0}, ValueError, "parse_attempts must be at least 1, got 0"),
            ({"attribute": "length"}, TypeError, "attribute must be an Attribute, got str"),
            ({"sampling": Sampling(form=AnswerForm((("A", ("1",)),)))}, ValueError, "must have no `form`"),
        ],
    )
    def test_refuses(self, served, options, error, message):
        with pytest.raises(error, match=message):
            served.rewriter(**options)

    @pytest.mark.parametrize("thing", [ChatRewriter, estimate_rewrites, make_rewriter])
    def test_examples_of_docstrings(self, thing, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert failed_examples(thing) == 0

    def test_examples_of_small_functions(self):
        for name in ("longest_answer", "without_preamble"):
            assert failed_examples(getattr(chat_rewriter_module, name)) == 0


class TestKinds:
    def make(self, kind, **kwargs):
        return make_rewriter(kind, LENGTH, **({"model": "m", "store_path": "s", "progress": False} | kwargs))

    def test_options_reach_their_place(self, tmp_path):
        options = {"base_url": "http://localhost:1/v1", "api_key_env": None, "concurrency": 3, "max_failures": 7}
        rewriter = self.make(
            "openai", options=options, sampling={"temperature": 0.1}, prices={"prompt": 1, "completion": 2}
        )
        assert rewriter.backend.concurrency == 3 and rewriter.max_failures == 7
        assert rewriter.sampling.temperature == 0.1 and rewriter.prices == Prices(1, 2)
        batch = self.make("batch", store_path=tmp_path / "answers.jsonl", options={"offline": True})
        assert batch.backend.folder == tmp_path / "batches"
        assert batch.settings() == self.make("batch", options={"offline": True, "max_requests": 9}).settings()

    def test_rules_rewrite_without_a_model(self):
        rewriter = make_rewriter("rules", LENGTH, options={"measure": "words", "threshold": 8})
        done = rewrite_chains(chains_of("A short text."), LENGTH, rewriter, progress=False)
        assert done.complete.all() and len(done.texts[0][1].split()) < 8 <= len(done.texts[0][2].split())
        with pytest.raises(ValueError, match="has no option 'treshold'"):
            make_rewriter("rules", LENGTH, options={"treshold": 8})

    @pytest.mark.parametrize(
        ("kind", "arguments", "message"),
        [
            ("gpt", {}, "must be one of 'openai', 'batch', 'local', 'rules', got 'gpt'"),
            ("openai", {"model": None}, "of kind 'openai' needs `model`, got None"),
            ("local", {"store_path": None}, "of kind 'local' needs `store_path`, got None"),
            (
                "openai",
                {"options": {"batch_size": 3}},
                "`options` of a rewriter of kind 'openai' has no 'batch_size'; it has",
            ),
            ("local", {"options": {"base_url": "x"}}, "has no 'base_url'; it has .*batch_size"),
            ("openai", {"sampling": {"temp": 1}}, "`sampling` of .* has no 'temp'; it has .*temperature"),
            ("openai", {"options": {"api_key_env": None}, "prices": {"input": 1}}, "`prices` of .* has no 'input'"),
            ("rules", {}, "rules ask no model: leave out model"),
        ],
    )
    def test_refuses(self, kind, arguments, message):
        with pytest.raises(ValueError, match=message):
            self.make(kind, **arguments)

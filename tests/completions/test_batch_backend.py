"""Batches of a real server on the loopback interface, through the real client."""

import contextlib
import json
from collections import Counter

import pytest

from tests.evaluation.doc_examples import failed_examples
from tests.servers.openai_batch import BatchServer, LineFaults, output_lines
from tests.servers.openai_compatible import API_KEY
from trl_ext.completions import (
    BatchBackend,
    BatchesUnderWay,
    CompletionRequest,
    OpenAIBackend,
    RetryPolicy,
    Sampling,
    StoreInUse,
    TooManyFailures,
    complete_all,
)
from trl_ext.completions import batch_backend as batch_backend_module
from trl_ext.completions.batch_service import BatchServiceFailure


QUICK = RetryPolicy(max_retries=4, first_wait=0.001, longest_wait=0.002)


def echo(body) -> str:
    return f"ANSWER {body['messages'][-1]['content']}"


def questions(count: int, first: int = 0) -> list[CompletionRequest]:
    return [
        CompletionRequest(f"q{i}", [{"role": "user", "content": f"number {i}"}], Sampling(extra={"top_k": 5}))
        for i in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def running_server():
    with BatchServer(echo) as server:
        yield server


@pytest.fixture
def serve(running_server):
    """The server as if it had just been started: to start and to stop one takes longer than most of these tests."""

    def serve(line_faults: LineFaults = LineFaults()):  # noqa: B008
        running_server.forget(line_faults)
        return contextlib.nullcontext(running_server)

    return serve


@pytest.fixture
def ask(monkeypatch, tmp_path):
    monkeypatch.setenv("TEST_SERVER_KEY", API_KEY)

    def ask(server, requests, **kwargs):
        options = {
            "base_url": server and server.url,
            "api_key_env": "TEST_SERVER_KEY",
            "retry": QUICK,
            "poll_seconds": 0.0,
        }
        backend = BatchBackend("test-model", tmp_path / "batches", progress=False, **(options | kwargs))
        return complete_all(requests, backend, tmp_path / "answers.jsonl", progress=False, max_consecutive_errors=None)

    return ask


def texts(run) -> list[str | None]:
    return [result.value for result in run.results]


class TestBatches:
    def test_answers_come_back_in_order_and_are_asked_once(self, serve, ask, tmp_path):
        with serve() as server:
            run = ask(server, questions(10), max_requests=4)
            assert texts(run) == [f"ANSWER number {i}" for i in range(10)]
            assert [batch.lines for batch in server.batches.values()] == [4, 4, 2]
            assert run.ledger.answers == 10 and run.ledger.completion_tokens == 30
            body = json.loads(server.files["file-0"].splitlines()[0])["body"]
            assert body["model"] == "test-model" and body["top_k"] == 5 and "extra_body" not in body
            calls = server.calls.total()
            assert ask(server, questions(10)).asked == 0 and server.calls.total() == calls
            assert server.authorizations == {f"Bearer {API_KEY}"}
        for file in tmp_path.rglob("*"):
            assert file.is_dir() or API_KEY.encode() not in file.read_bytes()

    def test_shares_its_answers_with_direct_requests(self, serve, ask, tmp_path):
        with serve() as server:
            ask(server, questions(3))
            direct = OpenAIBackend("test-model", base_url=server.url, api_key_env="TEST_SERVER_KEY")
            run = complete_all(questions(5), direct, tmp_path / "answers.jsonl", progress=False)
            assert run.asked == 2 and server.asked.total() == 2

    def test_files_are_limited_in_bytes_and_too_long_a_question_fails_alone(self, serve, ask):
        requests = questions(6)
        long = CompletionRequest("long", [{"role": "user", "content": "x" * 2000}])
        with serve() as server:
            run = ask(server, [*requests, long], max_bytes=700)
            assert run.failures == {"too_large": 1}
            assert max(len(server.files[batch.input_file_id]) for batch in server.batches.values()) <= 700
            assert texts(run)[:6] == [f"ANSWER number {i}" for i in range(6)]

    def test_every_fault_of_a_line_ends_well(self, serve, ask):
        faults = LineFaults(
            **dict.fromkeys(["missing", "error", "repeated", "broken", "foreign", "empty"], 0.08), seed=3
        )
        with serve(faults) as server:
            run = ask(server, questions(40), max_submissions=10)
            assert {fault for fault, count in server.ends.items() if count} >= {
                *("", "missing", "error", "repeated", "broken", "foreign", "empty")
            }, "the seed has to give every kind of fault"
            assert texts(run) == [f"ANSWER number {i}" for i in range(40)] and run.failures == {}
            # what was delivered is in the ledger, an answer that came twice once
            assert run.ledger.answers == server.delivered_lines.total()
            assert set(server.delivered_lines.values()) == {1}
            assert run.retries["server_error"] == server.ends["error"]
            assert run.retries["missing"] == server.ends["missing"] + server.ends["broken"] + server.ends["foreign"]

    def test_other_errors_of_lines_are_failures_of_those(self, serve, ask):
        with serve(LineFaults(refused=0.5)) as server:
            run = ask(server, questions(20))
            assert run.failures == {"bad_request": server.ends["refused"]} and 0 < server.ends["refused"] < 20
            assert "status 400" in next(r.failure.message for r in run.results if r.failure)
            assert len(server.batches) == 1

    def test_what_is_always_missing_is_given_up(self, serve, ask):
        with serve(LineFaults(missing=1.0)) as server:
            run = ask(server, questions(3), max_submissions=2)
            assert run.failures == {"missing": 3} and run.retries == {"missing": 3} and len(server.batches) == 2


class TestEndsOfBatches:
    def test_expired_keeps_what_is_there_and_asks_for_the_rest(self, serve, ask):
        with serve() as server:
            server.plan = ["expired"]
            run = ask(server, questions(10))
            assert texts(run) == [f"ANSWER number {i}" for i in range(10)]
            assert [batch.lines for batch in server.batches.values()] == [10, 5]
            assert run.retries == {"expired": 5} and run.ledger.answers == 10

    def test_cancelled_keeps_what_is_there_and_leaves_the_rest(self, serve, ask):
        with serve() as server:
            server.plan = ["cancelled"]
            run = ask(server, questions(10))
            assert run.failures == {"cancelled": 5} and len(server.batches) == 1
            # the next call asks for them
            assert ask(server, questions(10)).failures == {} and [b.lines for b in server.batches.values()] == [10, 5]

    def test_failed_says_why(self, serve, ask):
        with serve() as server:
            server.plan = ["failed"]
            run = ask(server, questions(4))
            assert run.failures == {"batch_failed": 4}
            assert "model_not_found: no such model" in run.results[0].failure.message
            assert ask(server, questions(4)).failures == {}

    def test_too_many_tokens_wait_for_other_batches(self, serve, ask):
        with serve() as server:
            server.plan = ["completed", "token_limit", "token_limit"]
            run = ask(server, questions(9), max_requests=3, max_submissions=1)
            assert run.failures == {} and set(server.submitted.values()) == {1}
            server.plan = ["token_limit"] * 5
            run = ask(server, questions(2, first=9), max_submissions=2)
            assert run.failures == {"token_limit_exceeded": 2}
            assert "smaller files with max_requests" in run.results[0].failure.message


class TestInterruptions:
    @pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
    def test_calls_that_fail_begin_no_second_batch(self, serve, ask, seed):
        import random

        generator = random.Random(seed)
        with serve() as server:
            server.faults_of_calls = [generator.choice(["", "error", "drop", "drop_after"]) for _ in range(12)]
            run = ask(server, questions(6), max_requests=3, retry=RetryPolicy(12, 0.001, 0.001))
            assert run.failures == {} and set(server.submitted.values()) == {1} and len(server.batches) == 2

    @pytest.mark.parametrize(
        "calls", [n if n in (2, 4, 7) else pytest.param(n, marks=pytest.mark.slow) for n in range(12)]
    )
    def test_a_kill_at_any_call_resumes_without_a_second_batch(self, serve, ask, monkeypatch, calls):
        """After `calls` calls to the server the process ends, in the middle of the next."""
        done = Counter()

        def killed(self, *args, **kwargs):
            if done["calls"] == calls:
                raise KeyboardInterrupt
            done["calls"] += 1
            return original(self, *args, **kwargs)

        original = batch_backend_module.BatchServer._call
        with serve() as server:
            monkeypatch.setattr(batch_backend_module.BatchServer, "_call", killed)
            try:
                ask(server, questions(6), max_requests=3)
            except KeyboardInterrupt:
                pass
            monkeypatch.setattr(batch_backend_module.BatchServer, "_call", original)
            run = ask(server, questions(6), max_requests=3)
            assert texts(run) == [f"ANSWER number {i}" for i in range(6)]
            assert set(server.submitted.values()) == {1}, "a question is in two batches"

    @pytest.mark.parametrize("moment", ["after_creation", "while_storing"])
    def test_a_kill_before_the_state_is_written(self, serve, ask, monkeypatch, tmp_path, moment):
        from trl_ext.completions import store as store_module
        from trl_ext.completions.batch_service import BatchServer as Service

        stored = Counter()
        create, append = Service._create, store_module.AnswerStore.append

        def create_and_die(self, batch):
            create(self, batch)
            raise KeyboardInterrupt

        def append_and_die(self, *args, **kwargs):
            append(self, *args, **kwargs)
            stored["n"] += 1
            if stored["n"] == 3:
                raise KeyboardInterrupt

        with serve() as server:
            if moment == "after_creation":
                monkeypatch.setattr(Service, "_create", create_and_die)
            else:
                monkeypatch.setattr(store_module.AnswerStore, "append", append_and_die)
            with pytest.raises(KeyboardInterrupt):
                ask(server, questions(6))
            monkeypatch.setattr(Service, "_create", create)
            monkeypatch.setattr(store_module.AnswerStore, "append", append)
            run = ask(server, questions(6))
            assert run.failures == {} and len(server.batches) == 1 and run.ledger.answers == 6
        assert (tmp_path / "answers.jsonl").read_text().count("\n") == 6

    def test_submit_and_leave(self, serve, ask):
        with serve() as server:
            with pytest.raises(BatchesUnderWay, match=r"batches not done: 1: batch-0 \(in_progress\)"):
                ask(server, questions(3), longest_wait=0)
            # more questions meanwhile: only these are new
            run = ask(server, questions(5))
            assert [batch.lines for batch in server.batches.values()] == [3, 2] and run.failures == {}

    def test_a_server_that_does_not_answer_is_told(self, serve, ask):
        with serve() as server:
            server.faults_of_calls = ["", "", *["error"] * 5]
            with pytest.raises(
                BatchServiceFailure, match="could not look at batch_0001 .*: server_error.*the same call goes on"
            ):
                ask(server, questions(2))
            assert ask(server, questions(2)).failures == {} and len(server.batches) == 1

    def test_a_batch_that_the_server_has_forgotten_is_named_and_not_repeated_by_itself(self, serve, ask, tmp_path):
        with serve() as server:
            with pytest.raises(BatchesUnderWay):
                ask(server, questions(3), longest_wait=0)
            server.batches.clear()
            with pytest.raises(
                BatchServiceFailure, match="batch_0001 .batch-0.: not_found.*to true in .*batches/batches.json"
            ):
                ask(server, questions(3))
            assert not server.batches
            state = tmp_path / "batches" / "batches.json"
            state.write_text(state.read_text().replace('"collected": false', '"collected": true'))
            assert ask(server, questions(3)).failures == {}


class TestFilesByHand:
    def test_questions_are_written_and_answers_read(self, ask, tmp_path):
        folder = tmp_path / "batches"
        with pytest.raises(
            BatchesUnderWay, match="Submit .*batch_0001_input.jsonl, .*batch_0002_input.jsonl, put what"
        ):
            ask(None, questions(5), offline=True, max_requests=3)
        first = folder / "batch_0001_input.jsonl"
        folder.joinpath("batch_0001_output.jsonl").write_bytes(output_lines(first.read_bytes(), echo))
        # one of the two is there, and a line of it is missing: that is asked in a third file
        content = folder.joinpath("batch_0001_output.jsonl").read_bytes().splitlines(keepends=True)
        folder.joinpath("batch_0001_output.jsonl").write_bytes(b"".join(content[1:]))
        with pytest.raises(BatchesUnderWay, match="batch_0002_input.jsonl, .*batch_0003_input.jsonl"):
            ask(None, questions(5), offline=True, max_requests=3)
        for name in ("batch_0002", "batch_0003"):
            lines = output_lines((folder / f"{name}_input.jsonl").read_bytes(), echo)
            (folder / f"{name}_output.jsonl").write_bytes(lines)
        run = ask(None, questions(5), offline=True)
        assert texts(run) == [f"ANSWER number {i}" for i in range(5)]
        assert len(list(folder.glob("*_input.jsonl"))) == 3

    def test_the_example_of_the_docstring(self):
        assert failed_examples(BatchBackend) == 0


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"max_requests": 0}, "max_requests must be at least 1, got 0"),
            ({"max_submissions": 0}, "max_submissions must be at least 1, got 0"),
            ({"poll_seconds": -1}, "poll_seconds must be at least 0, got -1"),
            ({"longest_wait": -1}, "longest_wait must be at least 0 or None, got -1"),
            ({"api_key_env": "NO_SUCH_KEY"}, "environment variable NO_SUCH_KEY"),
        ],
    )
    def test_settings(self, tmp_path, settings, message):
        with pytest.raises(ValueError, match=message):
            BatchBackend("m", tmp_path, **({"api_key_env": None} | settings))

    def test_a_folder_of_another_server(self, serve, ask, tmp_path):
        with serve() as server:
            ask(server, questions(1))
        with pytest.raises(
            ValueError, match="has batches of .*, and the server is 'http://localhost:1/v1': give another"
        ):
            BatchBackend("m", tmp_path / "batches", base_url="http://localhost:1/v1", api_key_env=None)
        (tmp_path / "batches" / "batches.json").write_text("[]")
        with pytest.raises(ValueError, match="is no list of batches"):
            BatchBackend("m", tmp_path / "batches", api_key_env=None)

    def test_a_folder_in_use(self, ask, tmp_path):
        from filelock import FileLock

        (tmp_path / "batches").mkdir()
        with FileLock(tmp_path / "batches" / ".lock"), pytest.raises(StoreInUse, match="in use by another process"):
            ask(None, questions(1), offline=True)

    def test_a_wrong_key_is_not_told(self, serve, ask, monkeypatch):
        with serve() as server:
            monkeypatch.setattr(
                server, "_handle", lambda *_: (401, json.dumps({"error": {"message": f"bad key {API_KEY}"}}).encode())
            )
            with pytest.raises(BatchServiceFailure, match="authentication.*<TEST_SERVER_KEY>") as caught:
                ask(server, questions(1))
        assert API_KEY not in str(caught.value)

    def test_limits_on_failures_hold(self, serve, tmp_path):
        with serve(LineFaults(refused=1.0)) as server:
            backend = BatchBackend(
                "m", tmp_path, base_url=server.url, api_key_env=None, poll_seconds=0, progress=False
            )
            with pytest.raises(TooManyFailures, match="'bad_request'"):
                complete_all(questions(12), backend, tmp_path / "a", progress=False)

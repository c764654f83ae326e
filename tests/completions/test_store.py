import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import environment
from trl_ext.completions import Answer, AnswerStore, CompletionRequest, Job, Sampling, request_key


def job(name: str, attempt: int = 0) -> Job:
    return Job(f"key-{name}", CompletionRequest(name, [{"role": "user", "content": name}]), attempt, None)


def fill(path, *names: str) -> None:
    with AnswerStore(path) as store:
        for name in names:
            store.append(job(name), Answer(f"answer to {name}"), model="m")


class TestAnswerStore:
    @given(st.text())
    def test_any_text_comes_back(self, tmp_path_factory, text):
        path = tmp_path_factory.mktemp("store") / "answers.jsonl"
        answer = Answer(text + "\ud800\n\u2028", "stop", 3, 4, refusal=text)
        with AnswerStore(path) as store:
            store.append(job("a"), answer, model="m")
        with AnswerStore(path) as store:
            assert store.attempts("key-a") == [answer]

    def test_attempts_are_kept_in_order(self, tmp_path):
        with AnswerStore(tmp_path / "s.jsonl") as store:
            for attempt in range(3):
                store.append(job("a", attempt), Answer(str(attempt)), model="m")
            with pytest.raises(ValueError, match="attempt 1 of request 'a' is stored already"):
                store.append(job("a", 1), Answer("again"), model="m")
        with AnswerStore(tmp_path / "s.jsonl") as store:
            assert [answer.text for answer in store.attempts("key-a")] == ["0", "1", "2"]
        assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 3

    def test_a_line_torn_anywhere_is_repaired(self, tmp_path):
        path = tmp_path / "s.jsonl"
        fill(path, "a", "b")
        whole = path.read_bytes()
        first = whole.index(b"\n") + 1
        for length in range(first + 1, len(whole)):
            path.write_bytes(whole[:length])
            with AnswerStore(path) as store:
                complete = length == len(whole) - 1  # only the line break is missing
                assert store.repaired_lines == 1
                assert len(store.attempts("key-a")) == 1 and len(store.attempts("key-b")) == complete
                if not complete:
                    store.append(job("b"), Answer("answer to b"), model="m")
            assert path.read_bytes() == whole

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("nonsense", "line 2: not JSON"),
            ('{"key": "k"}', "line 2: not an answer"),
            (None, "line 2: attempt 0 of key key-a... is there a second time"),
        ],
    )
    def test_refuses_what_it_did_not_write(self, tmp_path, line, message):
        path = tmp_path / "s.jsonl"
        fill(path, "a")
        path.write_text(path.read_text() + (path.read_text() if line is None else line + "\n"))
        before = path.read_bytes()
        with pytest.raises(ValueError, match=message), AnswerStore(path):
            pass
        assert path.read_bytes() == before
        path.write_text("")
        fill(path, "a")  # the lock is free again

    def test_two_processes_cannot_write_it(self, tmp_path):
        path = tmp_path / "s.jsonl"
        code = f"from trl_ext.completions import AnswerStore\nwith AnswerStore({str(path)!r}): pass"
        command = [sys.executable, "-c", code]
        with AnswerStore(path):
            result = subprocess.run(command, capture_output=True, text=True, env=environment())
            assert result.returncode == 1 and "is being written by another process" in result.stderr
        assert subprocess.run(command, env=environment()).returncode == 0

    def test_lines_are_there_before_append_returns(self, tmp_path):
        path = tmp_path / "s.jsonl"
        with AnswerStore(path) as store:
            store.append(job("a"), Answer("4"), model="m")
            record = json.loads(path.read_text())
        assert record["id"] == "a" and record["text"] == "4" and record["model"] == "m"


class TestRequestKey:
    base = CompletionRequest("1", [{"role": "user", "content": "Hi"}], Sampling(0.7, seed=1))

    def test_everything_that_makes_the_answer_changes_it(self):
        hello = [{"role": "user", "content": "Hi"}]
        others = [
            CompletionRequest("1", [{"role": "system", "content": "Hi"}], Sampling(0.7, seed=1)),
            CompletionRequest("1", [{"role": "user", "content": "Hi "}], Sampling(0.7, seed=1)),
            CompletionRequest("1", hello, Sampling(0.8, seed=1)),
            CompletionRequest("1", hello, Sampling(0.7, seed=2)),
            CompletionRequest("1", hello, Sampling(0.7, seed=1, extra={"reasoning_effort": "low"})),
            CompletionRequest("1", hello, Sampling(0.7, seed=1), repetition=1),
        ]
        keys = {request_key("m", request) for request in [self.base, *others]} | {request_key("n", self.base)}
        assert len(keys) == len(others) + 2

    def test_the_id_and_the_order_of_fields_do_not(self):
        other = CompletionRequest("2", [{"content": "Hi", "role": "user"}], Sampling(0.7, seed=1))
        assert request_key("m", self.base) == request_key("m", other)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Sampling(temperature=-1), "temperature must be in"),
            (lambda: Sampling(top_p=0), "top_p must be in"),
            (lambda: Sampling(max_tokens=0), "max_tokens must be at least 1"),
            (lambda: Sampling(extra={"seed": 1, "n": 2}), "extra must not set n, seed"),
            (lambda: CompletionRequest("a", []), "has no messages"),
            (lambda: CompletionRequest("a", [{"role": "user"}]), "needs 'role' and 'content'"),
            (lambda: CompletionRequest("a", [{"role": "user", "content": None}]), "both text"),
        ],
    )
    def test_refuses(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()

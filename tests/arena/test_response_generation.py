"""Responses are asked once, kept through interruptions, and written with a record of how they were made."""

import json

import pytest

from tests.servers.openai_compatible import API_KEY, CompletionServer, Faults
from tests.tiny import tiny_checkpoint
from trl_ext.arena import PolicyModel, generate_responses, policy_backend, read_responses
from trl_ext.completions import Prices, RetryPolicy, TooManyFailures


PROMPTS = [
    {
        "id": f"q{i}",
        "prompt": f"Question: number {i}\nAnswer: ",
        "messages": [{"role": "user", "content": f"number {i}"}],
    }
    for i in range(12)
]
QUICK = RetryPolicy(max_retries=6, first_wait=0.01, longest_wait=0.05)


def echo(body) -> str:
    return f"I was asked {body['messages'][-1]['content']}, at last."


@pytest.fixture
def served(monkeypatch):
    """A policy at a server, and what asks it."""
    monkeypatch.setenv("TEST_SERVER_KEY", API_KEY)

    def make(server, name="served", **settings):
        policy = PolicyModel(
            name,
            "org/model",
            "openai",
            base_url=server.url,
            api_key_env="TEST_SERVER_KEY",
            **{"temperature": 1.0} | settings,
        )
        return policy, policy_backend(policy, retry=QUICK, concurrency=1)

    return make


def generate(prompts, policy, folder, backend=None, **options):
    return generate_responses(prompts, policy, folder, backend=backend, progress=False, **options)


class TestAServer:
    def test_a_line_per_prompt_in_order_and_a_record(self, tmp_path, served):
        faults = Faults(rate_limit=0.1, server_error=0.1, cut=0.1, empty=0.1, seed=3)
        with CompletionServer(echo, faults) as server:
            policy, backend = served(server, name="org/served one", system_prompt="Be brief.", extra={"top_k": 5})
            record = generate(PROMPTS, policy, tmp_path, backend, parse_attempts=6, prices=Prices(1.0, 2.0))
            assert server.bodies[0]["messages"][0] == {"role": "system", "content": "Be brief."}
            assert server.bodies[0]["top_k"] == 5
        rows = [json.loads(line) for line in (tmp_path / "org__served__one.jsonl").read_text().splitlines()]
        assert rows == [
            {"id": f"q{i}", "prompt": f"Question: number {i}\nAnswer: ", "response": f"I was asked number {i}, at last.",
             "model": "org/served one"}
            for i in range(12)
        ]  # fmt: skip
        assert record["counts"]["responses"] == 12 and record["counts"]["failures"] == {}
        assert record["ledger"]["answers"] == 12 + record["ledger"]["unusable"]
        assert record["ledger"]["cost"] > 0
        assert record["settings"]["system_prompt"] == "Be brief." and record["settings"]["seed"] == 0
        assert record == json.loads((tmp_path / "org__served__one.meta.json").read_text())
        for file in tmp_path.rglob("*"):
            assert file.is_dir() or API_KEY.encode() not in file.read_bytes()

    def test_the_same_call_continues_without_asking_again(self, tmp_path, served):
        def answer(body):
            if len(server.bodies) == 5:  # from the next request on
                server.refuse_with = (401, {"error": {"message": "no"}})
            return echo(body)

        with CompletionServer(answer) as server:
            policy, backend = served(server)
            with pytest.raises(TooManyFailures, match="5 of 12 questions are answered and stored"):
                generate(PROMPTS, policy, tmp_path, backend, max_failures=2)
            assert not (tmp_path / "served.jsonl").exists()
            with pytest.raises(ValueError, match="responses of model 'served' are not finished"):
                read_responses(tmp_path)
            server.refuse_with = None
            record = generate(PROMPTS, policy, tmp_path, backend)
            assert record["this_run"]["asked"] == 7
            assert max(server.delivered.values()) == 1
            asked = server.asked.total()
            assert generate(PROMPTS, policy, tmp_path, backend) == record
            # and prompts that are added cost no more than themselves
            more = [*PROMPTS, {"id": "new", "prompt": "number 99"}]
            with pytest.raises(ValueError, match="made with other settings: prompts_sha256 was"):
                generate(more, policy, tmp_path, backend)
            assert generate(more, policy, tmp_path, backend, overwrite=True)["counts"]["responses"] == 13
            assert server.asked.total() == asked + 1
        assert len(read_responses(tmp_path)) == 13

    def test_a_policy_cut_short_shares_the_answers(self, tmp_path, served):
        with CompletionServer(echo) as server:
            policy, backend = served(server)
            generate(PROMPTS, policy, tmp_path, backend)
            cut, _ = served(server, name="cut", max_words=3)
            record = generate(PROMPTS, cut, tmp_path, backend)
            assert server.asked.total() == 12
        assert record["counts"]["cut_at_max_words"] == 12
        assert read_responses(tmp_path).of("cut") == ("I was asked",) * 12

    def test_prompts_without_answer_are_an_error_or_counted(self, tmp_path, served):
        def answer(body):
            return "" if body["messages"][-1]["content"].endswith((" 3", " 7")) else echo(body)

        with CompletionServer(answer) as server:
            policy, backend = served(server)
            server.refuse_with = (400, {"error": {"message": "too rude"}})
            with pytest.raises(
                ValueError, match=r"no response to 2 of 2 prompts, by kind: {'bad_request': 2}; first: id 'q3'"
            ):
                generate([PROMPTS[3], PROMPTS[7]], policy, tmp_path, backend)
            assert not (tmp_path / "served.jsonl").exists()
            server.refuse_with, asked = None, server.asked.total()
            with pytest.raises(
                ValueError, match=r"no response to 2 of 12 prompts, by kind: {'empty': 2}; first: id 'q3'"
            ):
                generate(PROMPTS, policy, tmp_path, backend)
            record = generate(PROMPTS, policy, tmp_path, backend, on_failure="drop")
            assert record["counts"]["failures"] == {"empty": 2}
            assert server.asked.total() - asked == 10 + 2 * 3  # an empty answer is asked for three times, and no more
        with pytest.raises(
            ValueError, match=r"served\.jsonl, line 4 \(id 'q3'\): model 'served' has no response \(empty\)"
        ):
            read_responses(tmp_path)
        assert len(read_responses(tmp_path, on_failure="drop")) == 10


class TestALocalModel:
    @pytest.fixture(scope="class")
    def checkpoint(self, tmp_path_factory) -> str:
        return tiny_checkpoint(tmp_path_factory.mktemp("policy"))

    def test_equal_settings_give_equal_files_and_others_are_refused(self, tmp_path, checkpoint):
        hot = PolicyModel("hot", checkpoint, temperature=1.5, max_tokens=6)
        record = generate(PROMPTS, hot, tmp_path / "one")
        generate(PROMPTS, hot, tmp_path / "two")
        texts = [(tmp_path / folder / "hot.jsonl").read_text() for folder in ("one", "two")]
        assert texts[0] == texts[1]
        assert record["counts"]["cut_at_max_tokens"] > 0
        assert record["settings"]["template_sha256"]
        cold = PolicyModel("hot", checkpoint, temperature=0.5, max_tokens=6)
        with pytest.raises(ValueError, match="made with other settings: temperature was 1.5 and is 0.5"):
            generate(PROMPTS, cold, tmp_path / "one")
        generate(PROMPTS, cold, tmp_path / "one", overwrite=True)
        assert (tmp_path / "one" / "hot.jsonl").read_text() != texts[0]
        clash = PolicyModel("hot ", checkpoint, max_tokens=6)
        (tmp_path / "one" / "hot.meta.json").rename(tmp_path / "one" / "hot__.meta.json")
        with pytest.raises(ValueError, match="is the file of model 'hot', and would be that of 'hot '"):
            generate(PROMPTS, clash, tmp_path / "one")
        with pytest.raises(ValueError, match=r"hot\.jsonl exists, but not the record"):
            generate(PROMPTS, hot, tmp_path / "one")

    def test_mistakes_are_found_before_anything_is_asked(self, tmp_path, checkpoint):
        policy = PolicyModel("p", checkpoint, max_tokens=4)
        with pytest.raises(ValueError, match="row 1: id 'a' is that of row 0 already"):
            generate([{"id": "a", "prompt": "x"}] * 2, policy, tmp_path)
        with pytest.raises(ValueError, match="`on_failure` must be one of error, drop"):
            generate(PROMPTS, policy, tmp_path, on_failure="ignore")
        assert not list(tmp_path.iterdir())

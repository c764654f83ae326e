"""Chains of rewrites are scored: prompts once, every text as if alone, resumable, and never mixed with other texts."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.processes import ROOT, environment, launch
from tests.rate.chains import word_chains
from tests.scoring.helpers import rewards_of_ids
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.json_lines import read_lines
from trl_ext.rate import TextChains, chat_prompts, read_reward_chains, score_chains, score_many
from trl_ext.rate.chains.scoring import complete_chains


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def scorer(tokenizer) -> RewardScorer:
    return RewardScorer(tiny_reward_model(tokenizer), tokenizer, progress=False)


@pytest.fixture(scope="module")
def folder(scorer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    score_chains(scorer, word_chains(), folder)
    return folder


def one_text_at_a_time(tokenizer, chains: TextChains) -> np.ndarray:
    """By transformers alone: a forward pass for each text, without padding."""
    model = tiny_reward_model(tokenizer).eval()

    def ids(prompt, text: str) -> list[int]:
        if isinstance(prompt, str):
            return tokenizer(prompt + text + tokenizer.eos_token)["input_ids"]
        messages = [*prompt, {"role": "assistant", "content": text}]
        return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]

    return np.array(
        [
            rewards_of_ids(model, [ids(prompt, text) for text in texts])
            for prompt, texts in zip(chains.prompts, chains.texts, strict=True)
        ]
    )


def with_failures() -> TextChains:
    """8 rows of which the second has no rewrite and the fifth no rewritten rewrite."""
    chains = word_chains()
    texts, failures = list(chains.texts), [[None, None] for _ in chains.ids]
    texts[1], failures[1] = (texts[1][0], None, None), ["refusal", "no_rewrite"]
    texts[4], failures[4] = (*texts[4][:2], None), [None, "timeout"]
    return TextChains("indeed", chains.ids, chains.prompts, chains.w, tuple(texts), tuple(map(tuple, failures)))


class TestRewards:
    @pytest.mark.parametrize(("steps", "chat"), [(2, False), (3, True), (0, False)])
    def test_are_those_of_one_text_at_a_time(self, scorer, tokenizer, tmp_path, steps, chat):
        chains = word_chains(steps=steps, chat=chat)
        found = score_chains(scorer, chains, tmp_path)
        assert found.rewards.shape == (8, steps + 1)
        np.testing.assert_allclose(found.rewards, one_text_at_a_time(tokenizer, chains), rtol=1e-5, atol=1e-5)
        assert found.ids.tolist() == list(chains.ids) and found.clusters is None
        np.testing.assert_array_equal(found.w, chains.w)

    def test_a_prompt_is_computed_once_for_its_chain_and_for_all_its_rows(self, scorer, tmp_path):
        def share(prompts: int, name: str) -> float:
            found = score_chains(scorer, word_chains(prompts=prompts), tmp_path / name)
            assert (found.clusters is None) == (prompts == 8)
            return scorer.timing.computed_tokens / scorer.timing.sequence_tokens

        assert share(2, "grouped") < share(8, "different") - 0.1 < 0.65

    def test_texts_of_prompts_can_become_messages(self, scorer, tokenizer, tmp_path):
        chains = chat_prompts(word_chains())
        found = score_chains(scorer, chains, tmp_path)
        np.testing.assert_allclose(found.rewards, one_text_at_a_time(tokenizer, chains), rtol=1e-5, atol=1e-5)
        assert chat_prompts(chains).prompts == chains.prompts

    def test_are_read_as_they_were_written(self, folder):
        rewards = [row["reward"] for _, row in read_lines(folder / "rewards.jsonl")]
        np.testing.assert_array_equal(read_reward_chains(folder).rewards.ravel(), rewards)

    def test_clusters_are_read(self, scorer, tmp_path):
        score_chains(scorer, word_chains(prompts=3), tmp_path)
        assert read_reward_chains(tmp_path).clusters.tolist() == ["p0", "p1", "p2", "p0", "p1", "p2", "p0", "p1"]

    def test_of_several_models(self, scorer, tokenizer, tmp_path):
        made = []

        def other():
            made.append(1)
            return RewardScorer(tiny_reward_model(tokenizer, seed=1), tokenizer, progress=False)

        found = score_many({"first": scorer, "second": other}, word_chains(), tmp_path, facts={"of": "a test"})
        assert made == [1] and list(found) == ["first", "second"]
        assert not np.allclose(found["first"].rewards, found["second"].rewards)
        for name, rewards in found.items():
            np.testing.assert_array_equal(read_reward_chains(tmp_path / name).rewards, rewards.rewards)
            assert json.loads((tmp_path / name / "chains.json").read_text())["of"] == "a test"


class TestRecord:
    def test_has_the_attribute_and_the_hash_of_the_file_of_rewrites(self, folder, tmp_path):
        word_chains().write(tmp_path / "rewrites.jsonl")
        record = json.loads((folder / "chains.json").read_text())
        assert record == {
            "attribute": "indeed",
            "steps": 2,
            "rows": 8,
            "left_out": {},
            "rewrites_sha256": hashlib.sha256((tmp_path / "rewrites.jsonl").read_bytes()).hexdigest(),
        }

    def test_failed_rewrites_are_refused_or_counted(self, scorer, tmp_path):
        with pytest.raises(
            ValueError, match=r"2 of 8 rows have no 'rewritten_rewrite' \(refusal: 1, timeout: 1\).*'r1'"
        ):
            score_chains(scorer, with_failures(), tmp_path)
        assert not list(tmp_path.iterdir())
        found = score_chains(scorer, with_failures(), tmp_path, on_failure="drop")
        assert found.ids.tolist() == ["r0", "r2", "r3", "r5", "r6", "r7"]
        record = json.loads((tmp_path / "chains.json").read_text())
        assert record["left_out"] == {"refusal": 1, "timeout": 1} and record["rows"] == 6

    def test_nothing_to_score(self):
        with pytest.raises(ValueError, match="no row has all its rewrites"):
            complete_chains(with_failures().select([1, 4]), "drop")
        with pytest.raises(ValueError, match="'error' or 'drop', got 'skip'"):
            complete_chains(with_failures(), "skip")


class TestFolder:
    def test_an_interrupted_file_is_continued_to_the_same(self, scorer, tmp_path):
        whole = score_chains(scorer, word_chains(), tmp_path)
        rewards, record = tmp_path / "rewards.jsonl", tmp_path / "rewards.jsonl.meta.json"
        content = rewards.read_text()
        rewards.write_text(content[: len(content) // 2])
        record.write_text(json.dumps(json.loads(record.read_text()) | {"finished": False}))
        with pytest.raises(ValueError, match="rewards.jsonl is not finished"):
            read_reward_chains(tmp_path)
        np.testing.assert_array_equal(score_chains(scorer, word_chains(), tmp_path).rewards, whole.rewards)
        assert rewards.read_text() == content

    def test_rewards_of_other_texts_or_settings_are_not_taken(self, scorer, tokenizer, tmp_path):
        first = score_chains(scorer, word_chains(), tmp_path)
        other = word_chains(9)
        with pytest.raises(ValueError, match=r"has rewards of other chains \(rows, prompts or texts differ"):
            score_chains(scorer, other, tmp_path)
        np.testing.assert_array_equal(read_reward_chains(tmp_path).rewards, first.rewards)
        another = RewardScorer(tiny_reward_model(tokenizer, seed=1), tokenizer, progress=False)
        with pytest.raises(ValueError, match="begun with other settings: model_weights_sha256 was"):
            score_chains(another, word_chains(), tmp_path)
        assert len(score_chains(scorer, other, tmp_path, overwrite=True)) == 9

    def test_texts_that_changed_since_are_told(self, scorer, tmp_path):
        score_chains(scorer, word_chains(), tmp_path)
        path = tmp_path / "input.jsonl"
        path.write_text(path.read_text().replace("It is 3.", "It is 4."))
        with pytest.raises(ValueError, match="input.jsonl is not what rewards.jsonl was made of"):
            read_reward_chains(tmp_path)

    def test_what_is_wrong_with_rewards_is_told(self, scorer, tmp_path):
        score_chains(scorer, word_chains(), tmp_path)
        rewards = tmp_path / "rewards.jsonl"
        lines = rewards.read_text().splitlines(keepends=True)

        def message(*changed: str) -> str:
            rewards.write_text("".join(changed))
            with pytest.raises(ValueError) as error:
                read_reward_chains(tmp_path)
            return str(error.value)

        infinite = json.dumps(json.loads(lines[1]) | {"reward": float("inf")}) + "\n"
        assert "column 'rewrite' has rewards that are not finite" in message(lines[0], infinite, *lines[2:])
        assert "(prompt 'r0', step 'rewrite'): the reward is NaN" in message(
            lines[0], infinite.replace("Infinity", "NaN"), *lines[2:]
        )
        assert "lacks 1 of 24 rewards; first: step 'rewrite', prompt 'r0'" in message(lines[0], *lines[2:])
        assert "has 25 rewards of 24 texts" in message(*lines, lines[0])
        (tmp_path / "input.jsonl").unlink()
        assert "has no input.jsonl" in message(*lines)
        (tmp_path / "rewards.jsonl.meta.json").unlink()
        assert "has no record" in message(*lines)
        rewards.unlink()
        with pytest.raises(ValueError, match="score the chains first"):
            read_reward_chains(tmp_path)

    @pytest.mark.parametrize("name", ["", "..", "a/b", 3])
    def test_names_that_are_no_folder(self, scorer, tmp_path, name):
        with pytest.raises(ValueError, match="a word without slashes"):
            score_many({name: scorer}, word_chains(), tmp_path)

    def test_no_scorer(self, tmp_path):
        with pytest.raises(ValueError, match="there are no scorers"):
            score_many({}, word_chains(), tmp_path)

    def test_too_long_texts_are_named(self, tokenizer, tmp_path):
        short = RewardScorer(tiny_reward_model(tokenizer), tokenizer, max_length=40, progress=False)
        with pytest.raises(ValueError, match=r"row 0 \(id 'r0'\), response 2: 54 tokens, more than max_length=40"):
            score_chains(short, word_chains(), tmp_path)


SCRIPT = ROOT / "tests" / "distributed" / "score_rate_chains.py"


@pytest.fixture(scope="module")
def checkpoint(tokenizer, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("reward")
    tiny_reward_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    score_chains(RewardScorer(checkpoint, progress=False), word_chains(2000), folder)
    return (folder / "rewards.jsonl").read_bytes()


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_file(checkpoint, whole, tmp_path):
    arguments = [sys.executable, str(SCRIPT), checkpoint, str(tmp_path), "2000"]
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL, start_new_session=True)
    rewards = tmp_path / "rewards.jsonl"
    deadline = time.monotonic() + 120
    while not (rewards.exists() and rewards.stat().st_size > 1000) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)  # with what prepares rows in the background
    process.wait()
    assert 0 < rewards.read_bytes().count(b"\n") < 6000
    with pytest.raises(ValueError, match="is not finished"):
        read_reward_chains(tmp_path)
    score_chains(RewardScorer(checkpoint, progress=False), word_chains(2000), tmp_path)
    assert rewards.read_bytes() == whole


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(checkpoint, whole, tmp_path):
    launch("cpu_2proc.yaml", SCRIPT, checkpoint, tmp_path, 2000)
    assert (tmp_path / "rewards.jsonl").read_bytes() == whole
    rewards = read_reward_chains(tmp_path).rewards
    for process in (0, 1):
        np.testing.assert_array_equal(np.load(tmp_path / f"{process}.npy"), rewards)

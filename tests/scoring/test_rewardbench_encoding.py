"""encoding="rewardbench" gives the rewards of RewardBench's own programs, whatever is batched or shared."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from trl_ext import RewardScorer
from trl_ext.evaluation import rewardbench_section_scores
from trl_ext.scoring.__main__ import parse_arguments
from trl_ext.scoring.groups import groups_from_lists


FACTS = json.loads(Path(__file__).with_name("rewardbench_facts.json").read_text())["runs"]


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def tiny_rm(shared_dir):
    return str(shared_dir / "golden" / "tiny_rm")


@pytest.fixture(scope="module")
def folder(shared_dir):
    return shared_dir / "golden" / "rewardbench_cli"


@pytest.fixture(scope="module")
def inputs(folder):
    """By file and id: prompt and responses."""

    def of_row(row: dict) -> tuple:
        if "messages" in row:
            return row["messages"][:-1], [row["messages"][-1]["content"]]
        if "prompt" in row:
            answers = [row[column] for column in ("chosen", "rejected")]
            return row["prompt"], answers if isinstance(answers[0], str) else answers[0] + answers[1]
        return row["chosen"][:-1], [row[column][-1]["content"] for column in ("chosen", "rejected")]

    return {
        name: {str(row["id"]): of_row(row) for row in read(folder / f"{name}.jsonl")}
        for name in ("prefs", "messages", "v1", "v2")
    }


def scorer_for(model: str, **kwargs) -> RewardScorer:
    return RewardScorer(model, encoding="rewardbench", progress=False, **kwargs)


def rewards_of(model: str, rows: dict[str, tuple], **kwargs) -> dict[str, np.ndarray]:
    prompts, responses = zip(*rows.values(), strict=True)
    return dict(zip(rows, scorer_for(model, **kwargs).score(list(prompts), list(responses)), strict=True))


def assert_agree(ours: dict[str, np.ndarray], theirs: dict[str, list[float]]) -> None:
    assert theirs
    for row, expected in theirs.items():  # rewards are of the order of one; rounding does not shrink with them
        np.testing.assert_allclose(ours[row], expected, rtol=1e-4, atol=1e-4, err_msg=row)


def pairs_of(rows: list[dict]) -> dict[str, list[float]]:
    return {str(row["id"]): [row["scores_chosen"], row["scores_rejected"]] for row in rows}


class TestGenuinePrograms:
    @pytest.mark.parametrize("shared_prefix", [True, False])
    def test_rewardbench_on_preferences(self, tiny_rm, folder, inputs, shared_prefix):
        ours = rewards_of(tiny_rm, inputs["prefs"], shared_prefix=shared_prefix)
        rows = read(folder / "expected" / "pref___outputs.jsonl")
        assert_agree(ours, pairs_of(rows))
        for row in rows:  # a7 and a8 are decided by rounding: their responses are alike
            if row["id"] not in ("a7", "a8"):
                assert (ours[row["id"]][0] > ours[row["id"]][1]) == row["results"]
        assert ours["a8"][0] == ours["a8"][1]

    def test_rewardbench_on_the_core_set_with_its_sections(self, tiny_rm, folder, inputs):
        ours = rewards_of(tiny_rm, inputs["v1"])
        rows = read(folder / "expected" / "core___outputs.jsonl")
        assert_agree(ours, pairs_of(rows))
        scores = rewardbench_section_scores(
            [row["subset"] for row in rows], *np.array([ours[str(row["id"])] for row in rows]).T
        )
        text = (folder / "expected" / "core__sections.txt").read_text()
        expected = json.loads(text.strip().replace("'", '"'))
        assert {name: section.value for name, section in scores.sections.items()} == pytest.approx(expected, abs=1e-9)

    def test_run_rm(self, tiny_rm, folder, inputs):
        ours = rewards_of(tiny_rm, inputs["v1"], max_length=2048, max_length_policy="truncate_left")
        found = json.loads((folder / "expected" / "run_rm__scores.json").read_text())
        theirs = np.hstack([found["scores_chosen"], found["scores_rejected"]])
        assert_agree(ours, dict(zip(map(str, found["id"]), theirs.tolist(), strict=True)))
        decisions = [int(ours[str(row)][0] > ours[str(row)][1]) for row in found["id"]]
        assert decisions == found["results"]

    def test_run_v2(self, tiny_rm, folder, inputs):
        found = json.loads((folder / "expected" / "v2__scores.json").read_text())
        ours = rewards_of(
            tiny_rm,
            {
                str(row["id"]): (row["prompt"], row["chosen"] + row["rejected"])
                for row in read(folder / "v2.jsonl")
            },
        )  # fmt: skip
        theirs = {row: np.ravel(scores).tolist() for row, scores in zip(found["id"], found["scores"], strict=True)}
        assert_agree(ours, theirs)


def variant(tmp_path: Path, tiny_rm: str, kind: str) -> str:
    """The model as the run had it."""
    path = tmp_path / "model"
    path.mkdir()
    for file in Path(tiny_rm).iterdir():  # not copytree: the reference folder may be read-only
        shutil.copyfile(file, path / file.name)
    config, tokenizer = (json.loads((path / f"{name}.json").read_text()) for name in ("config", "tokenizer_config"))
    if "no chat template" in kind:
        (path / "chat_template.jinja").unlink()
    if "no pad token" in kind:
        config["pad_token_id"] = None
        del tokenizer["pad_token"]
    if "LlamaTokenizerFast" in kind:
        tokenizer["tokenizer_class"] = "LlamaTokenizerFast"
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return str(path)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact['data']} {fact['run']} ({fact['model']})")
def test_recorded_rewards_of_the_genuine_programs(tmp_path, tiny_rm, inputs, fact):
    rows = {row: inputs[fact["data"]][row] for row in fact["rewards"]}
    ours = rewards_of(variant(tmp_path, tiny_rm, fact["model"]), rows, **fact["options"])
    if fact["options"].get("dtype") == "bfloat16":
        # theirs is up to 0.19 from its own float32, and 0.15 from itself at another batch size
        difference = np.abs(np.concatenate([ours[row] - fact["rewards"][row] for row in rows]))
        assert difference.max() < 0.4 and np.median(difference) < 0.1
    else:
        assert_agree(ours, fact["rewards"])


def add_end(tokenizer) -> None:
    """Let a tokenizer put BOS before a text and EOS after it."""
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    )


class TestSequences:
    """What becomes of texts, in tokens."""

    @pytest.fixture(scope="class")
    def scorer(self, tiny_rm):
        return scorer_for(tiny_rm)

    def ids(self, scorer, prompt, response, **settings):
        encoder = dataclasses.replace(scorer.encoder, **settings)
        (ids,), truncated = encoder.encode(groups_from_lists([prompt], [[response]], allow_empty=True))
        return ids, truncated

    def test_one_bos_token_and_no_generation_prompt(self, scorer):
        tokenizer = scorer.processing_class
        ids, _ = self.ids(scorer, "Hi.", "Hello!")
        assert tokenizer.decode(ids) == "<s><|user|>\nHi.</s>\n<|assistant|>\nHello!</s>\n"

    def test_roles_are_those_of_the_positions(self, scorer):
        prompt = [{"role": role, "content": role} for role in ("assistant", "user", "tool")]
        ids, _ = self.ids(scorer, prompt, [{"role": "user", "content": "answer"}])
        assert scorer.processing_class.decode(ids) == (
            "<s><|user|>\nassistant</s>\n<|assistant|>\nuser</s>\n<|user|>\ntool</s>\n<|assistant|>\nanswer</s>\n"
        )

    def test_truncation_keeps_the_bos_token_and_the_end(self, scorer):
        whole, _ = self.ids(scorer, "One two three.", "Four five six.")
        cut, truncated = self.ids(
            scorer, "One two three.", "Four five six.", max_length=10, policy="truncate_left"
        )  # fmt: skip
        assert truncated == 1
        assert cut == whole[:1] + whole[-9:]

    def test_truncation_on_the_right_counts_both_bos_tokens(self, scorer):
        whole, _ = self.ids(scorer, "One two three.", "Four five six.")
        cut, truncated = self.ids(scorer, "One two three.", "Four five six.", max_length=10, policy="truncate_right")
        assert truncated == 1
        assert cut == whole[:9]

    @pytest.mark.parametrize("adds", ["the tokenizer", "RewardBench"])
    def test_truncation_on_the_right_keeps_what_the_tokenizer_adds_at_the_end(self, tiny_rm, adds):
        tokenizer = AutoTokenizer.from_pretrained(tiny_rm)
        if adds == "the tokenizer":
            add_end(tokenizer)
            scorer = scorer_for(tiny_rm, processing_class=tokenizer)
        else:
            scorer = scorer_for(tiny_rm)
            scorer.encoder = dataclasses.replace(scorer.encoder, adds_eos=True)
        whole, _ = self.ids(scorer, "One two three.", "Four five six.")
        assert whole[-1] == tokenizer.eos_token_id != whole[8]
        cut, truncated = self.ids(scorer, "One two three.", "Four five six.", max_length=10, policy="truncate_right")
        assert truncated == 1  # of ten tokens, one is the second BOS token, which goes afterwards
        assert cut == [*whole[:8], tokenizer.eos_token_id]
        left, _ = self.ids(scorer, "One two three.", "Four five six.", max_length=10, policy="truncate_left")
        assert left == whole[:1] + whole[-9:]

    def test_truncation_keeps_the_end_in_the_encoding_of_training_too(self, tiny_rm):
        tokenizer = AutoTokenizer.from_pretrained(tiny_rm)
        add_end(tokenizer)
        scorer = RewardScorer(tiny_rm, tokenizer, max_length=6, max_length_policy="truncate_right", progress=False)
        (text, messages), truncated = scorer.encoder.encode(
            groups_from_lists(["One two", [{"role": "user", "content": "One two"}]], [["Three four five."]] * 2)
        )
        assert truncated == 2 and len(text) == len(messages) == 6
        assert text[-1] == tokenizer.eos_token_id != messages[-1]

    def test_truncation_of_prompts_keeps_responses_whole(self, scorer):
        whole, _ = self.ids(scorer, "One two three. " * 5, "Four.")
        cut, truncated = self.ids(
            scorer, "One two three. " * 5, "Four.", max_length=len(whole) - 5, policy="truncate_prompt_left"
        )
        assert truncated == 1
        assert cut[0] == whole[0] and cut[1:] == whole[-len(cut) + 1 :]
        assert len(cut) <= len(whole) - 5

    def test_without_pad_token_the_end_is_the_last_token_that_is_not_eos(self, tmp_path, tiny_rm):
        scorer = scorer_for(
            variant(tmp_path, tiny_rm, "no pad token"),
            chat_template="{{ messages[-1]['content'] }}</s></s>",
            override_chat_template=True,
        )
        ids, _ = self.ids(scorer, "Hi.", "Hello!")
        assert ids == AutoTokenizer.from_pretrained(tiny_rm)("Hello!")["input_ids"]
        assert self.ids(scorer, "Hi.", "")[0] == [scorer.processing_class.bos_token_id]


class TestSettings:
    def test_tell_encodings_and_templates_apart(self, tiny_rm):
        scorers = [
            RewardScorer(tiny_rm, progress=False),
            scorer_for(tiny_rm),
            scorer_for(tiny_rm, chat_template="tulu", override_chat_template=True),
            scorer_for(tiny_rm, max_length=9, max_length_policy="truncate_left"),
        ]
        assert len({json.dumps(scorer.settings(), sort_keys=True) for scorer in scorers}) == 4

    def test_a_template_is_for_tokenizers_without_one(self, tiny_rm, caplog):
        own, ignored, overriding = (
            scorer_for(tiny_rm, **kwargs).score(["Hi."], [["Hello!"]])[0]
            for kwargs in (
                {},
                {"chat_template": "tulu"},
                {"chat_template": "tulu", "override_chat_template": True},
            )
        )
        assert own == ignored != overriding
        assert sum("override_chat_template=True" in message for message in caplog.messages) == 1

    def test_the_template_serves_the_encoding_of_training_too(self, tmp_path, tiny_rm):
        prompt, responses = [{"role": "user", "content": "Hi."}], ["Hello!"]
        path = variant(tmp_path, tiny_rm, "no chat template")
        named = RewardScorer(path, chat_template="tulu", progress=False)
        expected = RewardScorer(path, progress=False)
        expected.processing_class.chat_template = named.encoder.chat_template
        assert named.score([prompt], [responses])[0] == expected.score([prompt], [responses])[0]
        with pytest.raises(ValueError, match="the chat template refuses a conversation: .*user and assistant only"):
            named.score([[{"role": "system", "content": "Be good."}, *prompt]], [responses])

    def test_truncation_is_counted_and_said(self, tiny_rm, caplog):
        scorer = scorer_for(tiny_rm, max_length=20, max_length_policy="truncate_left")
        with caplog.at_level(logging.WARNING):
            scorer.score(["Hi.", "Hi."], [["Hello! " * 5, "No."], ["Hello! " * 9]])
        assert scorer.timing.truncated == 2
        assert [m for m in caplog.messages if "2 responses were truncated to max_length=20" in m]

    def test_empty_responses_are_scored_here_and_refused_in_training(self, tiny_rm):
        assert scorer_for(tiny_rm).score(["Hi."], [["", "Hello!"]])[0].shape == (2,)
        with pytest.raises(ValueError, match="prompt 0, response 0 is empty"):
            RewardScorer(tiny_rm, progress=False).score(["Hi."], [["", "Hello!"]])
        with pytest.raises(ValueError, match="prompt 0: the prompt is empty"):
            scorer_for(tiny_rm).score([""], [["Hello!"]])

    @pytest.mark.parametrize(
        ("prompt", "kwargs", "match"),
        [
            ([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}], {}, "the user's. Remove the system"),
            ([{"role": "user", "content": [{"type": "text", "text": "U"}]}], {}, "text only as content of messages"),
            ("U", {"encoding": "other"}, "`encoding` must be one of training, rewardbench"),
            ("U", {"override_chat_template": True}, "`override_chat_template` needs `chat_template`"),
            ("U", {"chat_template": "tulip"}, "did you mean 'tulu'"),
            ("U", {"chat_template": "{{ raise_exception('no') }}", "override_chat_template": True}, "refuses it: .*no"),
            ("U" * 99, {"max_length": 20}, "prompt 0, response 0: .* tokens, more than max_length=20"),
        ],
    )  # fmt: skip
    def test_errors_say_what_to_do(self, tiny_rm, prompt, kwargs, match):
        with pytest.raises(ValueError, match=match):
            RewardScorer(tiny_rm, progress=False, **({"encoding": "rewardbench"} | kwargs)).score([prompt], [["A"]])

    def test_a_tokenizer_without_template_needs_one(self, tmp_path, tiny_rm):
        with pytest.raises(ValueError, match="has no chat template, which encoding='rewardbench' needs"):
            scorer_for(variant(tmp_path, tiny_rm, "no chat template")).score(["Hi."], [["Hello!"]])

    def test_rows_with_template_arguments_are_refused(self, tmp_path, tiny_rm):
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"prompt": "Hi.", "responses": ["Hello!"], "chat_template_kwargs": {"style": "x"}}\n')
        with pytest.raises(ValueError, match="renders without `tools` and `chat_template_kwargs`"):
            scorer_for(tiny_rm).score_file(rows, tmp_path / "out.jsonl")


def test_an_interrupted_file_is_continued_with_its_settings_only(tiny_rm, tmp_path):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"prompt": f"{i}? " * i, "responses": ["Yes.", "", "No. " * i]}) + "\n" for i in range(1, 9)
        )
    )
    scorer = scorer_for(tiny_rm, max_length=24, max_length_policy="truncate_left")
    whole = scorer.score_file(rows, tmp_path / "whole.jsonl", window_size=6)
    assert scorer.score_file(rows, out, window_size=6)["settings"]["encoding"] == "rewardbench"
    out.write_bytes(out.read_bytes()[:700])
    meta = scorer.score_file(rows, out, window_size=6)
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert meta["truncated"] == whole["truncated"] > 0 and meta["timing"]["responses"] < meta["responses"]
    with pytest.raises(ValueError, match="max_length_policy was 'truncate_left' and is 'truncate_right'"):
        scorer_for(tiny_rm, max_length=24, max_length_policy="truncate_right").score_file(rows, out, window_size=6)
    with pytest.raises(ValueError, match="encoding was 'rewardbench' and is 'training'"):
        rows.write_text(rows.read_text().replace('"", ', ""))
        RewardScorer(tiny_rm, progress=False).score_file(rows, out, window_size=6)


def test_the_command_line_has_the_options():
    arguments = [
        "--model",
        "m",
        "--input",
        "i",
        "--output",
        "o",
        "--encoding",
        "rewardbench",
        "--chat-template",
        "tulu",
    ]
    parsed = parse_arguments([*arguments, "--max-length-policy", "truncate_left", "--reduction", "0.5,-1"])
    assert (parsed.encoding, parsed.chat_template, parsed.reduction) == ("rewardbench", "tulu", [0.5, -1.0])
    assert parse_arguments([*arguments, "--reduction", "3"]).reduction == 3


@pytest.mark.parametrize("encoding", ["training", "rewardbench"])
def test_batches_and_sharing_change_neither_rewards_nor_decisions(tiny_rm, inputs, encoding):
    rows = {row: inputs["prefs"][row] for row in ("a0", "a3", "a4", "a6", "a8", "a11")}
    prompts, responses = map(list, zip(*rows.values(), strict=True))

    def scorer(tokens: int, shared: bool) -> RewardScorer:
        return RewardScorer(
            tiny_rm, encoding=encoding, max_tokens_per_batch=tokens, shared_prefix=shared, progress=False
        )

    rewards = [
        np.stack(scorer(tokens, shared).score(prompts, responses))
        for tokens in (1, 8, 64, 16384)
        for shared in (True, False)
    ]
    for other in rewards[1:]:
        np.testing.assert_allclose(other, rewards[0], rtol=1e-5, atol=1e-5)
        assert np.array_equal(other[:, 0] > other[:, 1], rewards[0][:, 0] > rewards[0][:, 1])

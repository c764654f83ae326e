"""The files of the original RATE code: read, written, merged; what can't be read says why."""

import json
from datetime import datetime

import numpy as np
import pytest

from trl_ext.rate import (
    RewardChains,
    TextChains,
    estimate_effects,
    get_attribute,
    merge_original_scored,
    original_file_name,
    read_original_effects,
    read_original_rewrites,
    read_original_scored,
    read_original_template,
    write_original_effects,
    write_original_rewrites,
    write_original_scored,
    write_original_template,
)
from trl_ext.rate.original_files.effects import EFFECT_KEYS


STEPS = ("original", "rewrite", "rewritten rewrite")
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "And?"},
]


def entry(number, question="Why?", **more):
    texts = {step: f"{step} {number}" for step in STEPS}
    return {"w_original": number % 2 == 0, "completions": texts, "reward_question": question} | more


def rewards_of(number, slope):
    return {step: slope * number + i for i, step in enumerate(STEPS)}


@pytest.fixture
def chains():
    texts = [(f"o{i}", f"r{i}", f"b{i}") for i in range(3)] + [("o3", None, None)]
    failures = [(None, None)] * 3 + [("refusal", "no_rewrite")]
    prompts = ("Q", [{"role": "user", "content": "Ask"}], TURNS, "Q")
    return TextChains("length", tuple("abcd"), prompts, np.array([True, False, True, False]), texts, failures)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class TestRewrites:
    def test_what_is_written_can_be_read(self, chains, tmp_path):
        assert write_original_rewrites(chains, tmp_path / "r.json") == 1
        content = json.loads((tmp_path / "r.json").read_text())
        assert content["b"] == {
            "w_original": False,
            "completions": {"original": "o1", "rewrite": "r1", "rewritten rewrite": "b1"},
            "reward_question": "Ask",
        }
        assert content["c"]["reward_question"] == "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: And?\n\nAssistant: "
        again = read_original_rewrites(tmp_path / "r.json", "length")
        assert (again.ids, again.texts, again.w.tolist()) == (tuple("abc"), chains.texts[:3], [True, False, True])
        assert again.prompts == ("Q", "Ask", TURNS)

    @pytest.mark.parametrize(
        "question",
        [
            "\n\nHuman: Hi\n\nAssistant: ",  # one turn
            "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: And?",
            "\n\nHuman: Hi  \n\nAssistant: Hello.\n\nHuman: And?\n\nAssistant: ",  # spaces would be lost
        ],
    )
    def test_questions_that_would_be_written_otherwise_stay_texts(self, tmp_path, question):
        (tmp_path / "r.json").write_text(json.dumps({"7": entry(0, question), "8": entry(1, question)}))
        chains = read_original_rewrites(tmp_path / "r.json", "length")
        assert chains.prompts[0] == question
        write_original_rewrites(chains, tmp_path / "again.json")
        assert json.loads((tmp_path / "again.json").read_text()) == json.loads((tmp_path / "r.json").read_text())

    def test_of_the_original(self, tmp_path):
        path = tmp_path / "imdb.json"
        path.write_text(json.dumps({str(i): entry(i) for i in (7, 8)}))
        chains = read_original_rewrites(path, "sentiment")
        assert chains.ids == ("7", "8") and chains.w.tolist() == [False, True]
        assert chains.clusters is None  # one question for all

    def test_rewrites_that_are_missing_are_failures(self, tmp_path):
        broken = [entry(0, "A"), entry(1, "A"), entry(2, "B")]
        del broken[0]["completions"]["rewritten rewrite"]
        broken[1]["completions"]["rewrite"] = "  "
        path = tmp_path / "r.json"
        path.write_text(json.dumps(dict(enumerate(broken))))
        chains = read_original_rewrites(path, "sentiment")
        assert chains.failures == ((None, "missing"), ("empty", "no_rewrite"), (None, None))
        assert chains.clusters[0] == chains.clusters[1] != chains.clusters[2]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[]", "an object with an entry per id"),
            ("{", "can't be read as JSON"),
            ({"7": {"w_original": True}}, "id '7' must be an object with w_original, completions"),
            ({"7": entry(0, w_original="yes")}, "id '7': w_original must be true or false, got 'yes'"),
            ({"7": entry(0, completions={"rewrite": "x"})}, "must have a text `original`"),
            (
                {"7": entry(0, completions={"original": "x", "rewrite": 3})},
                "completion 'rewrite' must be a text, got 3",
            ),
            (
                {"7": entry(0, completions={"original": "x", "rewrites": "y"})},
                "completions must be original, rewrite, got",
            ),
            ({"7": entry(0, "")}, "the prompt is empty"),
        ],
    )
    def test_bad_files(self, tmp_path, content, message):
        path = tmp_path / "r.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(ValueError, match=message):
            read_original_rewrites(path, "length")

    def test_one_rewrite_is_not_enough(self, chains, tmp_path):
        with pytest.raises(ValueError, match="have two rewrites of every text, these have 1"):
            write_original_rewrites(chains.cut(1), tmp_path / "r.json")


class TestScored:
    def test_rewards_of_several_models_and_of_older_files(self, tmp_path):
        rows = [entry(i, f"Q{i}", ArmoRM=rewards_of(i, 1.0), **{"org/rm": rewards_of(i, 2.0)}) for i in range(3)]
        chains, rewards = read_original_scored(write_jsonl(tmp_path / "s.jsonl", rows), "length")
        assert list(rewards) == ["ArmoRM", "org/rm"]
        np.testing.assert_array_equal(rewards["org/rm"].rewards, [[0, 1, 2], [2, 3, 4], [4, 5, 6]])
        assert rewards["ArmoRM"].ids.tolist() == list(chains.ids) == ["0", "1", "2"]
        assert rewards["ArmoRM"].clusters.tolist() == list(chains.clusters)

    def test_keys_of_the_configuration(self, tmp_path):
        rows = [entry(i, m={"original": 1, "rewrite": 2, "rewrite of rewrite": i}) for i in range(2)]
        path = write_jsonl(tmp_path / "s.jsonl", rows)
        _, rewards = read_original_scored(path, "length", step_keys=("original", "rewrite", "rewrite of rewrite"))
        assert rewards["m"].rewritten_rewrite.tolist() == [0, 1]

    @pytest.mark.parametrize("ids", [True, False])
    def test_what_is_written_can_be_read(self, chains, tmp_path, ids):
        # rewards in another order than the texts
        first = RewardChains([True, True, False], [[5, 6, 7], [0, 1, 2], [3, 4, 5]], ids=["c", "a", "b"])
        second = first.select([0, 2])
        assert write_original_scored(chains, {"one": first, "two": second}, tmp_path / "s.jsonl", ids=ids) == 2
        again, rewards = read_original_scored(tmp_path / "s.jsonl", "length")
        assert again.ids == (("b", "c") if ids else ("0", "1"))
        np.testing.assert_array_equal(rewards["one"].rewards, [[3, 4, 5], [5, 6, 7]])
        np.testing.assert_array_equal(rewards["two"].rewards, [[3, 4, 5], [5, 6, 7]])

    def test_rewards_that_are_not_of_these_texts(self, chains, tmp_path):
        path = tmp_path / "s.jsonl"
        for rewards, message in (
            ({}, "no rewards to write"),
            ({"m": RewardChains([True], [[1, 2, 3]])}, "have no ids"),
            ({"m": RewardChains([True], [[1, 2, 3]], ids=["z"])}, "no text with id 'z'"),
            ({"m": RewardChains([True], [[1, 2]], ids=["a"])}, "are of 1 rewrites, the texts have 2"),
            ({"completions": RewardChains([True], [[1, 2, 3]], ids=["a"])}, "can't have the name 'completions'"),
            ({"m": RewardChains([False], [[1, 2, 3]], ids=["d"])}, "no row is complete and scored"),
        ):
            with pytest.raises(ValueError, match=message):
                write_original_scored(chains, rewards, path)
        assert not path.exists()

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([entry(0)], "has no rewards"),
            (
                [entry(0, m=rewards_of(0, 1)), entry(1, m=rewards_of(1, 1), n=rewards_of(1, 1))],
                "line 1: 'original' of 'n'",
            ),
            ([entry(0, m=rewards_of(0, 1)), entry(1)], "line 2: 'original' of 'm' must be a finite number, got None"),
            (
                [entry(0, m={"original": 1, "rewrite": float("nan"), "rewritten rewrite": 2})],
                "line 1: 'rewrite' of 'm'",
            ),
            (
                [entry(0, m=rewards_of(0, 1), id="a"), entry(1, m=rewards_of(0, 1))],
                "line 2: `id` must be in all lines",
            ),
            ([entry(0, m={"original": 1})], "'rewrite' of 'm' must be a finite number, got None"),
        ],
    )
    def test_bad_files(self, tmp_path, rows, message):
        with pytest.raises(ValueError, match=message):
            read_original_scored(write_jsonl(tmp_path / "s.jsonl", rows), "length")


class TestMerging:
    def test_by_ids_in_any_order(self, tmp_path):
        one = [entry(i, id=str(i), one=rewards_of(i, 1.0)) for i in range(3)]
        two = [entry(i, id=str(i), two=rewards_of(i, 2.0)) for i in (2, 0, 1)]
        paths = [write_jsonl(tmp_path / name, rows) for name, rows in (("1.jsonl", one), ("2.jsonl", two))]
        assert merge_original_scored(paths, tmp_path / "all.jsonl") == ["one", "two"]
        _, rewards = read_original_scored(tmp_path / "all.jsonl", "length")
        np.testing.assert_array_equal(rewards["two"].original, [0.0, 2.0, 4.0])

    def test_by_lines_only_if_there_are_as_many(self, tmp_path):
        one = write_jsonl(tmp_path / "1.jsonl", [entry(i, one=rewards_of(i, 1.0)) for i in range(3)])
        two = write_jsonl(tmp_path / "2.jsonl", [entry(i, two=rewards_of(i, 2.0)) for i in range(2)])
        with pytest.raises(ValueError, match="has 2 rows, .* has 3, and not all have an `id`"):
            merge_original_scored([one, two], tmp_path / "all.jsonl")
        assert not (tmp_path / "all.jsonl").exists()
        two = write_jsonl(tmp_path / "2.jsonl", [entry(i, two=rewards_of(i, 2.0)) for i in range(3)])
        assert merge_original_scored([one, two], tmp_path / "all.jsonl") == ["one", "two"]

    def test_ids_are_compared_as_texts_and_occur_once(self, tmp_path):
        one = write_jsonl(tmp_path / "1.jsonl", [entry(i, id=i, **({"one": {}} if i else {})) for i in range(2)])
        two = write_jsonl(tmp_path / "2.jsonl", [entry(i, id=str(i), two={}) for i in range(2)])
        assert set(merge_original_scored([one, two], tmp_path / "all.jsonl")) == {"one", "two"}
        assert [json.loads(line)["id"] for line in (tmp_path / "all.jsonl").read_text().splitlines()] == [0, 1]
        twice = write_jsonl(tmp_path / "3.jsonl", [entry(i, id=name, m={}) for i, name in enumerate("001")])
        for paths in ([twice, two], [two, twice]):
            with pytest.raises(ValueError, match="3.jsonl, line 2: id '0' is that of line 1 already"):
                merge_original_scored(paths, tmp_path / "all.jsonl")

    def test_other_texts_or_rewards_are_refused(self, tmp_path):
        one = write_jsonl(tmp_path / "1.jsonl", [entry(0, m=rewards_of(1, 1.0))])
        for other, message in (
            (entry(2, n=rewards_of(1, 1.0)), "line 1: 'completions' is"),
            (entry(0, m=rewards_of(2, 1.0)), "line 1: 'm' is"),
        ):
            with pytest.raises(ValueError, match=message):
                merge_original_scored([one, write_jsonl(tmp_path / "2.jsonl", [other])], tmp_path / "all.jsonl")
        with pytest.raises(ValueError, match="two files or more"):
            merge_original_scored([one], tmp_path / "all.jsonl")
        first, second = (write_jsonl(tmp_path / f"{i}.jsonl", [entry(0, id=i, m={})]) for i in "ab")
        with pytest.raises(ValueError, match="have other rows: id"):
            merge_original_scored([first, second], tmp_path / "all.jsonl")


class TestEffects:
    VALUES = dict.fromkeys(EFFECT_KEYS, 0.5) | {"Y1_count": 3, "Y0_count": 0, "naive_effect": float("nan")}

    def test_seventeen_keys_and_the_configuration(self, tmp_path):
        assert len(EFFECT_KEYS) == 17
        config = {"dataset_name": "imdb_length", "concept": "length", "dataset_folder": None}
        write_original_effects(self.VALUES, tmp_path / "e.json", config)
        assert "NaN" not in (tmp_path / "e.json").read_text()
        values, rest = read_original_effects(tmp_path / "e.json")
        assert values["naive_effect"] is None and values["ATE_rewritten_rewrite_stderr"] == 0.5
        assert rest == config

    def test_of_estimated_effects(self, tmp_path):
        table = {"w": [1, 1, 1, 0, 0, 0], "original": [3, 5, 4, 1, 2, 0], "rewrite": [1, 2, 2, 3, 4, 4]}
        table["rewritten_rewrite"] = [3, 4, 5, 1, 1, 2]
        write_original_effects(estimate_effects(table, se="reference"), tmp_path / "e.json")
        values, _ = read_original_effects(tmp_path / "e.json")
        # delta: 2, 2, 3 of texts with the attribute and 2, 3, 2 of those without
        assert values["ATE_rewritten_rewrite"] == pytest.approx(14 / 6)
        assert (values["naive_effect"], values["Y1_count"], values["reward_std"]) == (3.0, 3, 1.0)

    def test_nan_of_the_original_is_none(self, tmp_path):
        (tmp_path / "e.json").write_text(json.dumps(self.VALUES))
        assert read_original_effects(tmp_path / "e.json")[0]["naive_effect"] is None

    def test_mistakes(self, tmp_path):
        with pytest.raises(ValueError, match="key 'reward_std' is missing"):
            write_original_effects({k: v for k, v in self.VALUES.items() if k != "reward_std"}, tmp_path / "e.json")
        with pytest.raises(ValueError, match="'Y1_count' is a key of the effects"):
            write_original_effects(self.VALUES, tmp_path / "e.json", {"Y1_count": 3})
        (tmp_path / "e.json").write_text("[]")
        with pytest.raises(ValueError, match="must hold an object"):
            read_original_effects(tmp_path / "e.json")


class TestTemplatesAndNames:
    def test_words_come_back(self, tmp_path):
        length, path = get_attribute("length"), tmp_path / "t.txt"
        write_original_template(length, path, dataset="d", rows=3, model="m", temperature=0.7)
        template = json.loads(path.read_text())
        assert template["w_strings"] == {"w=1": "longer", "w=0": "shorter"}
        assert "{original_completion}" in template["rewrite_prompt"] and "{text}" not in template["rewrite_prompt"]
        again = read_original_template(path, "length")
        assert again.instruction == length.instruction and again.classifier is None
        path.write_text('{"w_strings": {"w=1": "a"}, "rewrite_prompt": "{original_completion}"}')
        with pytest.raises(ValueError, match="must be an object with w_strings"):
            read_original_template(path, "length")

    def test_names(self):
        time = datetime(2025, 1, 10, 9, 8, 7)
        assert (
            original_file_name("rewrites", "d", time=time, smoke_test=True)
            == "d_dataset_20250110_090807_smoke_test.json"
        )
        assert original_file_name("template", "d", time=time) == "d_template_20250110_090807.txt"
        effects = original_file_name("effects", "d", time=time, concept="c", score="s")
        assert effects == "d_c_s_treatment_effects_20250110_090807.json"
        with pytest.raises(ValueError, match="needs"):
            original_file_name("scored", "d")
        with pytest.raises(ValueError, match="`kind` must be one of"):
            original_file_name("plots", "d")

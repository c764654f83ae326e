import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import rm_bench_accuracy, rm_bench_rewards
from trl_ext.evaluation.benchmarks.rm_bench import STYLES
from trl_ext.evaluation.benchmarks.rm_bench_data import load_rm_bench, rm_bench_files


LEVELS = ("hard", "normal", "easy")


def random_rewards(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.3, 1, size=(n, 3)), rng.normal(size=(n, 3))


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "rapl_evals.json").read_text())["rm_bench"]


class TestValues:
    def test_by_hand(self):
        # the richer style gets the higher reward, whatever is right: rewards 0, 1, 2 on both sides, chosen +0.5
        accuracy = rm_bench_accuracy([[0.5, 1.5, 2.5]], [[0.0, 1.0, 2.0]])
        assert [getattr(accuracy, level).value for level in LEVELS] == [0.0, 1.0, 1.0]
        assert accuracy.average.value == pytest.approx(2 / 3)
        matrix = [[cell.value for cell in row] for row in accuracy.all_prompts.matrix]
        assert matrix == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]

    @pytest.mark.parametrize(("rule", "output"), [("as_wrong", "output_all_ids"), ("drop", "output_without_ids_3_7")])
    def test_golden_rows_with_incomplete_prompts(self, golden, rule, output):
        rows = golden["input"]
        ids, chosen, rejected = rm_bench_rewards(rows["id"], rows["type"], rows["c"], rows["r"])
        accuracy = rm_bench_accuracy(chosen, rejected, ids, incomplete=rule)
        for level in LEVELS:
            assert getattr(accuracy, level).value == pytest.approx(golden[output][f"{level}_acc"], abs=1e-9)
        assert accuracy.incomplete == 2 and accuracy.incomplete_rule == rule
        assert accuracy.all_prompts.n_prompts == (25 if rule == "as_wrong" else 23)

    def test_golden_rows_without_the_incomplete_prompts(self, golden):
        rows = golden["input"]
        keep = [k for k, prompt_id in enumerate(rows["id"]) if prompt_id not in (3, 7)]
        columns = ([rows[name][k] for k in keep] for name in ("id", "type", "c", "r"))
        ids, chosen, rejected = rm_bench_rewards(*columns)
        accuracy = rm_bench_accuracy(chosen, rejected, ids)
        for level in LEVELS:
            expected = golden["output_without_ids_3_7"][f"{level}_acc"]
            assert getattr(accuracy, level).value == pytest.approx(expected, abs=1e-9)

    def test_golden_of_the_benchmark(self, shared_dir):
        cases = json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["rmbench"]["cases"]
        checked = 0
        for case in cases:
            rows, expected = case["rows"], case["expected"]
            domains = [row["domain"] for row in rows] if "domain" in rows[0] else None
            accuracy = rm_bench_accuracy(
                [row["score_chosen"] for row in rows], [row["score_rejected"] for row in rows], domains=domains
            )
            for name, value in expected.items():
                if name in accuracy.domains:
                    ours = accuracy.domains[name].average
                else:
                    ours = getattr(accuracy, "average" if name == "total_avg_acc" else name.removesuffix("_acc"))
                assert ours.value == pytest.approx(value, abs=1e-9), name
                checked += 1
        assert checked == 11

    @settings(max_examples=20)
    @given(st.permutations(range(20)), st.integers(0, 100))
    def test_the_order_of_rows_changes_nothing(self, order, seed):
        chosen, rejected = random_rewards(20, seed)
        ids = np.arange(20) // 2
        one = rm_bench_accuracy(chosen, rejected, ids)
        order = np.array(order)
        other = rm_bench_accuracy(chosen[order], rejected[order], ids[order])
        for level in LEVELS:
            a, b = getattr(one, level), getattr(other, level)
            assert (a.value, a.ci_low, a.ci_high) == pytest.approx((b.value, b.ci_low, b.ci_high))

    @settings(max_examples=20)
    @given(st.integers(0, 100), st.floats(0.1, 10), st.floats(-5, 5))
    def test_scale_and_offset_of_rewards_change_nothing(self, seed, scale, offset):
        chosen, rejected = (np.round(rewards, 2) for rewards in random_rewards(15, seed))
        one = rm_bench_accuracy(chosen, rejected)
        other = rm_bench_accuracy(np.round(chosen * 100) * scale + offset, np.round(rejected * 100) * scale + offset)
        assert [getattr(one, level).value for level in LEVELS] == [getattr(other, level).value for level in LEVELS]

    def test_the_average_is_that_of_hard_normal_easy_and_of_all_cells(self):
        accuracy = rm_bench_accuracy(*random_rewards(30))
        assert accuracy.average.value == pytest.approx(np.mean([getattr(accuracy, level).value for level in LEVELS]))
        cells = [cell.value for row in accuracy.all_prompts.matrix for cell in row]
        assert accuracy.average.value == pytest.approx(np.mean(cells))


class TestTies:
    def test_ties_are_counted_and_lose_unless_asked(self):
        chosen, rejected = np.ones((4, 3)), np.ones((4, 3))
        rejected[:2, 1] = 0
        lost, half = (rm_bench_accuracy(chosen, rejected, ties=rule) for rule in ("loss", "half"))
        # normal: the cells (0,0) and (2,2) are all ties, (1,1) is half wins, half ties
        assert lost.normal.value == pytest.approx((0 + 0.5 + 0) / 3)
        assert half.normal.value == pytest.approx((0.5 + 0.75 + 0.5) / 3)
        assert lost.all_prompts.ties == ((4, 2, 4), (4, 2, 4), (4, 2, 4))
        assert lost.ties_rule == "loss" and half.to_dict()["ties_rule"] == "half"


class TestUncertainty:
    def test_copies_of_a_prompt_add_no_information(self):
        chosen, rejected = random_rewards(60)
        once = rm_bench_accuracy(chosen, rejected)
        copies = [np.repeat(rewards, 4, axis=0) for rewards in (chosen, rejected)]
        clustered = rm_bench_accuracy(*copies, np.repeat(np.arange(60), 4))
        for level in LEVELS:
            assert getattr(clustered, level).se == pytest.approx(getattr(once, level).se)
            assert getattr(rm_bench_accuracy(*copies), level).se < 0.6 * getattr(once, level).se

    def test_coverage_of_the_mean_over_domains(self):
        rng = np.random.default_rng(0)
        domains = np.repeat(["chat", "math", "code", "safety-refuse"], [20, 40, 40, 30])
        lift = {"chat": 0.0, "math": 0.5, "code": 1.0, "safety-refuse": 2.5}
        shift = np.array([lift[name] for name in domains])[:, None]
        # chosen - rejected ~ N(shift, sd² = 2)
        from scipy.stats import norm

        truth = np.mean([norm.cdf(value / 2**0.5) for value in lift.values()])
        hits = 0
        for _ in range(100):
            chosen, rejected = rng.normal(size=(130, 3)) + shift, rng.normal(size=(130, 3))
            average = rm_bench_accuracy(chosen, rejected, domains=domains).average
            hits += average.ci_low <= truth <= average.ci_high
        # standard error of 95% over 100 samples: 2.2%
        assert hits >= 89


class TestDomains:
    def test_means_over_domains_and_the_safety_files_together(self):
        chosen, rejected = random_rewards(40)
        domains = np.repeat(["chat", "code", "safety-refuse", "safety-response"], [5, 15, 12, 8])
        ids = np.r_[np.arange(5), np.arange(15), np.arange(20)]  # the files use the same numbers
        accuracy = rm_bench_accuracy(chosen, rejected, ids, domains=domains)
        assert list(accuracy.domains) == ["chat", "code", "safety"]
        assert accuracy.domains["safety"].n_prompts == 20
        assert accuracy.missing_domains == ("math",)
        parts = [part.hard.value for part in accuracy.domains.values()]
        assert accuracy.hard.value == pytest.approx(np.mean(parts))
        pooled = rm_bench_accuracy(chosen, rejected)
        assert accuracy.all_prompts.hard.value == pytest.approx(pooled.hard.value)
        # prompts of the same number in two domains are not one cluster
        assert accuracy.all_prompts.hard.se == pytest.approx(pooled.hard.se)

    def test_an_unknown_domain(self):
        with pytest.raises(ValueError, match="domains, row 1: 'poetry' begins with none of chat, math, code, safety"):
            rm_bench_accuracy(np.ones((2, 3)), np.zeros((2, 3)), domains=["chat", "poetry"])


class TestRefusals:
    def test_incomplete_prompts_are_named(self):
        chosen, rejected = np.ones((3, 3)), np.zeros((3, 3))
        rejected[1, 2] = np.nan
        with pytest.raises(
            ValueError, match="1 of 3 prompts lack rewards; first: row 1, prompt id 'b', without rejected mark"
        ):
            rm_bench_accuracy(chosen, rejected, ["a", "b", "c"])

    def test_nothing_complete(self):
        with pytest.raises(ValueError, match="none of the 2 prompts"):
            rm_bench_accuracy(np.full((2, 3), np.nan), np.zeros((2, 3)), incomplete="drop")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"rewards_chosen": np.ones(3)}, r"rewards_chosen must have shape \(N, 3\)"),
            ({"rewards_rejected": np.zeros((3, 3))}, "has 2 rows, rewards_rejected has 3"),
            ({"rewards_rejected": np.full((2, 3), np.inf)}, "infinite values; first: row 0"),
            ({"prompt_ids": [1]}, "prompt_ids must have one value per row"),
            ({"incomplete": "ignore"}, "incomplete must be one of"),
            ({"ties": "win"}, "ties must be one of"),
            ({"rewards_chosen": np.ones((0, 3)), "rewards_rejected": np.ones((0, 3))}, "empty"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            rm_bench_accuracy(
                **({"rewards_chosen": np.ones((2, 3)), "rewards_rejected": np.zeros((2, 3))} | arguments)
            )

    @pytest.mark.parametrize(
        ("ids", "styles", "rewards", "message"),
        [
            ([1, 1], ["concise", "concise"], [1.0, 2.0], "row 1: prompt id 1 has style 'concise' twice"),
            ([1, 1], ["concise", "verbose"], [1.0, 2.0], "row 1: 'verbose' is not one of"),
            ([1, 1], ["concise", "detailed"], [1.0, np.nan], "not finite; first: row 1"),
            ([1, 1], ["concise", "detailed"], [1.0], r"must have shape \(2,\)"),
        ],
    )
    def test_bad_rows(self, ids, styles, rewards, message):
        with pytest.raises(ValueError, match=message):
            rm_bench_rewards(ids, styles, rewards, np.zeros(len(rewards)))


def rm_bench_row(number: int, **change) -> dict:
    sides = {side: [f"{side} {style} {number}" for style in STYLES] for side in ("chosen", "rejected")}
    return {"id": number, "prompt": f"Question {number}?", **sides} | change


class TestFiles:
    def write(self, folder: Path, **files) -> Path:
        for name, rows in files.items():
            (folder / f"{name}_filtered.json").write_text(json.dumps(rows))
        return folder

    def test_reads_a_folder_with_the_domain_of_the_file_name(self, tmp_path):
        path = self.write(tmp_path, **{"chat": [rm_bench_row(1)], "safety-refuse": [rm_bench_row(1), rm_bench_row(2)]})
        data = load_rm_bench(path)
        assert data["id"] == ["chat/1", "safety-refuse/1", "safety-refuse/2"]
        assert data["domain"] == ["chat", "safety-refuse", "safety-refuse"]
        assert data[0]["rejected"] == [f"rejected {style} 1" for style in STYLES]

    def test_the_total_file_goes_before_its_parts(self, tmp_path):
        self.write(tmp_path, chat=[rm_bench_row(1)])
        (tmp_path / "total_dataset.json").write_text(json.dumps([rm_bench_row(1, domain="math")]))
        assert load_rm_bench(tmp_path)["id"] == ["math/1"]

    def test_real_files(self, shared_dir):
        path = shared_dir / "data" / "rm_bench"
        if not path.is_dir():
            pytest.skip(f"no RM-Bench files at {path}")
        data = load_rm_bench(path)
        assert len(rm_bench_files(path)) == 4
        counts = {name: data["domain"].count(name) for name in set(data["domain"])}
        assert counts == {"chat": 129, "code": 228, "safety-refuse": 284, "safety-response": 157}
        assert len(set(data["id"])) == 798

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"id": 1, "prompt": "?"}, "row 0 lacks chosen, rejected"),
            (rm_bench_row(1, chosen=["a", "b"]), "'chosen' must be a list of 3 texts"),
            (rm_bench_row(1, rejected=["a", " ", "c"]), "'rejected' holds ' '"),
            (rm_bench_row(1, domain="poetry"), "domain 'poetry' begins with none of"),
            ("text", "row 0 is not an object"),
        ],
    )
    def test_bad_rows_are_named(self, tmp_path, row, message):
        with pytest.raises(ValueError, match=message):
            load_rm_bench(self.write(tmp_path, chat=[row]))

    def test_repeated_ids(self, tmp_path):
        with pytest.raises(ValueError, match="row 1: the id 'chat/1' is that of .*row 0"):
            load_rm_bench(self.write(tmp_path, chat=[rm_bench_row(1), rm_bench_row(1)]))

    def test_no_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no RM-Bench data"):
            load_rm_bench(tmp_path)


@pytest.mark.parametrize("function", [rm_bench_accuracy])
def test_the_docstring_example_runs(function):
    assert failed_examples(function) == 0

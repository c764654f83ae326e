"""The scripts of tasks/rewardbench on a tiny model: figures, files in both layouts, two processes, a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.train_config import ConfigError
from tests.processes import environment, launch_command
from tests.tiny import tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext.evaluation import collect_results


ROOT = Path(__file__).resolve().parents[2]
SUBSETS = ("alpacaeval-easy", "mt-bench-hard", "refusals-dangerous", "hep-python", "math-prm")


def write_lines(path: Path, rows: list[dict]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def core_rows(per_subset: int = 4) -> list[dict]:
    return [
        {
            "prompt": f"Question {i} of {subset}?",
            "chosen": "It is good." + " Indeed." * (i % 3),
            "rejected": "It is bad." + " Perhaps." * (i % 4),
            "chosen_model": "a",
            "rejected_model": "b",
            "subset": subset,
            "id": 100 * s + i,
        }
        for s, subset in enumerate(SUBSETS)
        for i in range(per_subset)
    ]


def v2_rows() -> list[dict]:
    def row(identifier: str, subset: str, right: int, wrong: int) -> dict:
        return {
            "id": identifier,
            "prompt": f"Question {identifier}?",
            "chosen": [f"Right {k} of {identifier}." for k in range(right)],
            "rejected": [f"Wrong {k} of {identifier}, and long." for k in range(wrong)],
            "num_correct": right,
            "num_incorrect": wrong,
            "total_completions": right + wrong,
            "models": ["m"] * (right + wrong),
            "subset": subset,
        }

    rows = [row(str(i), subset, 1, 3) for i, subset in enumerate(("Factuality", "Math", "Safety", "Focus") * 3)]
    rows += [row(str(20 + i), "Precise IF", 1, 3) for i in range(2)]
    for n in range(3):
        rows += [row(f"ref:{n}", "Ties", 1, 4), row(f"tied:{n}", "Ties", 3, 4)]
    return rows


def rm_bench_rows(domain: str) -> list[dict]:
    return [
        {
            "id": i,
            "prompt": f"What is {i}?",
            "chosen": [f"It is {i}." + " Yes." * k for k in range(3)],
            "rejected": [f"It is {i + 1}." + " No." * k for k in range(3)],
            "domain": domain,
        }
        for i in range(5)
    ]


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny-rm"
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(script: str, **config) -> dict:
    module = __import__(f"tasks.rewardbench.{script}", fromlist=["ex"])
    return module.ex.run(config_updates={"progress": False, **config}).result


def results_of(benchmark: str, model: str) -> dict:
    return json.loads(Path("results", benchmark, Path(model).name, "results.json").read_text())


class TestRunRM:
    def test_writes_figures_and_both_layouts(self, reward_model, tmp_path):
        data = write_lines(tmp_path / "core.jsonl", core_rows())
        figures = run("run_rm", model=reward_model, dataset=data, benchmark="rewardbench")
        results = results_of("rewardbench", reward_model)
        assert set(figures) >= {"Chat", "Chat Hard", "Safety", "Reasoning"}
        for name, value in figures.items():
            if name in results["figures"]["sections"]:
                figure = results["figures"]["sections"][name]
                assert figure["value"] == value and figure["ci_low"] <= value <= figure["ci_high"]
        assert {"dtype", "attention", "model_weights_sha256", "input_sha256"} <= set(results["scoring"]["settings"])
        assert results["truncated"] == 0 and results["data"]["rows"] == 20
        layout = list(Path("results", "eval-set").rglob("*.json"))
        assert len(layout) == 1
        accuracies = json.loads(layout[0].read_text())
        assert accuracies["hep-python"] == results["figures"]["subsets"]["hep-python"]["value"]

    def test_pairs_of_the_user(self, reward_model, tmp_path):
        rows = [{"prompt": f"Q{i}?", "chosen": "Yes.", "rejected": f"No {i}."} for i in range(6)]
        figures = run("run_rm", model=reward_model, dataset=write_lines(tmp_path / "pairs.jsonl", rows))
        assert 0 <= figures["overall"] <= 1

    def test_other_rows_leave_what_is_there(self, reward_model, tmp_path):
        data = write_lines(tmp_path / "pairs.jsonl", core_rows(1))
        run("run_rm", model=reward_model, dataset=data)
        folder = Path("results", "preferences-pairs", "tiny-rm")
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        write_lines(tmp_path / "pairs.jsonl", core_rows(2))
        with pytest.raises(ConfigError, match="rewards of other rows"):
            run("run_rm", model=reward_model, dataset=data)
        assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def test_files_of_the_layout_hold_the_text_that_was_scored(self, reward_model):
        run("run_rm", model=reward_model, dataset="demo", chat_template="tulu")
        folder = Path("results", "preferences-demo", "tiny-rm")
        summary, first = json.loads((folder / "tiny-rm.json").read_text()), (folder / "tiny-rm_outputs.jsonl").open()
        row = json.loads(next(first))
        assert row["text_chosen"].startswith("Question: ") and "<|" not in row["text_chosen"]
        assert summary["chat_template"] is None

    def test_of_a_model_in_a_folder_are_not_a_second_result(self, reward_model, tmp_path):
        (tmp_path / "outputs").mkdir()
        (tmp_path / "outputs" / "rm").symlink_to(reward_model)
        run("run_rm", model="outputs/rm", dataset="demo")
        assert [result.benchmark for result in collect_results(["results"])] == ["preferences-demo"]

    def test_a_path_of_the_home_directory_is_not_written(self, reward_model, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(Path(reward_model).parent))
        run("run_rm", model=reward_model, dataset="demo", debug=True)
        for path in Path("results").rglob("*.json*"):
            assert str(Path(reward_model).parent) not in path.read_text(), path

    def test_a_model_without_head_is_refused_unless_asked_for(self, tmp_path):
        model = tiny_checkpoint(tmp_path / "no-head")
        with pytest.raises(ConfigError, match="require_trained_head"):
            run("run_rm", model=model, dataset="demo", debug=True)
        once, again = (
            run("run_rm", model=model, dataset="demo", debug=True, require_trained_head=False, output_dir=name)
            for name in ("once", "again")
        )
        assert once == again

    def test_demo_is_scored_as_text(self, reward_model):
        figures = run("run_rm", model=reward_model, dataset="demo", debug=True)
        prompt = json.loads(Path("results", "preferences-demo-debug", "tiny-rm", "input.jsonl").open().readline())[
            "prompt"
        ]
        assert 0 <= figures["overall"] <= 1 and prompt.startswith("Question: ")

    def test_again_scores_nothing_again(self, reward_model, tmp_path):
        data = write_lines(tmp_path / "pairs.jsonl", core_rows(2))
        first = run("run_rm", model=reward_model, dataset=data)
        written = Path("results", "preferences-pairs", "tiny-rm", "rewards.jsonl").stat().st_mtime_ns
        assert run("run_rm", model=reward_model, dataset=data) == first
        other = write_lines(tmp_path / "others.jsonl", core_rows(3))
        run("run_rm", model=reward_model, dataset=other)  # has a folder of its own
        assert Path("results", "preferences-pairs", "tiny-rm", "rewards.jsonl").stat().st_mtime_ns == written


class TestOtherScripts:
    def test_v2(self, reward_model, tmp_path):
        data = write_lines(tmp_path / "v2.jsonl", v2_rows())
        figures = run("run_v2", model=reward_model, dataset=data, ties_variant="0.1.4")
        subsets = results_of("rewardbench2", reward_model)["figures"]["subsets"]
        assert figures["overall"] == pytest.approx(np.mean([subset["value"] for subset in subsets.values()]))

    def test_rm_bench(self, reward_model, tmp_path):
        data = tmp_path / "total_dataset.json"
        data.write_text(
            json.dumps([row for d in ("chat", "math", "code", "safety-refuse") for row in rm_bench_rows(d)])
        )
        figures = run("run_rm_bench", model=reward_model, dataset=str(data))
        assert {"overall"} <= set(figures)

    def test_dpo(self, tmp_path):
        policy = tiny_checkpoint(tmp_path / "policy")
        reference = tiny_checkpoint(tmp_path / "reference", seed=1)
        data = write_lines(tmp_path / "pairs.jsonl", core_rows(2))
        figures = run("run_dpo", model=policy, ref_model=reference, dataset=data)
        assert 0 <= figures["overall"] <= 1
        free = run("run_dpo", model=policy, ref_free_type="norm", dataset=data, output_dir="free")
        assert 0 <= free["overall"] <= 1

    def test_best_of_n(self, reward_model, tmp_path):
        rows = [
            {
                "id": f"p{i}",
                "prompt": f"What is {i}?",
                "responses": [f"It is {i + k}." + " Well." * k for k in range(5)],
                "gold": [float(k == 0) for k in range(5)],
            }
            for i in range(6)
        ]
        data = write_lines(tmp_path / "candidates.jsonl", rows)
        figures = run("run_bon", model=reward_model, dataset=data, quality_column="gold", best_of=4)
        folder = Path("results", "best_of_n-candidates", "tiny-rm")
        selected = [json.loads(line) for line in (folder / "selected.jsonl").open()]
        rankings = [json.loads(line) for line in (folder / "rankings.jsonl").open()]
        assert figures["responses"] == 24 and figures["best_of_1"]["value"] == pytest.approx(0.25)
        for chosen, ranking, row in zip(selected, rankings, rows, strict=True):
            assert chosen["index"] == int(np.argmax(ranking["rewards"]))
            assert chosen["response"] == row["responses"][chosen["index"]]
        assert figures["best_of_4"]["value"] == pytest.approx(np.mean([chosen["index"] == 0 for chosen in selected]))
        assert (folder / "best_of_k.png").stat().st_size > 5000

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"prompt": "Q", "responses": []}, "row 1 .*at least one text"),
            ({"prompt": "Q", "responses": ["a", " "]}, "row 1 .*response 1"),
            ({"prompt": "Q", "responses": ["a", "b"], "gold": [1.0]}, "row 1 .*2 finite numbers"),
            ({"prompt": "Q", "responses": ["a"], "gold": ["x"]}, "column 'gold'"),
            ({"prompt": " ", "responses": ["a"]}, "c.jsonl', row 1 .*column 'prompt' is empty"),
            ({"prompt": None, "responses": ["a"]}, "c.jsonl', row 1 .*column 'prompt' must be text"),
            ({"prompt": "Q", "responses": ["a"], "best_of": 0}, "best_of must be"),
        ],
    )
    def test_candidates_are_checked(self, tmp_path, row, message):
        from tasks.rewardbench.candidates import load_candidates

        best_of = row.get("best_of", 16)
        good = {"id": "g", "prompt": "Q", "responses": ["a", "b"], "gold": [0.0, 1.0]}
        data = write_lines(tmp_path / "c.jsonl", [good, {"id": "h", "gold": [0.0] * len(row["responses"]), **row}])
        with pytest.raises(ValueError, match=message):
            load_candidates(data, quality_column="gold", best_of=best_of)

    @pytest.mark.parametrize("prompt", [5, [{"role": "usr", "content": "Q"}]])
    def test_prompts_of_candidates_are_checked(self, tmp_path, prompt):
        from tasks.rewardbench.candidates import load_candidates

        data = write_lines(tmp_path / "c.jsonl", [{"prompt": prompt, "responses": ["a"]}])
        with pytest.raises(ValueError, match="c.jsonl', row 0 .*column 'prompt'"):
            load_candidates(data)


def script(*arguments: str) -> list[str]:
    return [str(ROOT / "tasks" / "rewardbench" / "run_rm.py"), *arguments]


@pytest.mark.slow
class TestProcesses:
    def test_two_write_what_one_writes(self, reward_model, tmp_path):
        data = write_lines(tmp_path / "core.jsonl", core_rows(12))
        found = {}
        for config in ("cpu.yaml", "cpu_2proc.yaml"):
            arguments = script("with", f"model={reward_model}", f"dataset={data}", f"output_dir={config}")
            result = subprocess.run(
                launch_command(config, *arguments),
                env=environment(ACCELERATE_USE_CPU="true"),
                capture_output=True,
                text=True,
            )
            assert result.returncode == 0, result.stderr[-3000:]
            folder = tmp_path / config / "preferences-core" / "tiny-rm"
            found[config] = [(folder / name).read_bytes() for name in ("rewards.jsonl", "per_row.csv")]
        assert found["cpu.yaml"] == found["cpu_2proc.yaml"]

    def test_a_killed_one_goes_on(self, reward_model, tmp_path):
        data = write_lines(tmp_path / "core.jsonl", core_rows(1500))
        options = ["--model", reward_model, "--dataset", data, "--max_tokens_per_batch", "512"]
        command = [sys.executable, *script(*options, "--output_dir", "killed")]
        process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        rewards = tmp_path / "killed" / "preferences-core" / "tiny-rm" / "rewards.jsonl"
        deadline = time.monotonic() + 180
        while not (rewards.exists() and rewards.stat().st_size > 1000) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = rewards.read_bytes()
        assert 0 < len(before.splitlines()) < 15000
        for output in ("killed", "whole"):
            again = [sys.executable, *script(*options, "--output_dir", output)]
            result = subprocess.run(again, env=environment(), capture_output=True, text=True)
            assert result.returncode == 0, result.stderr[-3000:]
        whole = tmp_path / "whole" / "preferences-core" / "tiny-rm" / "rewards.jsonl"
        assert rewards.read_bytes() == whole.read_bytes()
        assert rewards.read_bytes().startswith(before[: before.rfind(b"\n") + 1])

"""The grid of the RAPL experiment: runs, skips, resumes, and the table it prints."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.rapl.experiment import FinishedRuns, check, ex, make_cells
from tasks.rapl.experiment_rows import PUBLISHED, parse_row
from tasks.rapl.experiment_table import Cell, difference_to, format_markdown, long_table, plot, summarise
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError, check_config
from tests.tiny import tiny_checkpoint


ROOT = Path(__file__).resolve().parents[2]


def launch(folder: Path, *updates: str, command: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "tasks" / "rapl" / "experiment.py"), *command, "with", *updates],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


class TestRows:
    @pytest.mark.parametrize(
        "name",
        [
            *(name for name in PUBLISHED if "llm" not in name),
            "filter/true/0.65",
            "smoothing/true",
            "backward/confidence",
        ],
    )
    def test_every_row_is_a_valid_configuration_of_the_main_job(self, name):
        defaults = dict(train_experiment.configurations[0]())
        check_config(defaults | parse_row(name).updates, defaults)

    def test_a_column_may_be_named(self):
        assert parse_row("beta/my_column").updates["rapl_col_id"] == "my_column"

    @pytest.mark.parametrize("name", ["gamma/true", "p", "filter/true", "p/true/median", ""])
    def test_other_names_are_refused(self, name):
        with pytest.raises(ValueError, match="METHOD/ARM"):
            parse_row(name)

    @pytest.mark.parametrize("config", ["lie", "table1"])
    def test_named_configurations_name_rows(self, config):
        for name in ex.named_configs[config]()["rows"]:
            parse_row(name)


def write_cell(root: Path, row: str, fold: int, seed: int, correctness: float, noise: float = 0.1) -> Cell:
    """Results of a run whose rewards pay 1 for length and `correctness` for correctness, with noise of its own."""
    cell = Cell(parse_row(row), fold, seed, root / row.replace("/", "-") / f"fold{fold}-seed{seed}")
    cell.folder.mkdir(parents=True)
    rng = np.random.default_rng(zlib.crc32(f"{row} {fold} {seed}".encode()))
    rows = 40
    shift = rng.normal(0, noise)
    reward = {
        f"{right}_{length}": (right == "correct") * (correctness + shift)
        + (length == "detailed") * 1.0
        + rng.normal(0, noise, rows)
        for right in ("correct", "incorrect")
        for length in ("concise", "detailed")
    }
    pd.DataFrame({"question_id": np.arange(rows) // 4, **reward}).to_csv(cell.folder / "grid_rewards.csv", index=False)
    pairs = {"question_id": range(rows), "reward_chosen": 1.0, "reward_rejected": rng.normal(0, 1, rows)}
    pd.DataFrame(pairs).to_csv(cell.folder / "test_rewards.csv", index=False)
    provenance = {"config": {"correctness_label_col_name": "correct_chosen"}}
    (cell.folder / "results.json").write_text(json.dumps({"provenance": provenance}))
    return cell


class TestTable:
    @pytest.fixture
    def cells(self, tmp_path):
        return {
            row: [write_cell(tmp_path, row, fold, 42, correctness) for fold in range(4)]
            for row, correctness in (("standard", 0.2), ("p/true", 0.8))
        }

    def test_planted_weights_lie_in_the_intervals(self, cells):
        figures, _ = summarise(cells["p/true"])
        for figure, planted in (("length_weight", 1.0), ("correctness_weight", 0.8), ("ratio", 0.8)):
            assert figures[figure].ci_low < planted < figures[figure].ci_high, figure
        assert "two-way, 10 x 4 clusters" in figures["length_weight"].method
        assert figures["correct_over_incorrect"].value > 0.5

    def test_the_difference_is_paired(self, cells):
        gains = {row: summarise(group)[1] for row, group in cells.items()}
        difference = difference_to(gains["p/true"], gains["standard"])
        assert difference.ci_low > 0 and difference.n == 160
        assert difference_to(gains["p/true"], gains["standard"].assign(cell="fold 9, seed 1")) is None

    def test_published_figures_stand_beside(self, cells, tmp_path):
        summaries = {row: summarise(group) for row, group in cells.items()}
        figures = {row: summary[0] for row, summary in summaries.items()}
        differences = {"p/true": difference_to(summaries["p/true"][1], summaries["standard"][1])}
        markdown = format_markdown(figures, differences, cells)
        assert "| 3.69 ± 1.14 |" in markdown and "| 0.95 ± 0.00 |" in markdown and "| p, true | 4 |" in markdown
        table = long_table(figures, differences, cells).set_index(["row", "figure"])
        assert table.loc[("p/true", "ratio"), "published"] == 0.54
        assert ("p/true", "correctness_weight_per_sd_minus_standard") in table.index
        plot(figures, cells, tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=2048)


class TestGrid:
    GRID = ('rows=["standard","p/reliability/mean"]', "folds=[0]", "seeds=[1,2]")
    SMALL = (
        "train.trainer.max_steps=2",
        "train.train_dataset_size=24",
        "train.use_peft=False",
        "train.lora_last_layers=None",
    )

    @pytest.fixture(scope="class")
    def run(self, tiny, tmp_path_factory):
        folder = tmp_path_factory.mktemp("grid")
        updates = (
            *self.GRID,
            *self.SMALL,
            f"train.model_name={tiny}",
            "train.frozen_cache_dir=states",
            "train.train_last_layers=1",
        )
        result = launch(folder, *updates)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        return folder, updates, result

    def test_it_prints_and_writes_the_table(self, run):
        folder, _, result = run
        assert "| standard | 2 |" in result.stdout and "constant mean of reliability" in result.stdout
        output = folder / "outputs" / "rapl"
        table = json.loads((output / "table.json").read_text())
        assert len(table["provenance"]["runs"]) == 4
        assert all(run["data_sha256"] for run in table["provenance"]["runs"].values())
        assert {"table.md", "table.csv", "table.png"} <= {path.name for path in output.iterdir()}

    def test_weights_are_not_kept_but_results_are(self, run):
        folder, _, _ = run
        runs = list((folder / "outputs" / "rapl").glob("*/fold*"))
        assert len(runs) == 4
        assert not any(list(path.rglob("*.safetensors")) for path in runs)
        assert all((path / "results.json").is_file() and (path / "grid_rewards.csv").is_file() for path in runs)

    def test_a_second_call_trains_nothing_and_prints_the_same(self, run):
        folder, updates, first = run
        before = {path: path.stat().st_mtime_ns for path in folder.glob("outputs/rapl/*/*/results.json")}
        again = launch(folder, *updates)
        assert "4 runs, 4 of them finished before" in again.stdout
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert again.stdout[again.stdout.index("| method") :] == first.stdout[first.stdout.index("| method") :]

    def test_a_run_that_is_missing_is_made(self, run):
        folder, updates, _ = run
        (folder / "outputs" / "rapl" / "standard" / "fold0-seed2" / "results.json").unlink()
        assert "4 runs, 3 of them finished before" in launch(folder, *updates).stdout

    def test_a_finished_cell_is_recognised_by_its_whole_configuration_and_its_data(self, run, monkeypatch):
        folder, _, _ = run
        config = json.loads((folder / "outputs" / "rapl" / "table.json").read_text())["provenance"]["config"]
        monkeypatch.chdir(folder)
        cell = make_cells(config)[0]
        assert cell in FinishedRuns(config)
        back_to_the_default = {key: value for key, value in config["train"].items() if key != "train_dataset_size"}
        for train, key in (
            (config["train"] | {"weight_decay": 0.3}, "weight_decay"),
            (back_to_the_default, "train_dataset"),
        ):
            with pytest.raises(ConfigError, match=key):
                assert cell in FinishedRuns(config | {"train": train})
        path = cell.folder / "training_run.json"
        state = json.loads(path.read_text())
        path.write_text(json.dumps(state | {"data_sha256": "0"}))
        with pytest.raises(ConfigError, match="other data"):
            assert cell in FinishedRuns(config)
        path.write_text(json.dumps(state))


DEFAULTS = dict(ex.configurations[0]())


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"rows": ["nonsense/x/y"]}, "METHOD/ARM"),
        ({"rows": ["p/nan"]}, "METHOD/ARM"),
        ({"rows": "standard"}, "rows"),
        ({"train": {"seed": 3}}, "set by the grid"),
        ({"train": {"learning_rat": 1}}, "learning_rat"),
        ({"train": 5}, "train"),
        (dict(ex.named_configs["lie"]()), "set lie_data_dir"),
        ({"seeds": [1, 1]}, "different int values"),
        ({"folds": 0}, "folds"),
        ({"flods": [1]}, "flods"),
    ],
)
def test_mistakes_are_refused(updates, message):
    check(DEFAULTS, None, None)
    with pytest.raises(ConfigError, match=message):
        check(DEFAULTS | updates, None, None)


def test_a_mistake_is_reported_before_anything_is_loaded(tmp_path):
    result = launch(tmp_path, "folds=0")
    assert result.returncode != 0 and "folds" in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "runs").exists()

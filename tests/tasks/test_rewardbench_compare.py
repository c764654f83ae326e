"""tasks/rewardbench/compare.py, from results on disk to tables and plots."""

import json
import shutil

import pandas as pd
import pytest

from tasks.rewardbench.compare import ex
from tasks.rewardbench.compare_config import DEFAULTS, check_config
from tasks.rewardbench.compare_plots import stored_level
from tasks.train_config import ConfigError
from tests.synthetic_results import NoisyScorer, evaluate, pairs
from trl_ext.evaluation.leaderboards.leaderboard import collect_results, leaderboard


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name, skill in (("org/good", 2.0), ("org/fair_50%", 1.0), ("org/guess", 0.0)):
        evaluate(folder, NoisyScorer(name, skill), pairs(2))
    return folder


def run(results, **config):
    return ex.run(config_updates={"results": str(results), "output_dir": "out"} | config).result


class TestRun:
    def test_tables_plots_and_record(self, results, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        figures = run(results)
        assert [entry["rank"] for entry in figures.values()] == [1, 2, 3]
        out = tmp_path / "out"
        written = {path.name for path in out.iterdir()}
        assert written >= {"leaderboard.md", "leaderboard.tex", "leaderboard.csv", "comparisons.csv", "comparisons.md"}
        assert written >= {"leaderboard_plot.png", "subset_distributions.png", "reward_distributions.png"}
        assert written >= {"margin_correlations.png", "accuracy_by_length.png"} and "style_matrices.png" not in written
        table = pd.read_csv(out / "leaderboard.csv")
        assert table["value"].tolist() == pytest.approx([entry["value"] for entry in figures.values()])
        assert "| 1 | org/good |" in (out / "leaderboard.md").read_text()
        assert r"org/fair\_50\%" in (out / "leaderboard.tex").read_text()
        assert len(pd.read_csv(out / "comparisons.csv")) == 3
        record = json.loads((out / "compare.json").read_text())
        assert record["plots"]["styles"].startswith("not drawn")
        assert set(record["provenance"]["sources"]) == set(table["model"])
        printed = capsys.readouterr().out
        assert (
            "org/guess" in printed and "p-values corrected by holm" in printed and "'styles' was not drawn" in printed
        )

    def test_files_of_an_earlier_run_go(self, results, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "leaderboard.tex").write_text("old")
        run(results, plots="none", formats="csv", baseline="org/guess")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            *("compare.json", "comparisons.csv", "comparisons.md", "leaderboard.csv")
        ]
        assert set(pd.read_csv(tmp_path / "out" / "comparisons.csv")["model_b"]) == {"org/guess"}

    def test_a_single_model_has_nothing_to_be_compared_with(self, results, tmp_path):
        run(results / "rewardbench" / "org__good", plots="leaderboard")
        assert "nothing was compared" in (tmp_path / "out" / "comparisons.md").read_text()

    def test_a_plot_that_fails_keeps_nothing_from_being_written(self, results, tmp_path, monkeypatch, capsys):
        pytest.importorskip("matplotlib")

        def fails(numbers, path, **options):
            path.with_suffix(".csv").write_text("half")
            raise ValueError("no such plot today")

        monkeypatch.setattr("tasks.rewardbench.compare_plots.reporting.plot_subset_distributions", fails)
        run(results, plots="subsets,leaderboard", level=0.8)
        record = json.loads((tmp_path / "out" / "compare.json").read_text())
        assert record["plots"] == {
            "subsets": "not drawn: no such plot today",
            "leaderboard": "leaderboard_plot.png",
        }
        assert (
            not list((tmp_path / "out").glob("subset_distributions*"))
            and "no such plot today" in capsys.readouterr().out
        )

    def test_intervals_are_called_by_the_level_of_the_evaluation(self, results):
        table = leaderboard(collect_results([results]), level=0.8)
        assert stored_level(table) == "95%"

    def test_machine_paths_are_not_shown_and_name_the_baseline(self, results, tmp_path):
        shutil.copytree(results / "rewardbench", tmp_path / "copy")
        path = tmp_path / "copy" / "org__guess" / "results.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "/data/models/guess"}))
        run(tmp_path / "copy", plots="none", baseline="/data/models/guess")
        shown = [(tmp_path / "out" / f"leaderboard.{suffix}").read_text() for suffix in ("md", "tex", "csv")]
        assert all("guess" in text and "/data/models" not in text for text in shown)
        assert set(pd.read_csv(tmp_path / "out" / "comparisons.csv")["model_b"]) == {"guess"}

    def test_mistakes_are_named(self, results):
        with pytest.raises(ConfigError, match="no results on 'rm_bench'"):
            run(results, benchmark="rm_bench")
        with pytest.raises(ConfigError, match="baseline 'org/none'"):
            run(results, baseline="org/none")


class TestConfig:
    def test_lists_come_in_several_forms(self, tmp_path):
        for results in ("a,b", "[a, b]", ["a", "b"]):
            for name in ("a", "b"):
                (tmp_path / name).mkdir(exist_ok=True)
            assert check_config(DEFAULTS | {"results": results})["results"] == ["a", "b"]
        assert check_config(DEFAULTS | {"results": "a", "plots": "none"})["plots"] == []

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({}, "nothing to compare"),
            ({"results": "nowhere"}, "there is no 'nowhere'"),
            ({"results": ".", "plots": "pies"}, "plots"),
            ({"results": ".", "level": 1.0}, "strictly between 0 and 1"),
            ({"results": ".", "correction": "bonferroni"}, "must be one of holm, fdr_bh"),
            ({"results": ".", "formats": "pdf"}, "formats"),
            ({"results": ".", "resluts": "."}, "Did you mean 'results'"),
            ({"results": ".", "auth_token": "hf_" + "x" * 30}, "HF_TOKEN"),
        ],
    )
    def test_mistakes(self, config, message):
        with pytest.raises(ConfigError, match=message):
            check_config(DEFAULTS | config)

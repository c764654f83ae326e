import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.annotators import section3_tables as tables
from tasks.annotators.prepare_oracle_data import ex as prepare
from tasks.annotators.probability_sets import SYNTHETIC_SCALES, synthetic_probabilities
from tasks.annotators.section3 import ex
from tasks.train_config import ConfigError


N = np.arange(10, 491, 10)
FLIPS = ([0.05, 0.1, 0.2, 0.4], [0.0, 0.02, 0.04])


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def sets():
    return {name: synthetic_probabilities(name) for name in SYNTHETIC_SCALES}


@pytest.fixture(scope="module")
def bounds(sets):
    return tables.lower_bounds(sets, *FLIPS, N)


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())


def run(**config):
    return ex.run(config_updates={"skip_plots": True} | config).result


class TestGolden:
    def test_lower_bounds(self, golden, sets):
        checked = 0
        for case in golden["section3_KL"]:
            name = case["dataset"].removeprefix("syn_")
            if (
                case["expert_mode"] != 1 or name == "sky" and case["eta1"] == 1
            ):  # where the original cuts p to 1 - 1e-4
                continue
            flips = [1 - case["eta0"]], [1 - case["eta1"]]
            n = np.array([int(key) for key in case["lower_bound"]])
            table = tables.lower_bounds({name: sets[name]}, *flips, n)
            np.testing.assert_allclose(table["lower_bound"], list(case["lower_bound"].values()), rtol=1e-6, atol=1e-12)
            checked += n.size
        assert checked >= 45

    def test_errors_of_the_self_consistency_monitor(self, golden, sets):
        for case in golden["section3_LRT"]:
            table = tables.monitor_errors({}, [case["eta0"]], [case["eta1"]], [case["delta"]], np.array([case["n"]]))
            assert table["error_sum"].item() == pytest.approx(case["exact_error_sum"], rel=1e-9, abs=1e-12)

    def test_incentives(self, golden, sets):
        for case in golden["incentive"]:
            name = case["dataset"].removeprefix("syn_")
            table = tables.incentives({name: sets[name]}, [case["eta"]], np.array([case["n"]]))
            (value,) = table.loc[table["monitor"] == case["monitor"], "incentive"]
            assert value == pytest.approx(case["analytic_fixed_threshold"], rel=1e-9)

    def test_information_bounds_of_the_original(self, golden, sets):
        experts = {"1": "certain", "0.8": "80%", "random": "random"}
        for case in golden["section3_MI"]:
            name = case["dataset"].removeprefix("syn_")
            table = tables.information_bounds({name: sets[name]}, [0.05, 0.1, 0.2], np.array([1, 5, 10]), legacy=True)
            table = table[table["expert"] == experts[str(case["expert_mode"])]]
            assert table["information"].iloc[0] == pytest.approx(case["orig_I_max_bits"], rel=1e-6)
            for (n, separation), group in table.groupby(["n", "separation"]):
                expected = case["orig_fano_bound"][f"n={n},eps={separation:g}"]
                assert group["bound"].item() == pytest.approx(expected, rel=1e-6)


class TestTargets:
    """What the figures of the paper show, on the synthetic sets."""

    def test_samples_until_the_bound_reaches_a_fifth(self, sets):
        needed = tables.samples_needed(sets, [0.2], [0.0], 0.2).set_index("dataset")["n"]
        assert needed.to_dict() == {"pku": 1564, "helpsteer": 226, "ultra": 79, "sky": 15}

    def test_bounds_fall_in_n_and_rise_with_eta0(self, bounds):
        for _, group in bounds.groupby(["dataset", "eta0", "eta1"]):
            assert (np.diff(group["lower_bound"]) <= 1e-12).all()
        by_eta0 = bounds.pivot_table("lower_bound", ["dataset", "eta1", "n"], "eta0").dropna()
        assert (np.diff(by_eta0[sorted(by_eta0)], axis=1) >= -1e-12).all()

    def test_a_hundred_samples_say_little_but_on_skywork(self, bounds):
        at = bounds[(bounds["eta0"] == 0.8) & (bounds["eta1"] == 1.0)].set_index(["dataset", "n"])["lower_bound"]
        assert at["pku", 490] > 0.5
        assert at["helpsteer", 100] > 0.4 > 0.1 > at["helpsteer", 490]
        assert at["ultra", 50] > 0.3 > 0.1 > at["ultra", 110]
        assert at["sky", 20] < 0.15

    def test_self_consistency_beats_every_expert_test_on_pku(self, sets):
        table = tables.monitor_errors(sets, [0.9, 0.8], [1.0, 0.95], [0.0, 0.1, 0.2, 0.3], N)
        bound = table[table["dataset"] == "pku"].set_index(["eta0", "eta1", "n"])["error_sum"]
        own = table[table["monitor"] == "self"].set_index(["eta0", "eta1", "n"])["error_sum"]
        assert (own < bound.reindex(own.index)).all()
        assert len(own) == 4 * 4 * N.size

    def test_incentives_grow_with_n_and_are_larger_for_self_consistency(self, sets):
        table = tables.incentives(sets, [0.1, 0.5, 0.9], np.arange(10, 491, 40))
        wide = table.assign(name=table["dataset"].fillna("self")).pivot_table("incentive", ["eta", "n"], "name")
        assert (wide.drop(columns="self").lt(wide["self"], axis=0)).all().all()
        at = wide["self"].unstack("n")
        assert (at[490] > 5 * at[10]).all()

    def test_histograms_are_densities(self, sets):
        table = tables.folded_histogram(sets)
        assert len(table) == 4 * 15
        area = (table["density"] * (table["bin_high"] - table["bin_low"])).groupby(table["dataset"]).sum()
        assert area.to_list() == pytest.approx([1.0] * 4)

    def test_information_bounds_fall_to_zero_and_no_expert_tells_more_than_one_without_doubt(self, sets):
        table = tables.information_bounds(sets, [0.1], N)
        assert table["bound"].between(0, 1).all()
        wide = table.pivot_table("bound", ["dataset", "n"], "expert")
        assert (wide["certain"] <= wide[["80%", "random", "noisy"]].min(axis=1) + 1e-9).all()


class TestRun:
    def test_every_figure_with_its_numbers(self):
        run(skip_plots=False, datasets=["pku", "sky"], n_step=120, flips0=[0.2], flips1=[0.0], incentive_etas=[0.5])
        folder = Path("outputs/section3")
        names = {"histograms", "lower_bounds", "monitor_errors", "incentives", "information_bounds"}
        for name in names:
            content = (folder / f"{name}.png").read_bytes()
            width, height = struct.unpack(">II", content[16:24])
            assert width > 500 and height > 300 and len(content) > 10_000
        results = json.loads((folder / "results.json").read_text())
        assert set(results["files"]) == {f"{name}.csv" for name in names} | {"samples_needed.csv"}
        assert all((folder / file).exists() for file in results["files"])
        assert results["c_bar"]["sky"]["value"] == pytest.approx(0.71109, abs=1e-5)
        assert results["provenance"]["versions"]["trl_ext"]

    def test_without_plots(self):
        run(datasets=["pku"])
        folder = Path("outputs/section3")
        assert not list(folder.glob("*.png"))
        table = pd.read_csv(folder / "lower_bounds.csv")
        assert table["n"].unique().tolist() == N.tolist()
        assert sorted(table["eta0"].unique()) == [0.6, 0.8, 0.9, 0.95]

    def test_prepared_pairs_get_calibration_plots_and_intervals(self):
        prepare.run(config_updates={"skip_plots": True, "resamples": 20, "progress": False})
        run(skip_plots=False, datasets=["outputs/oracle-demo"], n_step=240, separations=[0.1], resamples=20)
        folder = Path("outputs/section3")
        results = json.loads((folder / "results.json").read_text())
        written = json.loads(Path("outputs/oracle-demo/report.json").read_text())["figures"]
        raw = results["calibration"]["oracle-demo"]["preference_score"]
        assert raw["brier"]["value"] == pytest.approx(written["calibration"]["raw"]["brier"]["value"])
        assert results["c_bar"]["oracle-demo"] == written["c_bar"]["calibrated"]
        assert (folder / "calibration_oracle-demo_preference_probability.png").exists()

    def test_pairs_that_were_not_calibrated_have_no_calibration_plot(self):
        prepare.run(config_updates={"skip_plots": True, "calibration": "none", "progress": False})
        run(datasets=["outputs/oracle-demo"], n_step=240)
        assert json.loads(Path("outputs/section3/results.json").read_text())["calibration"] == {}

    def test_lists_may_be_text(self):
        run(datasets="pku,sky", deltas=0.1, flips0="0.1,0.2", n_step=240)
        config = json.loads(Path("outputs/section3/results.json").read_text())["provenance"]["config"]
        assert config["datasets"] == ["pku", "sky"] and config["deltas"] == [0.1] and config["flips0"] == [0.1, 0.2]
        assert set(pd.read_csv("outputs/section3/lower_bounds.csv")["dataset"]) == {"pku", "sky"}

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"deltas": "0.1,b"}, "deltas must be a list of float values, got 'b'"),
            ({"datasets": ["pkuu"]}, "'pkuu' is neither a synthetic set"),
            ({"datasets": []}, "it is empty"),
            ({"datasets": ["pku", "pku"]}, "several are called 'pku'"),
            ({"deltas": [0.1, 1.2]}, r"'deltas' must be in \[0, 1\], got 1.2"),
            ({"deltas": [0.7], "delta_convention": "model"}, r"'deltas' must be in \[0, 0.5\]"),
            ({"eta0": [0.97], "eta1": [0.95]}, "eta0 must lie below eta1"),
            ({"n_max": 5}, "'n_max' must be at least 10"),
            ({"flips0": [0.01], "flips1": [0.04]}, "flips0 must reach above flips1"),
            ({"deltas": ["a"]}, "'deltas' must be a list of int or float; got 'a'"),
            ({"skip_plot": True}, "Did you mean 'skip_plots'"),
        ],
    )
    def test_mistakes_are_reported_before_a_run_is_recorded(self, config, message, tmp_path):
        with pytest.raises(ConfigError, match=message):
            run(**config)
        assert not (tmp_path / "runs").exists()

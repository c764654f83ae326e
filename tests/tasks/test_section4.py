"""The contract scripts: their options, their files, and what the files say."""

import json

import numpy as np
import pandas as pd
import pytest

from tasks.annotators import contract_gaps, payments, section4_solve
from tasks.annotators.section4_config import parse_list
from tasks.annotators.section4_solve import Problem, solve, solve_all
from tasks.annotators.section4_sweep import sample_sizes
from tasks.train_config import ConfigError
from trl_ext.annotators import self_consistency_c
from trl_ext.annotators.contracts import PROFILES, check_contract, first_best


SWEEP_COLUMNS = [
    *("dataset", "delta", "monitor", "contract", "n", "regime", "principal_utility", "agent_utility", "effort"),
    *("c0", "c1", "c2", "exp_para", "U_0", "mu_variant"),
]
WIDE_COLUMNS = [
    *("dataset", "utility_profile", "delta", "monitor_type", "contract_type", "n"),
    *("fb_principal_util", "sb_principal_util", "sb_tilde_principal_util", "gap_sb", "gap_sb_tilde"),
    *("fb_effort", "sb_effort", "sb_tilde_effort", "fb_agent_util", "sb_agent_util", "sb_tilde_agent_util"),
]
SMALL = {"datasets": "pku", "n_list": "11,51", "profiles": "paper_high", "processes": 1, "output_dir": "out"}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(experiment=contract_gaps.ex, named=(), **config):
    return experiment.run(config_updates=SMALL | config, named_configs=named).result


def test_files_and_columns(tmp_path):
    result = run(delta=[0, 0.02])
    rows = pd.read_csv("out/delta_sweep_summary.csv")
    assert list(rows.columns) == SWEEP_COLUMNS
    assert len(rows) == result["n_rows"] == 2 * 2 * 2 * 2 * 3  # delta, monitors, contracts, n, regimes
    assert list(rows["regime"][:3]) == ["FB", "SB_tilde", "SB"]
    assert set(rows["exp_para"]) == {1.0} and set(rows["mu_variant"]) == {"high"} and set(rows["U_0"]) == {0.0}
    wide = pd.read_csv("out/figure3_delta_utility_summary.csv")
    assert list(wide.columns) == WIDE_COLUMNS and len(wide) == 16
    # The expert does not depend on delta: 2 * 2 problems of self-consistency and 2 of the expert, of each kind
    assert result["n_problems"] == 2 * (2 * 2 + 2)
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    names = ["gaps_paper_high_delta0", "gaps_paper_high_delta0.02", "gap_by_delta", "profiles"]
    assert figures == {f"{name}.{suffix}" for name in names for suffix in ("png", "csv")}
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["provenance"]["config"]["datasets"] == ["pku"] and written["provenance"]["rows_sha256"]
    assert written["first_best"]["paper_high"]["value"] == pytest.approx(0.3026366458, rel=1e-9)
    assert not (tmp_path / "out" / "unfinished.jsonl").exists()


def test_what_the_sweep_says_is_so():
    run(skip_plots=True)
    rows = pd.read_csv("out/delta_sweep_summary.csv")
    problem = PROFILES["paper_high"]
    best = first_best(problem)
    for row in rows[(rows["monitor"] == "self") & (rows["regime"] == "SB")].itertuples():
        terms = {"base": row.c2}
        if row.contract == "linear":
            terms |= {"slope": row.c1}
        else:
            terms |= {"bonus": row.c1, "threshold": round(row.c0 * row.n)}
        check = check_contract(problem, self_consistency_c(0.02), row.n, **terms)
        assert check.accepted
        assert check.value == pytest.approx(row.principal_utility, abs=1e-7)
    wide = pd.read_csv("out/figure3_delta_utility_summary.csv")
    np.testing.assert_allclose(wide["fb_principal_util"], best.value)
    np.testing.assert_allclose(wide["gap_sb"], 1 - wide["sb_principal_util"] / best.value, atol=1e-12)
    assert (wide["sb_principal_util"] >= wide["sb_tilde_principal_util"] - 1e-9).all()
    gaps = wide.pivot_table(index=["contract_type", "n"], columns="monitor_type", values="gap_sb")
    assert (gaps["self"] < gaps["expert"]).all()


def test_options_of_the_original_readme(tmp_path):
    command = "with delta=[0,0.02] datasets=[pku,sky] monitors=self,expert contracts=linear,binary skip_plots=True"
    options = "n_list=[11] profiles=paper_high processes=1 output_dir=out"
    contract_gaps.ex.run_commandline(["contract_gaps.py", *command.split(), *options.split()])
    rows = pd.read_csv("out/delta_sweep_summary.csv")
    for column, values in (("delta", [0, 0.02]), ("dataset", ["pku", "sky"]), ("contract", ["linear", "binary"])):
        assert list(rows[column].unique()) == values

    assert not (tmp_path / "out" / "figures").exists()


def test_grid_of_the_original(shared_dir):
    run(solver="paper_grid", contracts="linear", monitors="self", n_list=11, skip_plots=True)
    rows = pd.read_csv("out/delta_sweep_summary.csv").set_index("regime")
    golden = json.loads((shared_dir / "golden" / "annotator.json").read_text())["section4_fullgrid"]
    wanted = {"dataset": "syn_pku", "monitor": "self", "contract": "linear", "n": 11, "delta": 0.02, "exp_para": 1}
    cases = [case for case in golden if case["mu"] == "high" and all(case[k] == v for k, v in wanted.items())]
    assert cases
    for case in cases:
        for name in ("principal_utility", "agent_utility", "effort", "c0", "c1", "c2"):
            assert rows.loc[case["regime"], name] == pytest.approx(case[name], rel=1e-9)


def test_profiles_of_the_updated_version():
    result = run(
        named=["utility_profiles"], delta=0.02, profiles=["risk_averse_poly", "high_cost_exp"], skip_plots=True
    )
    assert result["first_best"]["risk_averse_poly"]["effort"] == 1.0
    rows = pd.read_csv("out/delta_sweep_summary.csv")
    assert set(rows["mu_variant"]) == {"risk_averse_poly", "high_cost_exp"} and rows["exp_para"].isna().all()


def test_sample_sizes_are_those_of_the_original():
    config = {"n_list": None, "uniform_n_grid": False}
    assert sample_sizes("pku", config) == list(range(1, 202, 10))
    assert sample_sizes("sky", config) == list(range(1, 102, 10))
    assert sample_sizes("sky", config | {"uniform_n_grid": True}) == list(range(1, 202, 10))


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch):
    problems = [Problem("paper_high", "linear", 0.98, n) for n in (11, 21, 31)]
    calls = []

    def stops(problem, solver, reservation):
        calls.append(problem)
        if problem.n == 31:
            raise KeyboardInterrupt
        return original(problem, solver, reservation)

    original = section4_solve.solve
    expected = {problem: original(problem, "exact", 0.0) for problem in problems}
    monkeypatch.setattr(section4_solve, "solve", stops)
    store = tmp_path / "unfinished.jsonl"
    with pytest.raises(KeyboardInterrupt):
        solve_all(problems, "exact", 0.0, 1, store)
    with store.open("a") as file:
        file.write('{"solver": "ex')  # a line that was cut off
    monkeypatch.setattr(section4_solve, "solve", lambda *args: calls.append(args[0]) or original(*args))
    assert solve_all(problems, "exact", 0.0, 1, store) == expected
    assert [problem.n for problem in calls] == [11, 21, 31, 31]
    assert not store.exists()


def test_no_contract_is_an_empty_cell_not_a_number():
    # One look of the expert at near coin flips can't pay for the effort of the first best
    run(monitors="expert", n_list=1, skip_plots=True)
    rows = pd.read_csv("out/delta_sweep_summary.csv").set_index(["contract", "regime"])
    assert np.isnan(rows.loc[("linear", "SB_tilde"), "principal_utility"])
    assert rows.loc[("linear", "SB"), "principal_utility"] > 0


def test_payments_add_up(tmp_path):
    run(payments.ex, monitors="self", original_plot=True)
    table = pd.read_csv("out/payments.csv").set_index(["contract", "n"])
    assert len(table) == 4
    for n in (11, 51):
        linear = table.loc[("linear", n)]
        agreement = (1 + 0.98 * linear["effort"]) / 2
        mean = linear["pay_worst"] + agreement * (linear["pay_best"] - linear["pay_worst"])
        assert linear["expected_pay"] == pytest.approx(mean, rel=1e-9)
    assert (table["pay_worst"] <= table["expected_pay"]).all() and (table["expected_pay"] <= table["pay_best"]).all()
    bonus = pd.read_csv("out/bonus_by_effort.csv")
    assert (bonus.groupby(["convention", "n"])["pass_probability"].agg(np.ptp) > 0.9).all()
    figures = sorted(path.name for path in (tmp_path / "out" / "figures").glob("*.png"))
    assert figures == ["bonus_by_effort.png", "payments_paper_high_delta0.02.png"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"contracts": "quadratic"}, "contracts: unknown value 'quadratic'; there are linear, binary"),
        ({"profiles": "paper"}, "profiles: unknown value 'paper'"),
        ({"delta": "0,a"}, "delta must be a list of float values, got 'a'"),
        ({"delta": 1.5}, r"delta must lie in \[0, 1\], got 1.5"),
        ({"delta": 0.6, "delta_convention": "model"}, r"delta must lie in \[0, 0.5\], got 0.6"),
        ({"n_list": [0]}, "n_list must have whole numbers of at least 1, got 0"),
        ({"n_list": [10.5]}, "n_list must be a list of int values, got 10.5"),
        ({"datasets": []}, "datasets must have at least one value"),
        ({"datasets": "nowhere"}, "'nowhere' is neither a synthetic set"),
        ({"solver": "grid"}, "solver must be one of exact, paper_grid"),
        ({"datset": "pku"}, "unknown config key 'datset'"),
    ],
)
def test_mistakes_of_the_configuration(config, message):
    with pytest.raises(ConfigError, match=message):
        run(**config)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("0.0,0.01", float, [0.0, 0.01]),
        ("[0, 0.02]", float, [0.0, 0.02]),
        ((0, 0.02), float, [0.0, 0.02]),
        (0.1, float, [0.1]),
        ("['pku', 'sky']", str, ["pku", "sky"]),
        ("pku", str, ["pku"]),
        ([1, 11], int, [1, 11]),
    ],
)
def test_lists_may_be_text(value, kind, expected):
    assert parse_list("key", value, kind) == expected


@pytest.mark.parametrize("damaged", ["{}", "[1]", '{"solver": "exact", "problem": 3, "rows": {}}', "no JSON\n{}"])
def test_a_damaged_file_of_an_interrupted_run_is_named(damaged, tmp_path):
    store = tmp_path / "out" / "unfinished.jsonl"
    store.parent.mkdir()
    store.write_text(damaged + "\n")
    with pytest.raises(ConfigError, match=r"line 1 of 'out.unfinished.jsonl' .* remove the file"):
        run(n_list=11, skip_plots=True)
    assert store.read_text() == damaged + "\n"


def test_contracts_of_another_version_are_solved_anew(tmp_path, monkeypatch, caplog):
    problems = [Problem("paper_high", "linear", 0.98, n) for n in (11, 21)]
    store = tmp_path / "unfinished.jsonl"
    monkeypatch.setattr(
        section4_solve, "solve", lambda problem, *rest: stop() if problem.n == 21 else original(problem, *rest)
    )
    original, solved = solve, []

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve_all(problems, "exact", 0.0, 1, store)
    (line,) = [json.loads(line) for line in store.read_text().splitlines()]
    assert set(line["versions"]) == {"trl_ext", "numpy", "scipy"}
    store.write_text(json.dumps(line | {"versions": line["versions"] | {"scipy": "0.1"}}) + "\n")
    monkeypatch.setattr(section4_solve, "solve", lambda *args: solved.append(args[0].n) or original(*args))
    solve_all(problems, "exact", 0.0, 1, store)
    assert solved == [11, 21] and "1 contracts of another solver, reservation or version" in caplog.text


def test_figures_of_an_earlier_configuration_are_removed(tmp_path):
    figures = tmp_path / "out" / "figures"
    figures.mkdir(parents=True)
    for name in ("gaps_paper_low_delta0.3.png", "gap_by_delta.csv", "gaps_mine.png"):
        (figures / name).touch()
    run(n_list=11)
    assert {path.stem for path in figures.iterdir()} == {"gaps_paper_high_delta0.02", "profiles", "gaps_mine"}
    run(payments.ex, n_list=11, monitors="self", contracts="linear", profiles="paper_low", output_dir="pay")
    run(payments.ex, n_list=11, monitors="self", contracts="linear", output_dir="pay")
    assert {path.stem for path in (tmp_path / "pay" / "figures").iterdir()} == {"payments_paper_high_delta0.02"}


def test_no_seed_is_recorded_with_results_that_need_none(tmp_path):
    run(n_list=11, skip_plots=True)
    provenance = json.loads((tmp_path / "out" / "results.json").read_text())["provenance"]
    assert "seed" not in provenance["config"] and provenance["config"]["n_list"] == [11]
    assert {"scipy", "pandas"} <= set(provenance["versions"])

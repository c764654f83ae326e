"""The grid search gives what the original program gave, cell by cell."""

import json
import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, ndtri

from tests.evaluation.doc_examples import failed_examples
from trl_ext.annotators import expert_c, self_consistency_c
from trl_ext.annotators.contracts import PROFILES, ContractProblem, PowerFunction, cara_utility
from trl_ext.annotators.contracts.legacy_curves import legacy_decision_mean, legacy_incentive
from trl_ext.annotators.contracts.legacy_downstream import legacy_downstream_contract
from trl_ext.annotators.contracts.paper_grid import (
    STRICT_IC_SLACK,
    ContractGrid,
    grid_utilities,
    original_grid,
    solve_on_grid,
)


SCALES = {"syn_pku": 0.4, "syn_helpsteer": 1.0, "syn_ultra": 1.6, "syn_sky": 3.5}


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())


def probabilities(dataset):
    return expit(SCALES[dataset] * ndtri((np.arange(2000) + 0.5) / 2000))


def mean_probability(dataset):
    p = probabilities(dataset)
    return np.maximum(p, 1 - p).mean()


def informativeness(case, delta=None):
    if case["monitor"] == "expert":
        return expert_c(probabilities(case["dataset"]))
    return self_consistency_c(case["delta"] if delta is None else delta)


def make_problem(case):
    if "profile" in case:
        return PROFILES[case["profile"]]
    benefit = PowerFunction({"high": 0.5, "low": 0.3}[case["mu"]], 0.8)
    return ContractProblem(cara_utility(case["exp_para"]), PowerFunction(0.18, 2), benefit, case.get("U0", 0.0))


def grid_of(section, contract):
    threshold = [0] if contract == "linear" else section["c0_grid_binary"]
    return ContractGrid(section["effort_grid"], threshold, section["c1_grid"], section["c2_grid"])


def assert_is(found, wanted):
    assert (found.threshold, found.slope, found.base) == pytest.approx(wanted["contract"], rel=1e-9)
    assert found.effort == pytest.approx(wanted["effort"], rel=1e-9)
    assert found.principal_utility == pytest.approx(wanted["principal_utility"], rel=1e-9)
    assert found.agent_utility == pytest.approx(wanted["agent_utility"], rel=1e-9)
    if found.regime == "SB_tilde":
        assert found.feasible == (wanted["contract"] != [0, 0, 0])


@pytest.mark.parametrize("section", ["section4_reduced", "section4_v2_profiles"])
@pytest.mark.parametrize("contract", ["linear", "binary"])
def test_reduced_grids(golden, section, contract):
    cases = [case for case in golden[section]["cases"] if case["contract"] == contract]
    assert len(cases) >= 30
    grid = grid_of(golden[section], contract)
    for case in cases:
        found = solve_on_grid(make_problem(case), informativeness(case), case["n"], contract=contract, grid=grid)
        for regime, solution in found.items():
            assert_is(solution, case[regime])
        if "SB_strict_IC_on_grid" in case:
            strict = solve_on_grid(
                make_problem(case),
                informativeness(case),
                case["n"],
                contract=contract,
                grid=grid,
                regimes=["SB"],
                ic_slack=STRICT_IC_SLACK,
            )
            assert_is(strict["SB"], case["SB_strict_IC_on_grid"])


@pytest.mark.parametrize("section", ["section4_reduced", "section4_v2_profiles"])
def test_utilities_of_all_cells_add_up(golden, section):
    for case in golden[section]["cases"][::7]:
        grid = grid_of(golden[section], case["contract"])
        mesh = np.meshgrid(grid.effort, grid.threshold, grid.slope, grid.base, indexing="ij")
        agent, principal = grid_utilities(
            make_problem(case), informativeness(case), case["n"], case["contract"], *mesh
        )
        assert agent.sum() == pytest.approx(case["agent_util_sum"], rel=1e-9)
        assert principal.sum() == pytest.approx(case["principal_util_sum"], rel=1e-9)


def test_point_utilities(golden):
    for case in golden["section4_point_utilities"]:
        cell = (case["effort"], case["c0"], case["c1"], case["c2"])
        problem = make_problem({"mu": "high"} | case)
        agent, principal = grid_utilities(problem, informativeness(case), case["n"], case["contract"], *cell)
        assert agent == pytest.approx(case["agent_utility"], rel=1e-9)
        assert principal == pytest.approx(case["principal_utility"], rel=1e-9)


def full_cases(golden, contract):
    cases = {}
    for row in golden["section4_fullgrid"]:
        if row["contract"] == contract:
            key = tuple(row[name] for name in ("dataset", "monitor", "n", "delta", "exp_para", "mu"))
            cases.setdefault(key, []).append(row | {"contract": [row["c0"], row["c1"], row["c2"]]})
    return list(cases.values())


def check_full(rows, contract):
    case = rows[0]
    found = solve_on_grid(make_problem(case), informativeness(case), case["n"], contract=contract)
    for row in rows:
        assert_is(found[row["regime"]], row)


def test_full_grid_of_linear_contracts(golden):
    for rows in full_cases(golden, "linear"):
        check_full(rows, "linear")


@pytest.mark.slow
def test_full_grid_of_binary_contracts(golden):
    for rows in full_cases(golden, "binary"):
        check_full(rows, "binary")


@pytest.mark.parametrize("contract", ["linear", "binary"])
@pytest.mark.parametrize("cells", [1, 100, 10**7])
def test_blocks_do_not_matter(contract, cells):
    threshold = [0] if contract == "linear" else [0.5, 0.7, 0.9]
    grid = ContractGrid(np.linspace(0, 1, 6), threshold, np.arange(0, 3, 0.3), np.arange(-1, 1, 0.15))
    problem = PROFILES["risk_averse_poly"]
    expected = solve_on_grid(problem, 0.98, 10, contract=contract, grid=grid)
    assert expected["SB"].feasible
    assert solve_on_grid(problem, 0.98, 10, contract=contract, grid=grid, block_cells=cells) == expected


def test_nothing_feasible_is_data():
    # Nobody works for a pay of -1
    grid = ContractGrid([0.0, 0.5, 1.0], [0.0], [0.0], [-1.0])
    found = solve_on_grid(PROFILES["paper_high"], 0.98, 10, contract="linear", grid=grid)
    assert not any(solution.feasible for solution in found.values())
    assert np.isnan(found["FB"].principal_utility) and np.isnan(found["SB"].effort)


def test_memory_does_not_grow_with_thresholds():
    peaks = []
    for thresholds in (10, 100):
        grid = ContractGrid(
            np.arange(0, 1.01, 0.01), np.linspace(0.5, 1, thresholds), np.arange(0, 10, 0.5), np.arange(-10, 10, 0.5)
        )
        tracemalloc.start()
        solve_on_grid(PROFILES["paper_high"], 0.98, 50, contract="binary", grid=grid)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 30e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contract": "quadratic"}, "contract must be 'linear' or 'binary'"),
        ({"regimes": ["FB", "TB"]}, "unknown regime 'TB'"),
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"c": 1.2}, r"c must lie in \[0, 1\]"),
        ({"ic_slack": -0.1}, "ic_slack must be at least 0"),
    ],
)
def test_bad_input(arguments, message):
    arguments = {"c": 0.98, "n": 10, "contract": "linear", "grid": original_grid("linear")} | arguments
    with pytest.raises(ValueError, match=message):
        solve_on_grid(PROFILES["paper_high"], arguments.pop("c"), arguments.pop("n"), **arguments)


class TestLegacy:
    def test_downstream_contract(self, golden):
        section = golden["downstream_solve_contract"]
        reduced = section["reduced_binary_grid"]
        for case in section["cases"]:
            grid = None
            if case["grid"] == "reduced":
                grid = ContractGrid(np.linspace(0.1, 0.99, 50), reduced["c0"], reduced["c1"], reduced["c2"])
            c = informativeness(case, delta=section["delta"])
            found = legacy_downstream_contract(c, case["n_monitor"], contract=case["contract"], grid=grid)
            assert [found.threshold, found.slope, found.base] == pytest.approx(case["c"], rel=1e-9)
            for name, key in (
                ("eta", "eta"),
                ("effort", "effort"),
                ("agent_utility", "agent_u"),
                ("principal_utility", "principal_u"),
            ):
                assert getattr(found, name) == pytest.approx(case[key], rel=1e-9)

    def test_incentive(self, golden):
        for case in golden["incentive"]:
            mean = mean_probability(case["dataset"])
            found = legacy_incentive(case["eta"], case["n"], monitor=case["monitor"], mean_probability=mean)
            assert found == pytest.approx(case["incentive"], rel=1e-9)
            assert found == pytest.approx(case["analytic_fixed_threshold"], rel=2e-6)

    def test_decision_mean(self, golden):
        for case in golden["decision_model"]:
            mean = mean_probability(case["dataset"])
            found = legacy_decision_mean(case["r"], monitor=case["mode"], mean_probability=mean)
            assert found == pytest.approx(case["mean"], rel=1e-9)

    def test_an_expert_needs_the_data(self):
        with pytest.raises(ValueError, match="needs mean_probability"):
            legacy_incentive(0.5, 10, monitor="expert")


@pytest.mark.parametrize(
    "function", [solve_on_grid, legacy_downstream_contract, legacy_incentive, legacy_decision_mean]
)
def test_docstring_examples(function):
    assert failed_examples(function) == 0

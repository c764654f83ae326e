"""Reference values of exact contracts, computed independently."""

import json
import math

import numpy as np
import pytest

from trl_ext.annotators import PROFILES, check_contract, first_best, incentive, solve_contract


PROBLEMS = {"high": PROFILES["paper_high"], "low": PROFILES["paper_low"]}
FIELDS = {"effort": "effort", "slope": "slope", "base": "base", "bonus": "bonus", "pass_probability": "pass_prob"}


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "golden" / "annotator.json").read_text())


def information(record: dict, golden: dict) -> float:
    """c of a record: 1 - delta for self-consistency, twice the mean of |p - 1/2| for an expert who is always right."""
    if record["monitor"] == "self":
        return 1 - record["delta"]
    scale = {"syn_pku": 0.4, "syn_helpsteer": 1.0, "syn_ultra": 1.6, "syn_sky": 3.5}[record["dataset"]]
    from scipy.stats import norm

    p = 1 / (1 + np.exp(-scale * norm.ppf((np.arange(2000) + 0.5) / 2000)))
    return float(2 * np.mean(np.abs(p - 0.5)))


def check_solution(problem, case: dict, reference: dict, contract: str, regime: str) -> None:
    solution = solve_contract(problem, case["c"], case["n"], contract, regime)
    assert solution.feasible
    # the reference found its efforts on a grid or to 1.5e-8, so that its values are off by as much times a slope
    scale = max(abs(reference["value"]), case["first_best"]["value"])
    assert solution.value >= reference["value"] - 1e-7 * scale
    if solution.value > reference["value"] + 1e-7 * scale:
        # better than the reference: it must be a contract that the annotator accepts and follows
        check = check_contract(problem, case["c"], case["n"], effort=solution.effort, **solution.terms())
        assert check.accepted
        assert check.incentive_slack >= -2e-9
        assert check.value == pytest.approx(solution.value, abs=1e-9)
        return
    assert solution.threshold == reference.get("k")
    for name, key in FIELDS.items():
        if key in reference:
            # a base of zero, where the annotator is indifferent to no effort, is known to the tolerance of 1e-9 only
            assert getattr(solution, name) == pytest.approx(reference[key], rel=1e-4, abs=2e-6), name


class TestExactContracts:
    def test_every_case(self, golden):
        better = 0
        for case in golden["exact_contracts"]["cases"]:
            problem = PROBLEMS[case["mu"]]
            best = first_best(problem)
            if "first_best" in case:
                reference = case["first_best"]
            else:
                reference = case["first_best"] = {"value": best.value, "effort": best.effort, "wage": best.wage}
            assert best.value == pytest.approx(reference["value"], rel=1e-9)
            assert best.effort == pytest.approx(reference["effort"], rel=1e-6)
            assert best.wage == pytest.approx(reference["wage"], rel=1e-6)
            for contract in ("linear", "binary"):
                for key, regime in ((contract, "second_best"), (f"{contract}_restricted", "restricted")):
                    if case.get(key) is not None:
                        check_solution(problem, case, case[key], contract, regime)
                        found = solve_contract(problem, case["c"], case["n"], contract, regime)
                        better += found.value > case[key]["value"] + 1e-7 * best.value
        # the efforts of two reference contracts were left on a coarse grid
        assert better <= 2

    def test_first_best_of_other_profiles(self, golden):
        for reference in golden["section4_v2_profiles"]["first_best_exact"]:
            problem = PROFILES[reference["profile"]]
            best = first_best(problem)
            assert best.value == pytest.approx(reference["value"], rel=1e-9)
            assert best.effort == pytest.approx(reference["effort"], abs=5e-6)  # given to five digits
            assert best.wage == pytest.approx(reference["wage"], abs=1e-6)
            for at, values in reference["values_at"].items():
                assert float(problem.utility.value(float(at))) == pytest.approx(values["G"], rel=1e-12)
                assert float(problem.cost.value(float(at))) == pytest.approx(values["E"], rel=1e-12)
                assert float(problem.benefit.value(float(at))) == pytest.approx(values["mu"], rel=1e-12)
        assert first_best(PROFILES["risk_averse_poly"]).corner == "full effort"

    def test_baseline(self):
        best = first_best(PROFILES["paper_high"])
        assert best.value == pytest.approx(0.3026366458, abs=1e-10)
        assert best.effort == pytest.approx(0.9438093, abs=5e-8)
        assert best.wage == pytest.approx(0.1747579, abs=5e-8)
        assert best.corner is None


class TestAgainstTheOriginal:
    def test_no_contract_of_its_full_grid_is_better(self, golden):
        compared = 0
        profiles = {(1, "high"): "paper_high", (1, "low"): "paper_low", (0.5, "high"): "paper_high_half"}
        profiles[0.5, "low"] = "paper_low_half"
        solved = {}
        for record in golden["section4_fullgrid"]:
            if record["regime"] == "FB":
                continue
            problem = PROFILES[profiles[record["exp_para"], record["mu"]]]
            c, n, contract = information(record, golden), record["n"], record["contract"]
            if contract == "linear":
                terms = {"base": record["c2"], "slope": record["c1"]}
            else:  # the original pays if agreements exceed c0 n
                threshold = math.floor(record["c0"] * n) + 1
                terms = {"base": record["c2"], "bonus": record["c1"], "threshold": threshold}
            check = check_contract(problem, c, n, **terms)
            if check.accepted:
                key = (record["exp_para"], record["mu"], c, n, contract)
                if key not in solved:
                    solved[key] = solve_contract(problem, c, n, contract)
                assert solved[key].value >= check.value - 1e-8, record
                compared += 1
        assert compared > 50


class TestIncentive:
    def test_golden(self, golden):
        for record in golden["incentive"]:
            c = information({**record, "delta": 0}, golden)
            value = incentive(record["eta"], record["n"], c)
            assert value == pytest.approx(record["analytic_fixed_threshold"], rel=1e-7), record

    def test_is_the_derivative_of_the_pass_probability(self):
        # n = 2, k = 2, q = (1 + 0.8 * 0.5)/2 = 0.7: d q^2 / d eta = 2 * 0.7 * 0.4
        assert incentive(0.5, n=2, c=0.8, k=2) == pytest.approx(0.56, rel=1e-12)
        assert incentive(0.5, n=2, c=0.8, k=0) == incentive(0.5, n=2, c=0.8, k=3) == 0.0

    def test_threshold_jumps_where_the_mean_is_a_whole_number(self):
        # q = 0.6: n q = 6 exactly, so that 7 of 10 exceed the mean
        assert incentive(0.2, n=10, c=1.0) == incentive(0.2, n=10, c=1.0, k=7)
        assert incentive(0.199, n=10, c=1.0) == incentive(0.199, n=10, c=1.0, k=6)

    def test_refuses_efforts_outside_the_unit_interval(self):
        with pytest.raises(ValueError, match=r"eta in \[0, 1\]"):
            incentive(1.2, n=10, c=1.0)

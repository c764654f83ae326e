"""RewardBench with the preference test sets, which count half."""

from collections.abc import Sequence
from dataclasses import replace

from ..benchmarks.preference_test_sets import PreferenceTestSets
from ..benchmarks.rewardbench import OVERALL_WEIGHTS, PRIOR, SECTIONS, rewardbench_prior_sets
from ..benchmarks.rewardbench_benchmark import RewardBench
from ..statistics import Estimate, weighted_average
from .model_result import ModelResult


def with_prior_sets(results: Sequence[ModelResult]) -> list[ModelResult]:
    """
    Give results on RewardBench the section Prior Sets of the same model's preference test sets, where these are among the
    results; the overall figure then counts it with weight 1 of 9.

    Args:
        results (`Sequence[ModelResult]`):
            Results on all benchmarks.

    Returns:
        `list[ModelResult]`: in the same order.
    """
    sets = {result.model: result.subsets for result in results if result.benchmark == PreferenceTestSets.name}
    return [
        _with_prior(result, sets[result.model])
        if result.benchmark == RewardBench.name and result.model in sets and PRIOR not in result.sections
        else result
        for result in results
    ]


def core_figure(result: ModelResult) -> float | None:
    """What the rows of a result make: its overall figure; on RewardBench that without Prior Sets, which are other rows."""
    if result.overall is None or PRIOR not in result.sections:
        return None if result.overall is None else result.overall.value
    return weighted_average([result.sections[name] for name in SECTIONS]).value


def _with_prior(result: ModelResult, sets: dict[str, Estimate]) -> ModelResult:
    prior = rewardbench_prior_sets(sets)
    if prior is None:
        return result
    weights = [sum(OVERALL_WEIGHTS[name] for name in SECTIONS), OVERALL_WEIGHTS[PRIOR]]
    overall = None if result.overall is None else weighted_average([result.overall, prior], weights)
    return replace(result, sections=result.sections | {PRIOR: prior}, overall=overall)

"""All benchmarks by name."""

import difflib
import inspect
from typing import Any

from .base import Benchmark
from .preference_benchmark import PreferenceBenchmark
from .preference_test_sets import PreferenceTestSets
from .rewardbench2 import RewardBench2
from .rewardbench_benchmark import RewardBench
from .rm_bench_benchmark import RMBench


BENCHMARKS: dict[str, type[Benchmark]] = {
    benchmark.name: benchmark
    for benchmark in (RewardBench, RewardBench2, RMBench, PreferenceTestSets, PreferenceBenchmark)
}


def get_benchmark(name: str, **options: Any) -> Benchmark:
    """
    A benchmark by its name.

    Args:
        name (`str`):
            `rewardbench`, `rewardbench2`, `rm_bench`, `preference_test_sets` or `preferences`.
        **options:
            Options of its class, such as `ties` or `level`.

    Returns:
        [`Benchmark`]

    Raises:
        ValueError: there is no such benchmark, or it has no such option.

    Example:
        ```python
        >>> get_benchmark("rewardbench2", ties_variant="0.1.4").ties_variant
        '0.1.4'
        ```
    """
    if name not in BENCHMARKS:
        raise ValueError(f"there is no benchmark {name!r}; {_hint(name, BENCHMARKS)}")
    allowed = inspect.signature(BENCHMARKS[name]).parameters
    for option in options:
        if option not in allowed:
            raise ValueError(f"benchmark {name!r} has no option {option!r}; {_hint(option, allowed)}")
    return BENCHMARKS[name](**options)


def _hint(name: str, known: Any) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return (f"did you mean {close[0]!r}? " if close else "") + f"There are {', '.join(known)}."

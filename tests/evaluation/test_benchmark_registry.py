"""Benchmarks by name, and samples of them."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from trl_ext.evaluation import BENCHMARKS, Benchmark, get_benchmark, stratified_subsample


NAMES = ["rewardbench", "rewardbench2", "rm_bench", "preference_test_sets", "preferences"]


def test_names():
    assert list(BENCHMARKS) == NAMES
    assert all(isinstance(get_benchmark(name), Benchmark) and get_benchmark(name).name == name for name in NAMES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rewardbench3", {}, "no benchmark 'rewardbench3'; did you mean 'rewardbench"),
        ("mmlu", {}, "There are rewardbench, rewardbench2, rm_bench, preference_test_sets, preferences"),
        ("rm_bench", {"tie": "half"}, "'rm_bench' has no option 'tie'; did you mean 'ties'"),
        ("rm_bench", {"ties": "win"}, "ties must be one of"),
    ],
)
def test_unknown_names_and_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        get_benchmark(name, **options)


def test_the_guide_names_all_benchmarks_and_their_options():
    text = Path(__file__).resolve().parents[2].joinpath("docs", "benchmark_sets.md").read_text(encoding="utf-8")
    for name, benchmark in BENCHMARKS.items():
        assert f"`{name}`" in text and f"`{benchmark.__name__}`" in text
        assert benchmark.hub_id is None or f"`{benchmark.hub_id}`" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code, {})


def sample_rows(sizes: dict[str, int], pairs: int = 0) -> Dataset:
    rows = [
        {"id": f"{subset}-{i}", "subset": subset, "cluster": f"{subset}-{i}"}
        for subset, size in sizes.items()
        for i in range(size)
    ]
    rows += [
        {"id": f"{kind}:{i}", "subset": "Ties", "cluster": f"Ties:{i}"}
        for kind in ("ref", "tied")
        for i in range(pairs)
    ]
    return Dataset.from_list(rows)


class TestSubsample:
    def test_proportions_and_least(self):
        rows = sample_rows({"big": 300, "middle": 90, "small": 10, "one": 1})
        counts = Counter(stratified_subsample(rows, 41)["subset"])
        assert counts == {"big": 29, "middle": 9, "small": 2, "one": 1}

    @settings(max_examples=25)
    @given(
        st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(0, 6), st.integers(0, 60), st.integers(0, 5)
    )
    def test_properties(self, sizes, pairs, extra, seed):
        rows = sample_rows({f"s{i}": size for i, size in enumerate(sizes)}, pairs)
        size_of = Counter(rows["subset"])
        least = sum(min(2, size) for size in size_of.values())
        n = least + extra
        drawn = stratified_subsample(rows, n, seed)
        counts = Counter(drawn["subset"])
        assert min(n, len(rows)) - 1 <= len(drawn) <= min(n, len(rows))
        assert pairs or len(drawn) == min(n, len(rows))
        assert all(counts[name] >= min(2, size) for name, size in size_of.items())
        ties = Counter(cluster for cluster in drawn["cluster"] if cluster.startswith("Ties"))
        assert set(ties.values()) <= {2}
        assert len(set(drawn["id"])) == len(drawn)
        if n < len(rows):
            for name, size in size_of.items():
                assert abs(counts[name] - n * size / len(rows)) <= 2 + 2 * len(size_of)

    def test_it_is_deterministic_and_depends_on_ids_and_seed_alone(self):
        rows = sample_rows({"a": 50, "b": 30}, 10)
        order = np.random.default_rng(0).permutation(len(rows))
        one = stratified_subsample(rows, 20, 3)["id"][:]
        assert one == stratified_subsample(rows, 20, 3)["id"][:]
        assert set(one) == set(stratified_subsample(rows.select(order), 20, 3)["id"])
        assert set(one) != set(stratified_subsample(rows, 20, 4)["id"])

    def test_all_rows_and_too_few(self):
        rows = sample_rows({"a": 5, "b": 5})
        assert stratified_subsample(rows, 10) is rows
        with pytest.raises(ValueError, match="n = 3 rows are too few: 2 subsets .* take 4"):
            stratified_subsample(rows, 3)
        with pytest.raises(TypeError, match="n must be a whole number of rows, got 0.5"):
            stratified_subsample(rows, 0.5)


@pytest.mark.parametrize(("function", "names"), [(get_benchmark, {}), (stratified_subsample, {"Dataset": Dataset})])
def test_the_docstring_example_runs(function, names):
    assert failed_examples(function, names) == 0

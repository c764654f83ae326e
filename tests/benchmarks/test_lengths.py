"""Length distributions: read, drawn from, and turned into sequences of exactly those lengths."""

import numpy as np
import pytest

from benchmarks.lengths import FOLDER, load_groups, measure, random_sequences, represent


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.json")))
def test_every_distribution_can_be_read(name):
    groups = load_groups(name)
    assert len(groups) >= 400
    assert all(len(group) == 3 and group[0] + min(group[1:]) > 0 for group in groups)


def test_true_shares_most_of_its_tokens_and_short_hardly_any():
    def share(name):
        lengths = np.array(load_groups(name))
        return lengths[:, 0].mean() / (lengths[:, :1] + lengths[:, 1:]).mean()

    assert share("true") == pytest.approx(0.92, abs=0.01)
    assert share("short") == pytest.approx(0.09, abs=0.01)


def test_sequences_have_the_measured_lengths():
    groups = represent(load_groups("lie"), 40, seed=0)
    sequences = random_sequences(groups, vocabulary=30000, seed=0)
    assert sorted(group[1:] for group in measure(sequences) for _ in range(group[0])) == sorted(groups)


def test_a_draw_represents_the_distribution():
    # Every 20th of 0, 1, …, 399: the mean is 190 plus the start, which lies in [0, 20)
    drawn = represent([[length, 1, 1] for length in range(400)], 20, seed=3)
    assert 190 <= np.mean([group[0] for group in drawn]) < 210


def test_a_measured_distribution_has_no_more_responses_than_were_measured():
    assert len(load_groups("rm_bench_6", responses=4)[0]) == 5
    with pytest.raises(ValueError, match="2 responses per prompt, 3 were asked for"):
        load_groups("lie", responses=3)

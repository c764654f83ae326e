"""The benchmark shows what it is for: a known bias of length goes, and real merit of length goes with it."""

from benchmarks.length_calibration import BIASES, WORLDS, compare


def test_it_helps_where_length_tells_nothing_and_hurts_where_longer_is_better():
    accuracy, gain = compare(400, BIASES["strong"], WORLDS["length tells nothing"], seed=0)
    assert gain["all rewards"].ci_low > 0.02 and gain["within prompts"].ci_low > 0.02
    assert abs(accuracy["all rewards"].value - accuracy["oracle"].value) < 0.03
    _, gain = compare(400, BIASES["none"], WORLDS["longer is better"], seed=0)
    assert gain["all rewards"].ci_high < 0 and gain["within prompts"].ci_high < 0
    _, gain = compare(400, BIASES["none"], WORLDS["prompts differ"], seed=0)
    assert gain["all rewards"].ci_high < 0 and abs(gain["within prompts"].value) < 0.03

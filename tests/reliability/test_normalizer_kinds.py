import doctest
import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trl_ext.reliability import normalizers
from trl_ext.reliability.normalizers import (
    NORMALIZERS,
    ArmNormalizer,
    MinMaxNormalizer,
    RankNormalizer,
    ZScoreNormalizer,
    load_normalizer,
    normalizer_from_dict,
)


# whole numbers, so that two distinct values stay distinct in every normalisation
raw_values = st.lists(st.integers(0, 10_000), min_size=2, max_size=20, unique=True).map(np.float64)
every_kind = pytest.mark.parametrize("cls", NORMALIZERS.values(), ids=NORMALIZERS)


class TestByHand:
    def test_min_max(self):
        normalizer = MinMaxNormalizer.fit([2.0, 4.0, 10.0], high_is_reliable=True)
        assert normalizer.transform([2.0, 4.0, 10.0]) == pytest.approx([0, 0.25, 1])

    def test_rank_counts_ties_half_and_interpolates(self):
        # of 1 1 2 9: below 1 none, equal 2 -> 1/4; 2: 2.5/4; 9: 3.5/4; halfway between 2 and 9: 3/4
        normalizer = RankNormalizer.fit([9.0, 1.0, 2.0, 1.0], high_is_reliable=True)
        assert normalizer.transform([1.0, 2.0, 9.0, 5.5]) == pytest.approx([0.25, 0.625, 0.875, 0.75])

    @given(st.lists(st.integers(0, 8), min_size=2, max_size=20).filter(lambda v: len(set(v)) > 1))
    def test_rank_is_the_share_below_plus_half_the_ties(self, values):
        values = np.float64(values)
        expected = [np.mean(values < v) + np.mean(values == v) / 2 for v in values]
        assert RankNormalizer.fit(values, high_is_reliable=True).transform(values) == pytest.approx(expected)

    def test_z_score(self):
        # mean 2, variance (1 + 0 + 1)/3
        scores = ZScoreNormalizer.fit([1.0, 2.0, 3.0], high_is_reliable=True).transform([1.0, 2.0, 4.0])
        assert scores == pytest.approx([-np.sqrt(1.5), 0, 2 * np.sqrt(1.5)])


@every_kind
class TestEveryKind:
    @given(values=raw_values, high_is_reliable=st.booleans(), high_means_reliable=st.booleans())
    def test_keeps_or_reverses_the_order(self, cls, values, high_is_reliable, high_means_reliable):
        normalizer = cls.fit(
            values, high_is_reliable=high_is_reliable, high_means_reliable=high_means_reliable, outside="clip"
        )
        steps = np.diff(normalizer.transform(np.sort(values)))
        reversed_order = high_means_reliable and not high_is_reliable
        assert normalizer.inverted == reversed_order
        assert (steps < 0).all() if reversed_order else (steps > 0).all()

    @given(values=raw_values, extra=st.lists(st.integers(0, 20_000), min_size=1).map(np.float64))
    def test_unseen_values_do_not_break_the_order(self, cls, values, extra):
        normalizer = cls.fit(values, high_is_reliable=False)
        scores = normalizer.transform(np.sort(np.concatenate([values, extra])))
        assert (np.diff(scores) <= 1e-12).all()

    def test_orientation_is_known_to_whoever_uses_the_column(self, cls):
        told = {
            (direction, orientation): cls.fit(
                [1.0, 2.0], high_is_reliable=direction, high_means_reliable=orientation
            ).output_high_is_reliable
            for direction in (True, False)
            for orientation in (True, False)
        }
        assert told == {(True, True): True, (True, False): True, (False, True): True, (False, False): False}

    @given(values=raw_values)
    def test_round_trip_through_json(self, cls, values):
        normalizer = cls.fit(values, "seconds", high_is_reliable=False, outside="error")
        assert normalizer_from_dict(json.loads(json.dumps(normalizer.to_dict()))) == normalizer

    def test_round_trip_through_a_file(self, cls, tmp_path):
        normalizer = cls.fit([0.1, 0.7, 3.0], high_is_reliable=True)
        normalizer.save(tmp_path / "folder" / "normalizer.json")
        assert load_normalizer(tmp_path / "folder" / "normalizer.json") == normalizer
        assert cls.load(tmp_path / "folder" / "normalizer.json") == normalizer
        assert [path.name for path in (tmp_path / "folder").iterdir()] == ["normalizer.json"]

    def test_clip_moves_to_the_ends_and_counts(self, cls, caplog):
        normalizer = cls.fit([1.0, 2.0, 4.0], "seconds", high_is_reliable=False, outside="clip")
        with caplog.at_level(logging.WARNING):
            scores = normalizer.transform([0.0, 1.0, 4.0, 100.0])
        assert scores[0] == scores[1]
        assert scores[3] == scores[2]
        assert "seconds: 2 of 4 normalised values lie outside" in caplog.text
        assert "They are clipped" in caplog.text

    def test_keep_is_the_default_and_counts(self, cls, caplog):
        normalizer = cls.fit([1.0, 2.0, 4.0], high_is_reliable=True)
        with caplog.at_level(logging.WARNING):
            scores = normalizer.transform([0.0, 1.0, 4.0, 100.0])
        assert (np.diff(scores) > 0).all()
        assert "2 of 4" in caplog.text

    def test_error_names_the_first_row_and_the_way_out(self, cls):
        normalizer = cls.fit([1.0, 2.0, 4.0], "seconds", high_is_reliable=False, outside="error")
        normalizer.transform([1.0, 4.0])
        with pytest.raises(ValueError, match=r'seconds: 1 of 2.*row 1, value 5.0. Use outside="keep"'):
            normalizer.transform([2.0, 5.0])

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([3.0, 3.0, 3.0], "same for every training annotator"),
            ([0.1, float("inf")], "row 1, value inf"),
            ([[1.0], [2.0]], r"shape \(N,\)"),
        ],
    )
    def test_refuses(self, cls, values, message):
        with pytest.raises(ValueError, match=message):
            cls.fit(values, high_is_reliable=True)

    def test_refuses_an_unknown_policy(self, cls):
        with pytest.raises(ValueError, match='outside must be "keep", "clip" or "error", got \'drop\''):
            cls.fit([1.0, 2.0], high_is_reliable=True, outside="drop")

    def test_refuses_the_dictionary_of_another_kind(self, cls):
        with pytest.raises(ValueError, match=f"expected a normaliser of kind '{cls.kind}', got 'other'"):
            cls.from_dict({"kind": "other"})


def test_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="must be one of.*log_min_max.*got 'log'"):
        normalizer_from_dict({"kind": "log"})


def test_what_was_saved_without_a_kind_is_still_read():
    assert ArmNormalizer.from_dict({"log_min": 0.0, "log_max": 2.0, "name": "t"}) == ArmNormalizer(0.0, 2.0, "t")


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "n.json").write_text("{")
    with pytest.raises(ValueError, match="n.json' is not JSON"):
        load_normalizer(tmp_path / "n.json")


@every_kind
def test_the_docstring_example_runs(cls):
    code = cls.__doc__.split("```python\n")[1].split("```")[0]
    test = doctest.DocTestParser().get_doctest(code, vars(normalizers).copy(), cls.__name__, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0

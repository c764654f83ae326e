import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from tasks.rapl.lie_data import read_full_train
from tasks.rapl.published_llm_arms import (
    find_published_scores,
    is_informative,
    load_published_scores,
    most_similar_shift,
    read_published_scores,
    reasoning_ranks,
    reasoning_similarity,
)
from trl_ext.evaluation.statistics import paired_difference
from trl_ext.reliability.llm_arms import CRITERIA, CriteriaCalibrator, difficulty_correlations


O3 = ["o3_responses_v1.json", "o3_responses_v2.json"]
CLAUDE = "claude-opus-4-20250514_responses_v1.json"


@pytest.fixture(scope="session")
def rapl_dir(shared_dir) -> Path:
    path = shared_dir / "data" / "rapl"
    if not (path / "LLM_ARM_generation").is_dir():
        pytest.skip(f"no published scores at {path}")
    return path


@pytest.fixture(scope="session")
def published(rapl_dir) -> dict[str, Path]:
    return {path.name: path for path in find_published_scores(rapl_dir)}


@pytest.fixture(scope="session")
def frames(rapl_dir, published) -> dict[str, pd.DataFrame]:
    return {name: load_published_scores(rapl_dir, [published[name]]) for name in (*O3, CLAUDE)}


class TestPublishedScores:
    def test_files_hold_a_row_for_each_pair(self, published):
        assert {*O3, CLAUDE} <= set(published)
        for name, mean in {O3[0]: 2.237, O3[1]: 2.238, CLAUDE: 3.031}.items():
            scores = read_published_scores(published[name], 1000)
            overall = np.mean([row["overall_difficulty"].score for row in scores])
            assert overall == pytest.approx(mean, abs=5e-4)

    # Figures found independently when the original was studied
    @pytest.mark.parametrize(("name", "correlation"), [(O3[0], -0.143), (O3[1], -0.168), (CLAUDE, -0.106)])
    def test_correlation_of_difficulty_with_correctness(self, frames, name, correlation):
        frame = frames[name]
        assert len(frame) == 1000 and frame["id"].is_unique and frame["informative"].sum() == 779
        rows = frame[frame["informative"]]
        found = difficulty_correlations(rows, rows["correct_chosen"], rows["question_id"])["overall_difficulty"]
        assert found.value == pytest.approx(correlation, abs=5e-4)
        assert found.ci_high < 0

    def test_repetitions_agree_as_known(self, published):
        first, second = ([r["overall_difficulty"].score for r in read_published_scores(published[n])] for n in O3)
        assert np.mean(np.equal(first, second)) == pytest.approx(0.643, abs=5e-4)
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.60, abs=5e-3)

    def test_several_files_are_averaged(self, rapl_dir, published, frames):
        one, two = (frames[name] for name in O3)
        both = load_published_scores(rapl_dir, [published[name] for name in O3])
        for name in CRITERIA:
            np.testing.assert_allclose(both[name], (one[name] + two[name]) / 2)
        assert set(both["n_answers"]) == {2}

    def test_the_reasoning_fits_the_rows_and_no_other_order(self, rapl_dir, published):
        pairs = read_full_train(rapl_dir)
        similarity = reasoning_similarity(read_published_scores(published[CLAUDE]), pairs)
        ranks = reasoning_ranks(similarity)
        assert np.median(ranks) == 0 and np.mean(ranks == 0) > 0.5
        assert most_similar_shift(similarity) == 0
        assert most_similar_shift(np.roll(similarity, 3, axis=0)) == 997
        assert np.median(reasoning_ranks(np.random.default_rng(0).permutation(similarity))) > 300

    @pytest.mark.parametrize("order", ["shuffled", "one row late"])
    def test_refuses_files_in_another_order(self, rapl_dir, published, tmp_path, order):
        rows = json.loads(published[O3[0]].read_text())
        places = np.random.default_rng(0).permutation(1000) if order == "shuffled" else np.roll(np.arange(1000), 1)
        (tmp_path / "s.json").write_text(json.dumps([rows[i] for i in places]))
        with pytest.raises(ValueError, match="is not in the order of the pairs"):
            load_published_scores(rapl_dir, [tmp_path / "s.json"])


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("no", "is not JSON"),
            ("{}", "must hold a list"),
            ("[]", "has 0 rows, but there are 2 pairs"),
            (
                json.dumps([dict.fromkeys(CRITERIA, 3), {}]),
                "row 1: the criteria knowledge_requirements, .* are missing",
            ),
            (json.dumps([dict.fromkeys(CRITERIA, 3), dict.fromkeys(CRITERIA, 7)]), "row 1: criterion .* got 7"),
        ],
    )
    def test_are_refused_with_the_row(self, tmp_path, content, message):
        (tmp_path / "s.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_published_scores(tmp_path / "s.json", 2)

    def test_none_found(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no score files: looked for"):
            find_published_scores(tmp_path)
        with pytest.raises(ValueError, match="paths is empty"):
            load_published_scores(tmp_path, [])


def test_informative_pairs():
    pairs = pd.DataFrame(
        {
            "chosen_type": ["correct_concise", "incorrect_detailed", "correct_detailed", "incorrect_concise"],
            "rejected_type": ["incorrect_detailed", "correct_concise", "correct_concise", "incorrect_detailed"],
        }
    )
    assert is_informative(pairs).tolist() == [True, True, False, False]


def test_what_the_scores_are_worth_out_of_fold(rapl_dir, published):
    """The figures of docs/llm_arms.md: one criterion, the mean of the three published files."""
    frame = load_published_scores(rapl_dir, [published[name] for name in (*O3, CLAUDE)])
    rows = frame[frame["informative"]].reset_index(drop=True)
    correct, questions = rows["correct_chosen"].to_numpy(), rows["question_id"]
    predicted, constant = np.zeros(len(rows)), np.zeros(len(rows))
    for train, test in GroupKFold(5, shuffle=True, random_state=42).split(rows, groups=questions):
        fitted = CriteriaCalibrator().fit(rows.iloc[train], correct[train], fitted_on="the other folds")
        predicted[test], constant[test] = fitted.predict(rows.iloc[test]), correct[train].mean()
    losses = [-np.where(correct == 1, np.log(p), np.log1p(-p)) for p in (predicted, constant)]
    difference = paired_difference(*losses, questions)
    figures = [losses[1].mean(), difference.value, difference.ci_low, difference.ci_high]
    assert figures == pytest.approx([0.6832, -0.0129, -0.0254, -0.0005], abs=6e-5)

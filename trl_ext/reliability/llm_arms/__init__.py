"""Reliability from a language model: how hard is each pair to label, and what does that say about its label?"""

from .asking import DifficultyQuestion, difficulty_questions, difficulty_table
from .calibrator import CriteriaCalibrator
from .correlations import difficulty_correlations
from .parsing import CriterionScore, check_scores, parse_scores
from .rubric import CRITERIA, rubric_messages, scores_form


__all__ = [
    "CRITERIA",
    "CriteriaCalibrator",
    "CriterionScore",
    "DifficultyQuestion",
    "check_scores",
    "difficulty_correlations",
    "difficulty_questions",
    "difficulty_table",
    "parse_scores",
    "rubric_messages",
    "scores_form",
]

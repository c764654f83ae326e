"""Language models as judges, behind the interface of all scorers."""

from .asking import JudgeFailure
from .base import Judge
from .choice import FourWayJudge, PairwiseJudge, verdict_form
from .legacy_parsing import legacy_parse_rating, legacy_parse_verdict, legacy_parse_verdict_four_way
from .panel import JudgePanel
from .parsing import Reject, parse_rating, parse_verdict
from .questions import Judgement
from .ratings import RatingsJudge
from .routing import RoutedJudge
from .statistics import JudgeStatistics, judge_statistics
from .template import JudgeTemplate


__all__ = [
    "FourWayJudge",
    "Judge",
    "JudgeFailure",
    "JudgePanel",
    "JudgeStatistics",
    "JudgeTemplate",
    "Judgement",
    "PairwiseJudge",
    "RatingsJudge",
    "Reject",
    "RoutedJudge",
    "judge_statistics",
    "legacy_parse_rating",
    "legacy_parse_verdict",
    "legacy_parse_verdict_four_way",
    "parse_rating",
    "parse_verdict",
    "verdict_form",
]

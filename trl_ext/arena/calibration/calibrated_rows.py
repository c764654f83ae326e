"""Preference pairs of models' responses, chosen by scores to which offsets were added."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import expit

from ..mismatch.paired_outcomes import check_ties
from ..offsets.joint_offsets import JointOffsets
from ..offsets.pair_offsets import resolve_temperature
from ..ratings.rated_models import check_rating_table
from ..ratings.rating_table import RatingTable
from ..responses.response_table import ResponseTable
from ..score_table import ScoreTable
from .pair_candidates import Candidates, candidates_of_extremes, candidates_of_pairs, offsets_by_model
from .pair_report import REASONS, pair_report, ratings_used


logger = logging.getLogger(__name__)

LABELS = ("hard", "soft", "none")
TIES_AFTER = ("drop", "soft")
_COLUMNS = (
    *("id", "prompt", "chosen", "rejected", "source_chosen", "source_rejected", "score_chosen", "score_rejected"),
    *("offset", "label", "label_temperature", "target_win_rate", "mismatch_before", "mismatch_after", "flipped"),
)
_LABELS_WITH = {"label": ("hard", "soft"), "label_temperature": ("soft",)}


def calibrated_pairs(
    responses: ResponseTable,
    scores: ScoreTable,
    offsets: JointOffsets | Mapping[Any, Any],
    ratings: RatingTable,
    *,
    labels: str = "hard",
    pairs: str | Sequence[tuple[str, str]] | None = None,
    ties: str = "drop",
    temperature: float | str = 1.0,
    min_margin: float = 0.0,
    mismatch_ties: str = "loss",
) -> Dataset:
    r"""
    Preference pairs in which the response with the higher score, after the offsets, is chosen.

    A pair is left out if one of its responses is empty, if both are the same, if the scores are equal after the offsets
    (unless ties are soft), or if they differ by less than a minimum. [`calibrated_pairs_with_report`] counts them.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045: hard labels.

    Args:
        responses ([`ResponseTable`]):
            Responses of the models.
        scores ([`ScoreTable`]):
            Their rewards, of the same prompts in any order.
        offsets ([`JointOffsets`], `Mapping[str, float]` or `Mapping[tuple[str, str], OffsetSolution | float]`):
            Offsets by model, in the unit of the scores; or, by pair (model, reference), what is added to the scores of
            the first.
        ratings ([`RatingTable`]):
            Ratings of the models, by any of their names.
        labels (`str`, *optional*, defaults to `"hard"`):
            `"hard"`: label 1; `"soft"`: label \( \sigma((s_c + o_c - s_r - o_r) / T) \); `"none"`, for win-rate matching:
            `chosen` is the response of the pair's first model, no preference is meant, there is no column `label`,
            neither ties nor small margins are left out, and nothing counts as flipped.
        pairs (`str` or `Sequence[tuple[str, str]]`, *optional*):
            Pairs of models, the over-valued one first. By default those of `offsets`, or all pairs of its models.
            `"extremes"`: of all models, the highest against the lowest score of each prompt, the original's rule.
        ties (`str`, *optional*, defaults to `"drop"`):
            Equal scores after the offsets: `"drop"`, or `"soft"` for a label of 1/2. With `"extremes"` that is where all
            models have the same score; the pair is then that of the first and the last model.
        temperature (`float` or `"std"`, *optional*, defaults to `1.0`):
            T of soft labels, in the unit of the scores; `"std"`: the standard deviation of the differences of the pair of
            models. The column `label_temperature` keeps it for the trainer.
        min_margin (`float`, *optional*, defaults to `0.0`):
            Least difference of the scores after the offsets, in their unit.
        mismatch_ties (`str`, *optional*, defaults to `"loss"`):
            How ties count in the mismatch degree, `"loss"` or `"half"`.

    Returns:
        [`~datasets.Dataset`]: Rows with the columns `id` (of the prompt and the two models), `prompt`, `chosen`,
        `rejected`, `source_chosen`, `source_rejected`, `score_chosen`, `score_rejected` (without offsets), `offset` (of
        chosen less that of rejected), `label`, `label_temperature` (T, of soft labels), `target_win_rate` (by the ratings,
        of the source of chosen against that of rejected), `mismatch_before`, `mismatch_after` (of the first model of the
        pair against its second, over all prompts), `flipped` (whether another response would be chosen without offsets).

    Raises:
        ValueError: Prompts of responses and scores differ, a model is unknown or has no rating or offset, an option is
            unknown, or no pair is left.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ResponseTable, ScoreTable, calibrated_pairs
        >>> texts = (("Hey!", "Hello."), ("See ya", "Goodbye."))
        >>> responses = ResponseTable(("p", "q"), ("Hi", "Bye"), ("o", "r"), texts)
        >>> scores = ScoreTable(("p", "q"), ("o", "r"), [[2.0, 1.0], [5.0, 1.0]])
        >>> ratings = RatingTable.from_ratings({"o": 1000, "r": 1000})
        >>> rows = calibrated_pairs(responses, scores, {"o": -2.0, "r": 0.0}, ratings)
        >>> rows["source_chosen"][:], rows["flipped"][:]
        (['r', 'o'], [True, False])

        ```
    """
    rows, _ = calibrated_pairs_with_report(
        responses,
        scores,
        offsets,
        ratings,
        labels=labels,
        pairs=pairs,
        ties=ties,
        temperature=temperature,
        min_margin=min_margin,
        mismatch_ties=mismatch_ties,
    )
    return rows


def calibrated_pairs_with_report(
    responses: ResponseTable,
    scores: ScoreTable,
    offsets: JointOffsets | Mapping[Any, Any],
    ratings: RatingTable,
    *,
    labels: str = "hard",
    pairs: str | Sequence[tuple[str, str]] | None = None,
    ties: str = "drop",
    temperature: float | str = 1.0,
    min_margin: float = 0.0,
    mismatch_ties: str = "loss",
) -> tuple[Dataset, dict[str, Any]]:
    """
    [`calibrated_pairs`], and what became of every pair.

    Args:
        responses, scores, offsets, ratings, labels, pairs, ties, temperature, min_margin, mismatch_ties:
            See [`calibrated_pairs`].

    Returns:
        `tuple[Dataset, dict]`: The rows; and for JSON: the options, `rows`, `chosen_per_model`, `flipped`, `left_out` by
        reason, `degenerate` (ids of prompts whose scores are all equal, of `pairs="extremes"`), `ratings` as used, and for
        every pair of models the same with offset, win rates and mismatch degrees before and after.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ResponseTable, ScoreTable, calibrated_pairs_with_report
        >>> texts = (("Hey!", "Hello."), ("Bye", "Bye"))
        >>> responses = ResponseTable(("p", "q"), ("Hi", "Bye"), ("o", "r"), texts)
        >>> scores = ScoreTable(("p", "q"), ("o", "r"), [[2.0, 1.0], [5.0, 5.0]])
        >>> ratings = RatingTable.from_ratings({"o": 1000, "r": 1000})
        >>> rows, report = calibrated_pairs_with_report(responses, scores, {"o": -2.0, "r": 0.0}, ratings)
        >>> report["rows"], report["left_out"]
        (1, {'empty': 0, 'identical': 1, 'tied': 0, 'below_margin': 0})

        ```
    """
    _check_options(labels, pairs, ties, min_margin)
    check_ties(mismatch_ties)
    check_rating_table(ratings)
    check_same_prompts(responses, scores)
    scores = scores.select(prompt_ids=tuple(map(str, responses.prompt_ids)))
    degenerate = np.array([], dtype=np.int64)
    if pairs == "extremes":
        groups, degenerate = candidates_of_extremes(scores, offsets, degenerate=ties == "soft")
    else:
        groups = candidates_of_pairs(scores, offsets, pairs)
    if labels == "none":  # chosen is the first model's response whatever the offset
        groups = [replace(group, flipped=np.zeros_like(group.flipped)) for group in groups]

    rows: dict[str, list[Any]] = {name: [] for name in _COLUMNS if labels in _LABELS_WITH.get(name, LABELS)}
    reports, prompts = [], []
    for group in groups:
        reason = _reasons(responses, group, labels, ties, min_margin)
        first_is_chosen = (group.margins >= 0) | (labels == "none")
        report = pair_report(scores, group, ratings, mismatch_ties, reason, first_is_chosen)
        kept = reason == ""
        columns = _rows(responses, scores, group, kept, first_is_chosen[kept], labels, temperature, report)
        for name, values in columns.items():
            rows[name].extend(values)
        reports.append(report)
        prompts.extend(group.prompts[kept])
    if pairs == "extremes":  # one row per prompt, in their order
        order = np.argsort(prompts)
        rows = {name: [values[place] for place in order] for name, values in rows.items()}
    left_out = {reason: sum(report["left_out"][reason] for report in reports) for reason in REASONS}
    if ties == "drop":
        left_out["tied"] += len(degenerate)
    if not rows["id"]:
        raise ValueError(f"no pair is left: {', '.join(f'{count} {reason}' for reason, count in left_out.items())}")
    if any(left_out.values()):
        logger.info("Pairs left out: %s.", left_out)
    models = list(dict.fromkeys(name for group in groups for name in (group.model, group.reference)))
    return Dataset.from_dict(rows), {
        "labels": labels,
        "pairs_rule": "extremes" if pairs == "extremes" else "pairs",
        "ties": ties,
        "temperature": temperature if labels == "soft" else None,
        "min_margin": min_margin,
        "mismatch_ties": mismatch_ties,
        "prompts": len(scores),
        "rows": len(rows["id"]),
        "chosen_per_model": {model: rows["source_chosen"].count(model) for model in models},
        "flipped": sum(rows["flipped"]),
        "left_out": left_out,
        "degenerate": [scores.prompt_ids[row] for row in degenerate],
        "offsets": offsets_by_model(offsets) if pairs == "extremes" or isinstance(offsets, JointOffsets) else None,
        "ratings": ratings_used(ratings, models),
        "pairs": reports,
    }


def check_same_prompts(responses: ResponseTable, scores: ScoreTable) -> None:
    """Raise a `ValueError` that names the first prompt which has responses only, or scores only."""
    answered, scored = tuple(map(str, responses.prompt_ids)), scores.prompt_ids
    for ids, others, there, lacking in (
        (answered, scored, "responses", "scores"),
        (scored, answered, "scores", "responses"),
    ):
        known = set(others)
        missing = [prompt for prompt in ids if prompt not in known]
        if missing:
            raise ValueError(
                f"prompts don't match: {len(missing)} of {len(ids)} have {there} but no {lacking}; first: {missing[0]!r}. "
                "Score all responses, or select the prompts that have both."
            )


def _check_options(labels: str, pairs: Any, ties: str, min_margin: float) -> None:
    for name, value, allowed in (("labels", labels, LABELS), ("ties", ties, TIES_AFTER)):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    if isinstance(min_margin, bool) or not isinstance(min_margin, int | float) or not 0 <= min_margin < np.inf:
        raise ValueError(f"`min_margin` must be a finite number of at least 0, got {min_margin!r}")
    if labels == "none" and pairs == "extremes":
        raise ValueError(
            '`labels="none"` needs all prompts of a pair of models; `pairs="extremes"` selects prompts by score'
        )


def _reasons(responses: ResponseTable, group: Candidates, labels: str, ties: str, min_margin: float) -> np.ndarray:
    """Why each pair is left out, `""` for those that are kept."""
    first, second = responses.of(group.model), responses.of(group.reference)
    margins = np.abs(group.margins)
    preference = labels != "none"
    checks = {
        "empty": [not first[row].strip() or not second[row].strip() for row in group.prompts],
        "identical": [first[row] == second[row] for row in group.prompts],
        "tied": (margins == 0) & (preference and ties == "drop"),
        "below_margin": (margins < min_margin) & preference,
    }
    return np.select([np.asarray(checks[reason], dtype=bool) for reason in REASONS], REASONS, default="")


def _rows(
    responses: ResponseTable,
    scores: ScoreTable,
    group: Candidates,
    kept: np.ndarray,
    first_is_chosen: np.ndarray,
    labels: str,
    temperature: float | str,
    report: Mapping[str, Any],
) -> dict[str, list[Any]]:
    rows, margins = group.prompts[kept], group.margins[kept]
    texts = [responses.of(group.model), responses.of(group.reference)]
    columns = [scores.of(group.model)[rows], scores.of(group.reference)[rows]]
    signs = np.where(first_is_chosen, 1.0, -1.0)
    expected = report["expected_win_rate"]

    def answers(wanted: np.ndarray) -> list[Any]:
        picked = zip(rows, wanted, strict=True)
        return [as_answer(responses.prompts[row], texts[0 if first else 1][row]) for row, first in picked]

    def sources(wanted: np.ndarray) -> list[str]:
        return [group.model if first else group.reference for first in wanted]

    result = {
        "id": [f"{responses.prompt_ids[row]}:{group.model}:{group.reference}" for row in rows],
        "prompt": [responses.prompts[row] for row in rows],
        "chosen": answers(first_is_chosen),
        "rejected": answers(~first_is_chosen),
        "source_chosen": sources(first_is_chosen),
        "source_rejected": sources(~first_is_chosen),
        "score_chosen": np.where(first_is_chosen, *columns).tolist(),
        "score_rejected": np.where(first_is_chosen, *columns[::-1]).tolist(),
        "offset": (signs * group.offset).tolist(),
        "target_win_rate": np.where(first_is_chosen, expected, 1 - expected).tolist(),
        "mismatch_before": [report["mismatch_before"]] * len(rows),
        "mismatch_after": [report["mismatch_after"]] * len(rows),
        "flipped": group.flipped[kept].tolist(),
    }
    if labels == "hard":
        result["label"] = np.where(margins == 0, 0.5, 1.0).tolist()
    elif labels == "soft":
        differences = scores.of(group.model) - scores.of(group.reference)
        temperature = resolve_temperature(temperature, differences)
        result["label"] = expit(np.abs(margins) / temperature).tolist()
        result["label_temperature"] = [temperature] * len(rows)
    return result


def as_answer(prompt: Any, response: str) -> str | list[dict[str, str]]:
    """A response as the preference data take it: a text to a text, the message of an assistant to messages."""
    return response if isinstance(prompt, str) else [{"role": "assistant", "content": response}]

"""Rank preference pairs by evidence that their label is wrong."""

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ..evaluation import Estimate, proportion_estimate
from ..reliability import estimate_commitment
from ..reliability.commitment import DEFAULT_PRIOR
from ..trainer.cross_fitting import assign_folds
from .head import PENALTIES, choose_penalty, cross_fit_margins, fit_head, scale_features
from .influence import cross_influence, leave_out_margins, pair_influence, self_influence
from .posterior import flag_wrong_labels
from .ranking import compare_evidence, precision_at, precision_curve
from .report import COUNT_NOTE, FLAG_NOTE, SCALE_NOTE, MislabelReport
from .rows import PairRows, pair_rows, pair_texts
from .wrong_labels import estimate_wrong_labels


EVIDENCE = ("p_wrong", "margin", "left_out_margin", "influence", "self_influence", "rank_average")
LEAVE_OUT = ("annotator", "prompt", "row")
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def find_mislabels(
    dataset: Dataset,
    features: ArrayLike | None = None,
    *,
    margins: ArrayLike | None = None,
    trusted: ArrayLike | None = None,
    wrong: ArrayLike | None = None,
    evidence: str = "p_wrong",
    leave_out: str = "annotator",
    annotator_column: str = "annotator_id",
    group_column: str | None = None,
    folds: int = 5,
    penalty: float | None = None,
    prior: tuple[float, float] = DEFAULT_PRIOR,
    fdr: float = 0.1,
    share: float = 0.1,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> MislabelReport:
    r"""
    Rank preference pairs by evidence that chosen and rejected are the wrong way round.

    | evidence | what it is | needs |
    |---|---|---|
    | `p_wrong` | posterior probability of a wrong label, from its annotator and `left_out_margin` (or `margin`) | |
    | `margin` | reward difference from models that were trained on other prompts, the lowest first | |
    | `left_out_margin` | reward difference without the label itself, in closed form; see `leave_out` | features |
    | `influence` | harm that the pair does to the fit of other pairs (or of trusted ones) | features |
    | `self_influence` | pull of the pair on the head | features |
    | `rank_average` | mean rank by `p_wrong`, `left_out_margin` and `influence` | features |

    All are computed; `evidence` says which of them ranks. Where people have labelled several pairs of a prompt, or the same
    pair, `left_out_margin` lets the others' labels of the prompt vote, which `margin` can't. Margins of models that were
    trained on the label itself are biased towards it and take no part (`in_sample_margin` is compared where the truth is
    known, to show this). How far the numbers can be believed is said in `notes` of the report.

    References:
        - Understanding Impact of Human Feedback via Influence Functions, arXiv 2501.05790: influence.
        - How Humans Help LLMs, section 3: the model of annotators.
        - Northcutt, Jiang and Chuang, Confident Learning, 2021: out-of-sample predictions to find label errors.

    Args:
        dataset ([`~datasets.Dataset`]):
            N preference rows; if there is a column of annotators, each has its η, else all share one.
        features (`array_like` of shape `(N, D)`, *optional*):
            Differences of frozen features, see [`~trl_ext.mislabels.pair_features`]. A head is trained on them in seconds.
        margins (`array_like` of shape `(N,)`, *optional*):
            Cross-fitted reward differences of whole models instead, see [`~trl_ext.trainer.cross_fit_differences`].
        trusted (`array_like` of shape `(M, D)`, *optional*):
            Features of pairs with trusted labels, on which influence is measured. By default on the other folds.
        wrong (`array_like` of shape `(N,)`, *optional*):
            The truth, to check the search: 1 for a wrong label.
        evidence (`str`, *optional*, defaults to `"p_wrong"`):
            What the table is ranked by.
        leave_out (`str`, *optional*, defaults to `"annotator"`):
            What `left_out_margin` goes without: all labels of the pair's prompt by its `annotator` (without annotators, all
            of the prompt), all labels of its `prompt`, or its own `row` alone, which is right if labels err independently
            of each other. Labels that come from one ranking do not.
        annotator_column (`str`, *optional*, defaults to `"annotator_id"`):
            Column with the annotator of each pair; may be absent.
        group_column (`str`, *optional*):
            Column that names what belongs together in a fold. By default the prompt.
        folds (`int`, *optional*, defaults to `5`):
            Number of folds; as many as there are prompts, if they are fewer.
        penalty (`float`, *optional*):
            Penalty of the head, against features of mean squared length 1. By default the best of 0.1, 0.01, 0.001,
            0.0001 by cross-fitted log loss.
        prior (`tuple[float, float]`, *optional*, defaults to `(2.0, 1.25)`):
            Beta prior on (1 + η)/2, and for `p_wrong` and the counts on the most usual value of annotators.
        fdr (`float`, *optional*, defaults to `0.1`):
            Nominal share of right labels among those that are `flagged`; see [`flag_wrong_labels`].
        share (`float`, *optional*, defaults to `0.1`):
            Share of the labels at which precision is measured.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `1000`):
            Bootstrap resamples of the comparison.
        seed (`int`, *optional*, defaults to `0`):
            Seed of folds, bootstrap and the draws behind the intervals of counts.

    Returns:
        [`MislabelReport`]

    Raises:
        `ValueError`: Bad rows, neither or both of features and margins, wrong shapes, values that are not finite, or
            fewer than two prompts.

    Example:
        ```python
        >>> report = find_mislabels(dataset, pair_features(dataset, "bundled:all-minilm-l6-v2"))
        >>> report.table[["id", "annotator_id", "p_wrong"]].head()
        >>> report.figures["wrong_labels"]
        >>> cleaned = dataset.add_column("reliability", report.reliability)
        ```
    """
    if evidence not in EVIDENCE:
        raise ValueError(f"evidence must be one of {', '.join(EVIDENCE)}, got {evidence!r}")
    if leave_out not in LEAVE_OUT:
        raise ValueError(f"leave_out must be one of {', '.join(LEAVE_OUT)}, got {leave_out!r}")
    if (features is None) == (margins is None):
        raise ValueError("give either features, of which a head is trained, or margins of cross-fitted models")
    if features is None and (evidence not in ("p_wrong", "margin") or trusted is not None):
        raise ValueError("margins alone give the evidence p_wrong and margin; influence needs features")
    if not 0 < share < 1:
        raise ValueError(f"share must lie strictly between 0 and 1, got {share}")
    rows, n = pair_rows(dataset, annotator_column, group_column), len(dataset)
    wrong = None if wrong is None else _labels(wrong, n)
    folds = min(folds, len(np.unique(rows.groups)))
    fold_of = assign_folds(rows.codes, rows.groups, folds, seed)

    scores: dict[str, np.ndarray] = {}  # higher is more suspicious
    if features is not None:
        features, trusted = _features(features, "features", n), _features(trusted, "trusted", None)
        own = rows.groups * len(rows.names) + rows.codes
        together = {"annotator": own, "prompt": rows.groups, "row": np.arange(n)}[leave_out]
        scores, penalty = _head_evidence(features, trusted, fold_of, together, penalty)
        margins, unseen = -scores["margin"], -scores["left_out_margin"]
    else:
        margins = _vector(margins, "margins", n)
        scores["margin"], unseen = -margins, margins

    commitment = estimate_commitment(unseen, rows.ids, prior=prior, level=level)
    pooled = commitment
    if len(rows.names) > 1:
        pooled = estimate_commitment(unseen, ["all"] * n, prior=prior, level=level)
    labels = estimate_wrong_labels(unseen, rows.ids, prior=prior, level=level, seed=seed)
    scores = {"p_wrong": labels.log_odds, **scores}
    if "influence" in scores:
        ranked = [rankdata(scores[name]) for name in ("p_wrong", "left_out_margin", "influence")]
        scores["rank_average"] = np.mean(ranked, axis=0)
    flagged = flag_wrong_labels(labels.p_wrong, fdr)

    eta = pooled.table.iloc[0]
    figures = {
        "wrong_labels": labels.total,
        "eta": Estimate(*(float(eta[c]) for c in ("eta", "se", "ci_low", "ci_high")), n, pooled.method),
        "scale": labels.scale,
        "accuracy": proportion_estimate(np.where(margins == 0, 0.5, margins > 0), rows.groups, level),
    }
    comparison = curve = None
    if wrong is not None:
        figures["true_wrong_share"] = proportion_estimate(wrong, rows.groups, level)
        figures["precision"] = precision_at(scores[evidence], wrong, max(1, round(share * n)), rows.groups, level)
        if 0 < wrong.sum() < n:
            settings = {"reference": evidence, "share": share, "resamples": resamples, "seed": seed, "level": level}
            comparison = compare_evidence(scores, wrong, rows.groups, **settings)
            first = {evidence: scores[evidence], **scores}
            curve = precision_curve(first, wrong, rows.groups, shares=sorted({*_SHARES, share}), level=level)
    used = {"evidence": evidence, "mode": "margins" if features is None else "head", "pairs": n}
    used |= {"groups": len(np.unique(rows.groups)), "annotators": len(rows.names) if rows.has_annotators else None}
    used |= {"folds": folds, "penalty": penalty, "prior": list(prior), "fdr": fdr, "share": share, "level": level}
    used |= {"resamples": resamples, "seed": seed, "leave_out": None if features is None else leave_out}
    used |= {"trusted_pairs": None if trusted is None else len(trusted)}
    return MislabelReport(
        _pair_table(
            dataset, rows, scores, evidence, commitment.table["eta"].to_numpy(), labels.p_wrong, flagged, wrong
        ),
        _annotator_table(commitment.table, labels.counts, rows, flagged, wrong),
        figures,
        comparison,
        curve,
        used,
        (COUNT_NOTE, FLAG_NOTE, *(() if labels.scale_is_known else (SCALE_NOTE,))),
    )


def _pair_table(
    dataset: Dataset,
    rows: PairRows,
    scores: dict[str, np.ndarray],
    evidence: str,
    eta: np.ndarray,
    p_wrong: np.ndarray,
    flagged: np.ndarray,
    wrong: np.ndarray | None,
) -> pd.DataFrame:
    n = len(dataset)
    table = pd.DataFrame(
        {"row": np.arange(n), "id": list(dataset["id"]) if "id" in dataset.column_names else range(n)}
    )
    table["annotator_id"] = rows.ids if rows.has_annotators else None
    for name in ("margin", "left_out_margin"):
        table[name] = -scores[name] if name in scores else np.nan
    for name in ("influence", "self_influence"):
        table[name] = scores.get(name, np.nan)
    table["eta"], table["p_wrong"] = eta[rows.codes], p_wrong
    table["evidence"] = p_wrong if evidence == "p_wrong" else scores[evidence]
    table["flagged"] = flagged
    if wrong is not None:
        table["wrong"] = wrong
    for name, texts in pair_texts(dataset).items():
        table[name] = texts
    table = table.iloc[np.argsort(-scores[evidence], kind="stable")].reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, n + 1))
    return table


def _head_evidence(
    features: np.ndarray,
    trusted: np.ndarray | None,
    fold_of: np.ndarray,
    together: np.ndarray,
    penalty: float | None,
) -> tuple[dict[str, np.ndarray], float]:
    """Evidence of a head on frozen features, higher being more suspicious, and the penalty."""
    if trusted is not None and trusted.shape[1] != features.shape[1]:
        raise ValueError(f"trusted must have {features.shape[1]} features as the pairs have, got {trusted.shape[1]}")
    x, *others = scale_features(features, *([] if trusted is None else [trusted]))
    penalty = choose_penalty(x, fold_of, PENALTIES) if penalty is None else penalty
    head = fit_head(x, penalty)
    fitted = head.margins(x)
    scores = {
        "margin": -cross_fit_margins(x, fold_of, penalty),
        "left_out_margin": -leave_out_margins(head, x, together),
        "influence": pair_influence(head, x, others[0]) if others else cross_influence(x, fold_of, penalty),
        "self_influence": self_influence(head, x),
        "in_sample_margin": -fitted,
    }
    return scores, penalty


def _annotator_table(
    commitment: pd.DataFrame,
    counts: list[Estimate],
    rows: PairRows,
    flagged: np.ndarray,
    wrong: np.ndarray | None,
) -> pd.DataFrame:
    columns = ["annotator_id", "n", "eta", "se", "ci_low", "ci_high", "adversarial", "better_than_chance"]
    table = commitment[columns].copy()
    table["expected_wrong"] = [count.value for count in counts]
    table["wrong_low"] = [count.ci_low for count in counts]
    table["wrong_high"] = [count.ci_high for count in counts]
    table["flagged"] = np.bincount(rows.codes[flagged], minlength=len(counts))
    table["share_flagged"] = table["flagged"] / table["n"]
    if wrong is not None:
        table["wrong"] = np.bincount(rows.codes, wrong, len(counts)).astype(np.int64)
    if not rows.has_annotators:
        table["annotator_id"] = None
    return table


def _features(values: ArrayLike | None, name: str, n: int | None) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape or (n is not None and len(array) != n):
        raise ValueError(f"{name} must have shape ({'M' if n is None else n}, D), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise ValueError(f"{name} has {bad.size} rows with values that are not finite; first: row {bad[0]}")
    return array


def _vector(values: ArrayLike, name: str, n: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"{name} must have one value per row, shape ({n},), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"{name} has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array


def _labels(values: ArrayLike, n: int) -> np.ndarray:
    array = _vector(values, "wrong", n)
    bad = np.flatnonzero((array != 0) & (array != 1))
    if bad.size:
        raise ValueError(
            f"wrong must hold 0 and 1; {bad.size} values do not, first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array.astype(np.int64)

"""From tables of duplicate or expert labels to: how good is each annotator, and how many more checks are needed?"""

import logging
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from ..evaluation.statistics import adjust_p_values, proportion_estimate
from ._checks import as_count, check_level, positive_c
from .checks_table import Checks, expert_checks, self_checks
from .estimation import EtaEstimate, eta_estimate, eta_of_counts
from .forecast import checks_for_decision, forecast_messages, missing_for_width
from .item_estimation import eta_of_items, item_test
from .model import agreement_probability
from .monitor_c import MonitorC, c_from_delta, c_from_items, c_from_trusted
from .monitoring_report import MonitoringReport


logger = logging.getLogger(__name__)

MONITORS = ("self", "expert")
DEFAULT_DELTA = 0.02


def monitor_annotators(
    table: pd.DataFrame,
    monitor: Literal["self", "expert"] = "self",
    *,
    c: float | None = None,
    delta: float | None = None,
    delta_convention: Literal["paper", "model"] = "paper",
    expert: float | Literal["p"] = 1.0,
    expert_table: pd.DataFrame | None = None,
    trusted: Sequence[Hashable] | None = None,
    trusted_eta: float = 1.0,
    eta0: float = 0.5,
    eta1: float = 0.8,
    alpha: float = 0.05,
    beta: float = 0.1,
    half_width: float = 0.1,
    level: float = 0.95,
    method: Literal["mid-p", "clopper-pearson"] = "mid-p",
    allow_negative: bool = False,
    n_categories: int | None = None,
) -> MonitoringReport:
    r"""
    Estimate the commitment of every annotator from real labels, test it against a standard, and say what is missing.

    - `"self"`: an annotator's repeated labels of an item are paired in the order of the rows (first with second, third
      with fourth); no label is used twice.
    - `"expert"`: an annotator's first label of an item is compared with the expert's.

    The c that turns agreement into commitment is `c`, or comes from the agreements of `trusted` annotators, or, with
    `"self"`, from `delta`: give one. With `"expert"` and none of them it comes from a column `p` with the true probability that the first response is better,
    which is then used item by item ([`estimate_eta_items`]). An expert without any of these is an error: the c of the
    expert is the clarity of the pairs, and cannot be guessed.

    `"self"` takes commitment to a pair as one thing for both labels, as the paper does. If annotators decide anew at every
    label whether to take care, they agree with probability \( (1 + c\,\eta^2)/2 \), and the square roots of `eta`,
    `ci_low` and `ci_high` are right. Self-consistency cannot tell which; an expert's labels of some of the pairs can.

    Decisions are exact: binomial where all checks have one c, and by the distribution of a sum of weighted agreements where
    every item has its own (see [`item_test`]).

    With K kinds of labels, guesses are taken to agree with probability 1/K. Checks are taken as independent given η; the
    pooled interval allows for annotators that differ. Rows without a label are counted, not used.

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387, algorithms 1 and 2, proposition 2.

    Args:
        table (`pandas.DataFrame`):
            One row per label: `item_id`, `annotator_id`, `label` (0/1, True/False or any categories; missing where none
            was given). With `"expert"` and without `expert_table` also `expert_label` and, if known, `p`.
        monitor (`"self"` or `"expert"`, *optional*, defaults to `"self"`):
            What labels are compared with.
        c (`float`, *optional*):
            Known c, in (0, 1].
        delta (`float`, *optional*, defaults to `0.02`):
            Probability that a committed annotator answers differently the second time; only `"self"`, and without `c` and
            `trusted`.
        delta_convention (`"paper"` or `"model"`, *optional*, defaults to `"paper"`):
            See [`self_consistency_c`].
        expert (`float` or `"p"`, *optional*, defaults to `1.0`):
            Probability that the expert reports the better response, see [`expert_c_items`]; used with column `p`.
        expert_table (`pandas.DataFrame`, *optional*):
            One row per item: `item_id`, `expert_label` and, if known, `p`. If its `item_id` are text and those of `table`
            numbers, or the other way round, both are compared as text.
        trusted (sequence of ids, *optional*):
            Annotators of known commitment, from whose checks c is estimated.
        trusted_eta (`float`, *optional*, defaults to `1.0`):
            Their commitment.
        eta0 (`float`, *optional*, defaults to `0.5`):
            The standard: decisions say whose η is above or below it.
        eta1 (`float`, *optional*, defaults to `0.8`):
            Commitment that is to be recognised as above the standard; only for `more_checks_decision`.
        alpha (`float`, *optional*, defaults to `0.05`):
            Chance of finding anyone wrongly above, and anyone wrongly below (Holm's correction over annotators).
        beta (`float`, *optional*, defaults to `0.1`):
            Chance of not recognising an annotator at eta1, for `more_checks_decision`.
        half_width (`float`, *optional*, defaults to `0.1`):
            Wanted half width of every interval, for `more_checks_half_width`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`"mid-p"` or `"clopper-pearson"`, *optional*, defaults to `"mid-p"`):
            Interval, see [`agreement_interval`].
        allow_negative (`bool`, *optional*, defaults to `False`):
            Whether η may lie below 0: an annotator who contradicts the expert more often than a coin does.
        n_categories (`int`, *optional*):
            Number of labels to choose from; by default that of the labels that occur, at least two.

    Returns:
        [`MonitoringReport`]

    Raises:
        ValueError: Missing columns, no check at all, values out of range, and no way or more than one to know c.
        TypeError: Labels of different kinds, such as "1" and 1.

    Example:
        ```python
        >>> import pandas as pd
        >>> from trl_ext.annotators import monitor_annotators
        >>> labels = [("ann", 1, 1)] * 58 + [("ann", 1, 0)] * 2 + [("bob", 1, 1)] * 33 + [("bob", 1, 0)] * 27
        >>> rows = [(i, who, x) for i, (who, *both) in enumerate(labels) for x in both]
        >>> report = monitor_annotators(pd.DataFrame(rows, columns=["item_id", "annotator_id", "label"]))
        >>> report.table[["annotator_id", "n_checks", "eta", "ci_low", "ci_high", "decision"]].round(2)
          annotator_id  n_checks   eta  ci_low  ci_high decision
        0          ann        60  0.95     0.8     1.00    above
        1          bob        60  0.10     0.0     0.35    below
        ```
    """
    if monitor not in MONITORS:
        raise ValueError(f"monitor must be one of {', '.join(MONITORS)}, got {monitor!r}")
    if not 0 <= eta0 < eta1 <= 1:
        raise ValueError(f"eta0 and eta1 must satisfy 0 <= eta0 < eta1 <= 1, got {eta0} and {eta1}")
    for name, value in (("alpha", alpha), ("beta", beta), ("half_width", half_width)):
        check_level(value, name)
    given = [name for name, value in (("c", c), ("trusted", trusted), ("delta", delta)) if value is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} all say what c is: give one of them")
    if monitor == "expert" and delta is not None:
        raise ValueError("delta is not used with monitor=\"expert\"; drop it, or give c, trusted or a column 'p'")
    if monitor == "self":
        if expert_table is not None:
            raise ValueError('expert_table is not used with monitor="self"; drop it or set monitor="expert"')
        checks = self_checks(table)
    else:
        checks = expert_checks(table, expert_table)
    if checks.checks.empty:
        what = "labelled an item twice" if monitor == "self" else "labelled an item that has an expert_label"
        raise ValueError(f"there is nothing to check: no annotator {what}")
    chance = _chance(checks, n_categories)

    if c is not None:
        known = MonitorC(positive_c(c), "given")
    elif trusted is not None:
        known = c_from_trusted(checks, trusted, trusted_eta, level, method, chance)
    elif monitor == "self":
        known = c_from_delta(DEFAULT_DELTA if delta is None else delta, delta_convention, chance)
    else:
        known = c_from_items(checks, expert, chance)
    c = known.c

    estimates, tests = {}, {}
    for annotator, own in checks.checks.groupby("annotator_id", sort=False):
        agree = own["agree"].to_numpy()
        k, n = int(agree.sum()), agree.size
        if known.items is None:
            estimates[annotator] = eta_of_counts(k, n, c, level, method, allow_negative, chance)
            q0 = agreement_probability(eta0, c, chance)
            p_values = stats.binom.sf(k - 1, n, q0), stats.binom.cdf(k, n, q0)
        elif not known.items[own.index].any():  # coin flips all
            continue
        else:
            estimates[annotator] = eta_of_items(agree, known.items[own.index], level, allow_negative)
            p_values = item_test(agree, known.items[own.index], eta0)
        if known.estimate is None or annotator not in trusted:  # to test them by their own c would go in a circle
            tests[annotator] = p_values

    frame = _frame(checks, estimates, tests, alpha)
    each = alpha / max(len(tests), 1)  # at which Holm's correction rejects whatever the others do
    needed = checks_for_decision(eta0, eta1, c, each, beta, chance)
    frame["more_checks_decision"] = np.where(
        frame["decision"].isin(("undecided", "no checks")), np.maximum(needed - frame["n_checks"], 0), 0
    )
    frame["more_checks_half_width"] = missing_for_width(frame, c, half_width, level, method, chance)
    messages = (*_messages(frame, estimates, checks), *forecast_messages(frame, needed))
    for message in messages:
        logger.warning(message)
    return MonitoringReport(
        table=frame,
        pooled=_pooled(checks.checks, c, level, method, chance, allow_negative),
        heterogeneity=_heterogeneity(checks.checks, estimates),
        monitor=monitor,
        c=c,
        c_source=known.source,
        c_estimate=known.estimate,
        items_known=known.items is not None,
        chance=chance,
        eta0=eta0,
        eta1=eta1,
        alpha=alpha,
        beta=beta,
        half_width=half_width,
        level=level,
        checks_for_decision=needed,
        allow_negative=allow_negative,
        method=_method(estimates, items_known=known.items is not None),
        messages=messages,
    )


def _chance(checks: Checks, n_categories: int | None) -> float:
    seen = len(checks.categories)
    if n_categories is None:
        return 1 / max(seen, 2)
    n_categories = as_count(n_categories, "n_categories", 1)
    if n_categories < max(seen, 2):
        raise ValueError(
            f"n_categories must be at least {max(seen, 2)}, the labels that occur are {checks.categories}"
        )
    return 1 / n_categories


def _method(estimates: dict[Hashable, EtaEstimate], items_known: bool) -> str:
    if not estimates:
        return "no informative checks"
    test = "test of the weighted agreements" if items_known else "binomial test of the agreements"
    return f"{next(iter(estimates.values())).method}; decisions by the exact {test}"


def _frame(checks: Checks, estimates: dict, tests: dict, alpha: float) -> pd.DataFrame:
    frame = checks.counts.reset_index()
    found = [estimates.get(annotator) for annotator in frame["annotator_id"]]
    frame["n_checks"] = [0 if each is None else each.n for each in found]
    frame["agreements"] = [0 if each is None else each.agreements for each in found]
    for column, attribute in (
        ("eta", "value"),
        ("se", "se"),
        ("ci_low", "ci_low"),
        ("ci_high", "ci_high"),
        ("eta_unclipped", "unclipped"),
        ("ci_low_unclipped", "unclipped_ci_low"),
        ("ci_high_unclipped", "unclipped_ci_high"),
    ):
        frame[column] = [np.nan if each is None else getattr(each, attribute) for each in found]
    decision = np.where(frame["n_checks"] > 0, "trusted", "no checks").astype(object)
    decision[frame["annotator_id"].isin(list(tests))] = "undecided"
    for side, name in enumerate(("above", "below")):
        adjusted = dict(zip(tests, adjust_p_values([p_values[side] for p_values in tests.values()]), strict=True))
        frame[f"p_{name}"] = [tests[each][side] if each in tests else np.nan for each in frame["annotator_id"]]
        frame[f"p_{name}_holm"] = [adjusted.get(each, np.nan) for each in frame["annotator_id"]]
        decision[(frame[f"p_{name}_holm"] <= alpha).to_numpy()] = name
    frame["decision"] = decision
    return frame


def _pooled(
    checks: pd.DataFrame, c: float, level: float, method: str, chance: float, allow_negative: bool
) -> EtaEstimate:
    """Mean commitment of the checks: the share of agreements, with annotators as clusters."""
    agreements = int(checks["agree"].sum())
    if checks["annotator_id"].nunique() == 1:
        return eta_of_counts(agreements, len(checks), c, level, method, allow_negative, chance)
    share = proportion_estimate(checks["agree"].astype(float), checks["annotator_id"].to_numpy(), level)
    slope = (1 - chance) * c
    return eta_estimate(
        unclipped=(share.value - chance) / slope,
        ends=((share.ci_low - chance) / slope, (share.ci_high - chance) / slope),
        se=share.se / slope,
        n=share.n,
        agreements=agreements,
        c=c,
        level=level,
        log_likelihood=lambda eta: np.nan,
        method=f"agreement, clustered by annotator: {share.method}",
        allow_negative=allow_negative,
    )


def _heterogeneity(checks: pd.DataFrame, estimates: dict[Hashable, EtaEstimate]) -> dict[str, float]:
    """Whether annotators differ: chi-square test of equal agreement, and their spread beyond chance."""
    counts = pd.crosstab(checks["annotator_id"], checks["agree"])
    if counts.shape != (len(estimates), 2) or len(estimates) < 2:
        return {"chi2": 0.0, "degrees": len(estimates) - 1, "p_value": 1.0, "sd_between": 0.0}
    test = stats.chi2_contingency(counts, correction=False)
    values = np.array([each.unclipped for each in estimates.values()])
    noise = np.mean([each.se**2 for each in estimates.values()])
    return {
        "chi2": float(test.statistic),
        "degrees": int(test.dof),
        "p_value": float(test.pvalue),
        "sd_between": float(np.sqrt(max(values.var(ddof=1) - noise, 0.0))),
    }


def _messages(frame: pd.DataFrame, estimates: dict[Hashable, EtaEstimate], checks: Checks) -> tuple[str, ...]:
    messages = []
    if missing := int(frame["n_missing"].sum()):
        messages.append(f"{missing} of {frame['n_labels'].sum()} rows have no label and were not used")
    if without := frame["annotator_id"][frame["n_checks"] == 0].tolist():
        messages.append(f"{len(without)} annotators have no checks: {', '.join(map(repr, without[:10]))}")
    messages += [f"{annotator!r}: {each.note}" for annotator, each in estimates.items() if each.note]
    if uninformative := int(len(checks.checks) - frame["n_checks"].sum()):
        messages.append(f"{uninformative} checks on items of probability 0.5 only tell nothing about their annotators")
    if len(checks.categories) > 2:
        messages.append(f"{len(checks.categories)} kinds of labels: guesses are taken to agree once in as many times")
    return tuple(messages)

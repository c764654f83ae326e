"""From tables of duplicate or expert labels to: how good is each annotator, and how many more checks are needed?"""

import functools
import logging
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ..evaluation.multiple_testing import adjust_p_values
from ..evaluation.statistics import Estimate, proportion_estimate
from ._checks import check_level, positive_c
from .checks_table import Checks, expert_checks, self_checks
from .estimation import EtaEstimate, estimate_c, eta_estimate, eta_of_counts
from .item_estimation import eta_of_items, item_test
from .model import agreement_probability, expert_c_items, self_consistency_c
from .monitoring_report import MonitoringReport
from .planning import plan_sample_size


logger = logging.getLogger(__name__)

MONITORS = ("self", "expert")


def monitor_annotators(
    table: pd.DataFrame,
    monitor: Literal["self", "expert"] = "self",
    *,
    c: float | None = None,
    delta: float = 0.02,
    delta_convention: Literal["paper", "model"] = "paper",
    expert: float | ArrayLike | Literal["p"] = 1.0,
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

    The c that turns agreement into commitment comes from, in this order: `c`; the agreements of `trusted` annotators;
    with `"self"`, `delta`; with `"expert"`, a column `p` with the true probability that the first response is better,
    which is then used item by item ([`estimate_eta_items`]). An expert without any of these is an error: the c of the
    expert is the clarity of the pairs, and cannot be guessed.

    `"self"` takes commitment to a pair as one thing for both labels, as the paper does. If annotators decide anew at every
    label whether to take care, they agree with probability \( (1 + c\,\eta^2)/2 \), and the square roots of `eta`,
    `ci_low` and `ci_high` are right. Self-consistency cannot tell which; an expert's labels of some of the pairs can.

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
            Probability that a committed annotator answers differently the second time; only `"self"`.
        delta_convention (`"paper"` or `"model"`, *optional*, defaults to `"paper"`):
            See [`self_consistency_c`].
        expert (`float` or `"p"`, *optional*, defaults to `1.0`):
            Probability that the expert reports the better response, see [`expert_c_items`]; used with column `p`.
        expert_table (`pandas.DataFrame`, *optional*):
            One row per item: `item_id`, `expert_label` and, if known, `p`.
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
        ValueError: Missing columns, no check at all, values out of range, or no way to know c.
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

    item_c, c_estimate = None, None
    if c is not None:
        c, source = positive_c(c), "given"
    elif trusted is not None:
        c_estimate = _c_of_trusted(checks, trusted, trusted_eta, level, method, chance)
        c, source = c_estimate.value, f"{c_estimate.n} checks of trusted annotators"
    elif monitor == "self":
        c, source = (
            positive_c(self_consistency_c(delta, delta_convention, chance)),
            f"delta {delta:g}, {delta_convention}",
        )
    elif "p" in checks.checks:
        if chance != 0.5:
            raise ValueError("column 'p' needs labels of two kinds; give c instead")
        item_c = expert_c_items(checks.checks["p"], expert)
        c, source = positive_c(float(item_c.mean())), "probabilities of the items"
    else:
        raise ValueError(
            "the expert monitor needs to know how often a committed annotator would agree with the expert: give c (twice "
            "that share, minus 1), a column 'p' with the true probabilities of the items, or trusted annotators"
        )

    estimates, tests = {}, {}
    for annotator, own in checks.checks.groupby("annotator_id", sort=False):
        agree = own["agree"].to_numpy()
        if item_c is None or not item_c[own.index].any():
            estimates[annotator] = eta_of_counts(
                int(agree.sum()), agree.size, c, level, method, allow_negative, chance
            )
            q0 = agreement_probability(eta0, c, chance)
            tests[annotator] = (
                stats.binom.sf(agree.sum() - 1, agree.size, q0),
                stats.binom.cdf(agree.sum(), agree.size, q0),
            )
        else:
            estimates[annotator] = eta_of_items(agree, item_c[own.index], level, allow_negative)
            tests[annotator] = item_test(agree, item_c[own.index], eta0)

    frame = _frame(checks, estimates, tests, alpha)
    needed = plan_sample_size(c, eta0=eta0, eta1=eta1, alpha=alpha / len(estimates), beta=beta, chance=chance).n
    frame["more_checks_decision"] = np.where(
        frame["decision"].isin(("undecided", "no checks")), np.maximum(needed - frame["n_checks"], 0), 0
    )
    frame["more_checks_half_width"] = _missing_for_width(frame, c, half_width, level, method, chance)
    messages = _messages(frame, estimates, checks)
    for message in messages:
        logger.warning(message)
    return MonitoringReport(
        table=frame,
        pooled=_pooled(checks.checks, c, level, method, chance, allow_negative),
        heterogeneity=_heterogeneity(checks.checks, estimates),
        monitor=monitor,
        c=c,
        c_source=source,
        c_estimate=c_estimate,
        items_known=item_c is not None,
        chance=chance,
        eta0=eta0,
        eta1=eta1,
        alpha=alpha,
        beta=beta,
        half_width=half_width,
        level=level,
        checks_for_decision=needed,
        allow_negative=allow_negative,
        method=next(iter(estimates.values())).method,
        messages=messages,
    )


def _chance(checks: Checks, n_categories: int | None) -> float:
    seen = len(checks.categories)
    if n_categories is None:
        return 1 / max(seen, 2)
    if n_categories < max(seen, 2):
        raise ValueError(
            f"n_categories must be at least {max(seen, 2)}, the labels that occur are {checks.categories}"
        )
    return 1 / n_categories


def _c_of_trusted(
    checks: Checks, trusted: Sequence[Hashable], eta: float, level: float, method: str, chance: float
) -> Estimate:
    unknown = [annotator for annotator in trusted if annotator not in checks.counts.index]
    if unknown or isinstance(trusted, str):
        raise ValueError(f"trusted must be a list of annotator ids; not in the table: {unknown or trusted!r}")
    own = checks.checks["annotator_id"].isin(trusted)
    if not own.any():
        raise ValueError(f"trusted annotators {list(trusted)} have no checks")
    agreements = int(checks.checks["agree"][own].sum())
    found = estimate_c(agreements, int(own.sum()), eta, level, method=method, chance=chance)
    if found.value <= 0:
        raise ValueError(f"trusted annotators agree in {agreements} of {found.n} checks, no more than guesses do")
    return found


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
    decision = np.where(frame["n_checks"] > 0, "undecided", "no checks").astype(object)
    for side, name in enumerate(("above", "below")):
        p = np.array([tests[annotator][side] for annotator in estimates])
        adjusted = dict(zip(estimates, adjust_p_values(p), strict=True))
        frame[f"p_{name}"] = [tests[each][side] if each in tests else np.nan for each in frame["annotator_id"]]
        frame[f"p_{name}_holm"] = [adjusted.get(each, np.nan) for each in frame["annotator_id"]]
        decision[(frame[f"p_{name}_holm"] <= alpha).to_numpy()] = name
    frame["decision"] = decision
    return frame


def _missing_for_width(
    frame: pd.DataFrame, c: float, half_width: float, level: float, method: str, chance: float
) -> np.ndarray:
    @functools.cache
    def needed(eta: float) -> int:
        return plan_sample_size(c, half_width=half_width, eta=eta, level=level, method=method, chance=chance).n

    # to two decimals towards 0, where more is needed; somebody without checks may be anybody
    etas = np.floor(frame["eta"].fillna(0).clip(0, 1) * 100) / 100
    return np.array([max(needed(eta) - n, 0) for eta, n in zip(etas, frame["n_checks"], strict=True)])


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
    if len(checks.categories) > 2:
        messages.append(f"{len(checks.categories)} kinds of labels: guesses are taken to agree once in as many times")
    return tuple(messages)

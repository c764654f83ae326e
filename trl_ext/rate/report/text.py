"""A report of effects in words, and as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.table_formats import to_markdown
from .rows import SD_AS_KNOWN


_SHOWN = {"rate": "RATE", "single_rewrite": "single rewrite", "wald": "RATE / compliance"} | {
    "feature_adjusted": "RATE, feature-adjusted",
    "symmetric": "RATE, symmetric",
    "aipw": "AIPW, no rewrites",
    "rewrite": "rewriting itself",
}
_MARK = "†"  # of intervals for which the sd counts as known


def number(value: float | None, *, sign: bool = False, digits: int = 2) -> str:
    """A number without the zero before the point: `.05`, `+1.20`, `∞`; `–` if there is none."""
    if value is None or pd.isna(value):
        return "–"
    if not np.isfinite(value):
        return "∞" if value > 0 else "-∞"
    text = f"{abs(value):,.{digits}f}"
    text = text.removeprefix("0") if text.startswith("0.") else text
    minus = value < 0 and text.strip("0.") != ""
    return ("-" if minus else "+" if sign else "") + text


def interval(low: float | None, high: float | None, *, digits: int = 2) -> str:
    """`[.27, .35]`, or nothing if it is not known."""
    return "" if pd.isna(low) or pd.isna(high) else f"[{number(low, digits=digits)}, {number(high, digits=digits)}]"


def digits_of(low: float | None, high: float | None) -> int:
    """Digits after the point that show how long an interval is: two, or more if it is short (not of rounding errors)."""
    if pd.isna(low) or pd.isna(high) or not 1e-5 < (half := (high - low) / 2) < np.inf:
        return 2
    return max(2, 1 + int(np.floor(-np.log10(half))))


def sentences(
    effects: pd.DataFrame, excluded: Mapping[tuple[str, str], Mapping[str, int]], treated: Mapping[str, str]
) -> list[str]:
    """
    RATE's ATE in words, a sentence for each data set, attribute and reward model, and what was left out.

    Args:
        effects (`pandas.DataFrame`): Effects of a report.
        excluded (`Mapping`): Rows left out by reason, by data set and attribute.
        treated (`Mapping[str, str]`): By attribute, what a text with it is: `"longer"`.

    Returns:
        `list[str]`
    """
    rows = effects[(effects["estimator"] == "rate") & (effects["estimand"] == "ATE")]
    tests = int((effects["p_value"].notna() & (effects["estimator"] == "rate")).sum())
    said = [_sentence(row, treated, tests) for row in rows.to_dict("records")]
    for (data_set, attribute), reasons in excluded.items():
        parts = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in reasons.items())
        said.append(f"{data_set}, {attribute}: {sum(reasons.values())} rows were left out ({parts}).")
    return said


def _sentence(row: Mapping[str, Any], treated: Mapping[str, str], tests: int) -> str:
    attribute = row["attribute"]
    texts = f"{treated[attribute]} texts" if attribute in treated else f"texts with {attribute.replace('_', ' ')}"
    start = f"{row['dataset']}: {row['reward_model']}"
    if pd.isna(row["value"]):
        return f"{start}: what it pays for {texts} can't be estimated from these rows."
    normalised = pd.notna(row["normalised"])
    unit = " sd" if normalised else " of reward"
    value = row["normalised"] if normalised else row["value"]
    bounds = [row[f"normalised_{end}" if normalised else end] for end in ("ci_low", "ci_high")]
    digits, ends = digits_of(*bounds), interval(*bounds, digits=digits_of(*bounds))
    figure = f"{number(value, sign=True, digits=digits)}{unit}{' ' + ends if ends else ''}"
    mde = row["mde_normalised" if normalised else "mde"]
    power = f"; minimum detectable {number(mde, digits=digits)}" if pd.notna(mde) else ""
    count = f"n = {int(row['n']):,}"
    if pd.isna(row["significant"]):
        return f"{start} pays {figure} for {texts} ({count}; uncertainty unknown)."
    if not row["significant"] and (bounds[0] > 0 or bounds[1] < 0):
        after = f" after correction for {tests} tests" if tests > 1 else ""
        return f"{start}: {figure} for {texts}, not significant{after} ({count}{power})."
    if not row["significant"]:
        return f"{start}: no effect of {texts} was found, {figure} ({count}{power})."
    return f"{start} pays {figure} for {texts} ({count}{power})."


def markdown(
    effects: pd.DataFrame, contrasts: pd.DataFrame, combined: pd.DataFrame, said: Sequence[str], notes: Sequence[str],
    settings: Mapping[str, Any],
) -> str:  # fmt: skip
    """
    The report for reading: sentences, a table of effects for each data set and attribute, contrasts, combined effects.

    Args:
        effects, contrasts, combined (`pandas.DataFrame`): Of a report.
        said (`Sequence[str]`): Its sentences.
        notes (`Sequence[str]`): Its notes.
        settings (`Mapping`): Its settings.
    """
    lines = ["# What reward models pay for", "", *(f"- {sentence}" for sentence in said), ""]
    level, power = settings["level"], settings["power"]
    lines += [
        f"Effects in standard deviations of the rewards of originals (sd), with {level:.0%} intervals. MDE: the effect that "
        f"one test finds with {power:.0%} power; after correction for many tests it takes a larger one. p: corrected for "
        f"many tests ({settings['correction']}).",
        "",
    ]
    if effects["normalised_method"].map(_sd_as_known).any():
        lines += [
            f"{_MARK} The sd is taken as known in this interval; in the others its uncertainty is contained.",
            "",
        ]
    for (data_set, attribute), own in effects.groupby(["dataset", "attribute"], sort=False):
        lines += [f"## {data_set}: {attribute}", "", to_markdown(_effects(own))]
    contrasts = contrasts[contrasts["unit"] == "sd"]
    if len(contrasts):
        lines += ["## Reward models against one another", "", to_markdown(_contrasts(contrasts))]
    if len(combined):
        lines += ["## Several data sets", "", to_markdown(_combined(combined))]
    if notes:
        lines += ["## Notes", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)


def _effects(own: pd.DataFrame) -> pd.DataFrame:
    rewards = _figures(own, "value", "ci_low", "ci_high")
    figures = _figures(own, "normalised", "normalised_ci_low", "normalised_ci_high", mde="mde_normalised")
    return pd.DataFrame(
        {
            "reward model": own["reward_model"],
            "estimator": own["estimator"].map(lambda name: _SHOWN.get(name, name)),
            "of": own["estimand"],
            "reward": rewards["value"],
            "sd": figures["value"],
            "interval (sd)": [
                f"{ends}{_MARK}" if ends and _sd_as_known(method) else ends
                for ends, method in zip(figures["interval"], own["normalised_method"], strict=True)
            ],
            "MDE (sd)": figures["mde"],
            "p": [_p(value) for value in own["p_adjusted"]],
            "n": own["n"],
        }
    )


def _sd_as_known(method: Any) -> bool:
    return isinstance(method, str) and method.endswith(SD_AS_KNOWN)


def _contrasts(own: pd.DataFrame) -> pd.DataFrame:
    figures = _figures(own, "value", "ci_low", "ci_high")
    return pd.DataFrame(
        {
            "data set": own["dataset"],
            "attribute": own["attribute"],
            "reward model": own["reward_model"],
            "minus": own["baseline"],
            "of": own["estimand"],
            "difference (sd)": figures["value"],
            "interval (sd)": figures["interval"],
            "p": [_p(value) for value in own["p_adjusted"]],
            "n": own["n"],
        }
    )


def _combined(own: pd.DataFrame) -> pd.DataFrame:
    figures = _figures(own, "normalised", "normalised_ci_low", "normalised_ci_high", mde="tau")
    return pd.DataFrame(
        {
            "attribute": own["attribute"],
            "reward model": own["reward_model"],
            "estimator": own["estimator"].map(lambda name: _SHOWN.get(name, name)),
            "of": own["estimand"],
            "mean (sd)": figures["value"],
            "interval (sd)": figures["interval"],
            "data sets": own["data_sets"],
            "p that they agree": [_p(value) for value in own["q_p_value"]],
            "sd between them": figures["mde"],
        }
    )


def _figures(own: pd.DataFrame, value: str, low: str, high: str, mde: str | None = None) -> dict[str, list[str]]:
    """Figures of rows with as many digits as the interval of each allows."""
    found: dict[str, list[str]] = {"value": [], "interval": [], "mde": []}
    for row in own.to_dict("records"):
        digits = digits_of(row[low], row[high])
        found["value"].append(number(row[value], sign=True, digits=digits))
        found["interval"].append(interval(row[low], row[high], digits=digits))
        found["mde"].append(number(row[mde], digits=digits) if mde else "")
    return found


def _p(value: float) -> str:
    return "–" if pd.isna(value) else "< .001" if value < 0.001 else number(value, digits=2 if value >= 0.01 else 3)

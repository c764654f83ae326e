"""What an evaluation of a calibration writes: figures, tables and plots."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.atomic_files import remove_stale
from tasks.json_files import write_json
from trl_ext import reporting
from trl_ext.arena import HumanPairsChange, MismatchChange, RatingAgreement, RewardDrift
from trl_ext.atomic_files import write_text_atomically
from trl_ext.evaluation import Estimate, PairedComparison
from trl_ext.evaluation.leaderboards.leaderboard import to_markdown


logger = logging.getLogger("tasks.charm.evaluate")

GROUP_NAMES = {
    "calibrated": "calibrated pairs",
    "partly": "pairs with a calibrated model",
    "held_out": "held-out pairs",
    "all": "all pairs",
}


@dataclass(frozen=True)
class Report:
    """
    All that is known of a calibrated model.

    Args:
        before (`str`): Name of the reward model before.
        after (`str`): Name of the calibrated one.
        mismatch ([`~trl_ext.arena.MismatchChange`]): Mismatch degrees.
        mismatch_tables (`dict[str, pandas.DataFrame]`): Those `before` and `after`, each by itself.
        agreement (`dict[str, RatingAgreement]`): Correlation with the ratings `before` and `after`.
        drift ([`~trl_ext.arena.RewardDrift`] or `str`): Scale, order, length and format, or why there are no such figures.
        human ([`~trl_ext.arena.HumanPairsChange`] or `None`): Human pairs.
        benchmarks (`dict[str, dict[str, PairedComparison]]`): Comparisons by benchmark and figure.
        benchmark_table (`dict[str, pandas.DataFrame]`): The same with the values, a table per benchmark.
        data (`dict[str, Any]`): What was compared.
        provenance (`dict[str, Any]`): How.
    """

    before: str
    after: str
    mismatch: MismatchChange
    mismatch_tables: dict[str, pd.DataFrame]
    agreement: dict[str, RatingAgreement]
    drift: RewardDrift | str
    human: HumanPairsChange | None
    benchmarks: dict[str, dict[str, PairedComparison]]
    benchmark_table: dict[str, pd.DataFrame]
    data: dict[str, Any]
    provenance: dict[str, Any]

    def headline(self) -> list[dict[str, Any]]:
        """Rows of the table: `figure, before, after, change, ci_low, ci_high, n, verdict`."""
        rows = [
            _row(
                f"mean absolute mismatch, {GROUP_NAMES[group]}",
                *(self.mismatch.figure(group, column) for column in ("before", "after", "change")),
                better=-1,
            )
            for group in self.mismatch.summary["group"]
        ]
        for name in ("spearman", "kendall"):
            values = {when: getattr(found, name) for when, found in self.agreement.items()}
            change = Estimate(
                values["after"].value - values["before"].value, *[float("nan")] * 3, values["after"].n, "no interval"
            )
            rows.append(_row(f"{name} of mean reward and rating", values["before"], values["after"], change))
        if self.human is not None:
            rows.append(
                _row(
                    "accuracy on human pairs", self.human.accuracy_before, self.human.accuracy_after, self.human.change
                )
            )
            verdict = "not worse" if self.human.not_worse else "not shown to be not worse"
            rows[-1]["verdict"] += f"; {verdict} than {-100 * self.human.margin:+g} points"
            rows.append(
                _row(
                    *("log loss on human pairs", self.human.log_loss_before, self.human.log_loss_after),
                    self.human.log_loss_change,
                    better=-1,
                )
            )
        for name, table in self.benchmark_table.items():
            title = {"rewardbench": "RewardBench", "rm_bench": "RM-Bench"}[name]
            for row in table.to_dict("records"):
                figure = Estimate(row["change"], row["se"], row["ci_low"], row["ci_high"], row["n"], "")
                rows.append(_row(f"{title} {row['figure']}", row["before"], row["after"], figure))
        for row in _joint_slopes(self.drift):
            figure = Estimate(
                row["change"], row["change_se"], row["change_low"], row["change_high"], row["n"], row["method"]
            )
            name = row["feature"]
            moved = " and ".join(_moves(row, self.drift))
            rows.append(
                _row(f"slope on {name.replace('_', ' ')}", row["before"], row["after"], figure) | {"verdict": moved}
            )
        return rows

    def table(self) -> pd.DataFrame:
        """For reading."""
        rows = self.headline()
        return pd.DataFrame(
            {
                "figure": [row["figure"] for row in rows],
                "before": [f"{row['before']:.3f}" for row in rows],
                "after": [f"{row['after']:.3f}" for row in rows],
                "change": [f"{row['change']:+.3f}" for row in rows],
                "interval": [
                    "" if row["ci_low"] != row["ci_low"] else f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
                    for row in rows
                ],
                "n": [row["n"] for row in rows],
                "verdict": [row["verdict"] for row in rows],
            }
        )

    def notes(self) -> list[str]:
        """Sentences below the table."""
        notes = []
        if self.human is not None:
            notes.append(f"{self.human.statement()[0].upper()}{self.human.statement()[1:]}.")
        notes.extend(_drift_notes(self.drift))
        notes.append(
            f"{self.data['prompts']} prompts (split: {self.data['split']}), {len(self.data['models'])} policy models. "
            f"Mismatch: {self.mismatch.method}. Slopes: standard deviations of reward within a prompt per standard deviation "
            "of the feature, all features in one regression."
        )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "before": self.before,
            "after": self.after,
            "headline": self.headline(),
            "mismatch": self.mismatch.to_dict(),
            "agreement": {when: found.to_dict() for when, found in self.agreement.items()},
            "drift": None if isinstance(self.drift, str) else self.drift.to_dict(),
            "drift_note": self.drift if isinstance(self.drift, str) else None,
            "human_pairs": None if self.human is None else self.human.to_dict(),
            "benchmarks": {
                name: {figure: comparison.to_dict() for figure, comparison in comparisons.items()}
                for name, comparisons in self.benchmarks.items()
            },
            "data": self.data,
            "provenance": self.provenance,
        }


def _row(
    figure: str, before: Estimate | float, after: Estimate | float, change: Estimate, better: int = 1
) -> dict[str, Any]:
    """A row of the headline; `better` is the direction of a change that is wanted."""
    low, high = sorted((better * change.ci_low, better * change.ci_high))
    verdict = "better" if low > 0 else "worse" if high < 0 else "" if change.ci_low != change.ci_low else "unclear"
    values = (value.value if isinstance(value, Estimate) else value for value in (before, after))
    return {
        **dict(zip(("figure", "before", "after"), (figure, *values), strict=True)),
        **{"change": change.value, "ci_low": change.ci_low, "ci_high": change.ci_high, "n": change.n},
        "verdict": verdict,
    }


def _joint_slopes(drift: RewardDrift | str) -> list[dict[str, Any]]:
    if isinstance(drift, str):
        return []
    return drift.features[drift.features["measure"] == "joint_slope"].to_dict("records")


def _moves(row: dict[str, Any], drift: RewardDrift) -> list[str]:
    """What became of the liking (a positive slope) and the disliking (a negative one) of a feature."""
    moves = []
    if row["feature"] in drift.fallen:
        moves.append("liking fell" if row["before"] > 0 else "disliking fell")
    if row["feature"] in drift.risen:
        moves.append("liking grew" if row["after"] > 0 else "disliking grew")
    return moves


def _drift_notes(drift: RewardDrift | str) -> list[str]:
    if isinstance(drift, str):
        return [f"Drift was not measured: {drift}."]
    notes = []
    if drift.substitution:
        moves: dict[str, list[str]] = {}
        for row in _joint_slopes(drift):
            for move in _moves(row, drift):
                moves.setdefault(move, []).append(row["feature"].replace("_", " "))
        said = []
        for move, features in sorted(moves.items(), key=lambda item: item[0].endswith("grew")):
            what, became = move.split()
            said.append(f"the {what} of {', '.join(features)} {became}")
        notes.append(f"The pressure moved: {'; '.join(said)}. See the drift plot.")
    scale = drift.scale
    notes.append(
        f"Standard deviation of rewards within a prompt: {scale['within_prompt_sd_before']:.3g} before, "
        f"{scale['within_prompt_sd_after']:.3g} after. Rank correlation of both: {scale['spearman'].value:.3f} over all "
        f"responses, {drift.order_within_models['spearman'].min():.3f} or more within every policy model."
    )
    return notes


def write_report(folder: Path, name: str, report: Report, plots: bool) -> None:
    """Write `results.json`, `table.md`, tables as CSV, and plots with their numbers."""
    remove_stale(folder, "*.png", "*.csv", "table.md", "results.json")
    notes = "\n\n".join(report.notes())
    tables = {
        "mismatch_pairs": report.mismatch.pairs,
        "mismatch_summary": report.mismatch.summary,
        **report.benchmark_table,
    }
    if not isinstance(report.drift, str):
        tables |= {"drift": report.drift.features, "order_within_models": report.drift.order_within_models}
    for stem, table in tables.items():
        write_text_atomically(folder / f"{stem}.csv", table.to_csv(index=False))
    drawn = _draw(folder, report) if plots else {}
    write_text_atomically(folder / "table.md", f"# {name}\n\n{to_markdown(report.table())}\n{notes}\n")
    # the last one: what is there is complete
    write_json(folder / "results.json", {"name": name, **report.to_dict(), "plots": drawn})


def _draw(folder: Path, report: Report) -> dict[str, str]:
    """Draw; a plot that fails is reported, and takes nothing else with it."""
    jobs: dict[str, Callable[[Path], Any]] = {
        "mismatch_change": lambda path: reporting.plot_mismatch_change(report.mismatch.pairs, path),
    }
    if not isinstance(report.drift, str):
        jobs["reward_drift"] = functools.partial(reporting.plot_reward_drift, report.drift.features)
    for when, name in (("before", report.before), ("after", report.after)):
        title = f"{when} calibration: {Path(name).name}"
        jobs[f"mismatch_{when}"] = functools.partial(
            reporting.plot_mismatch,
            report.mismatch_tables[when],
            level=report.provenance["config"]["level"],
            title=title,
        )
        jobs[f"reward_rating_{when}"] = functools.partial(
            reporting.plot_reward_against_rating, report.agreement[when], title=title
        )
    drawn = {}
    for name, job in jobs.items():
        try:
            job(folder / f"{name}.png")
            drawn[name] = f"{name}.png"
        except (ImportError, ValueError) as error:
            logger.warning("plot %s was not drawn: %s", name, error)
            drawn[name] = f"not drawn: {error}"
    return drawn

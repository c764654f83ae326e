"""Distributions of the rewards of originals and of their rewrites."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import gaussian_kde

from ..rate.chains.steps import step_names
from .figures import COLOURS, add_legend, new_figure, save_figure
from .model_names import short_names
from .rate_style import fit_titles


if TYPE_CHECKING:
    from ..rate import RewardChains

# step -> colour, line, label: what is compared, and last, over it, the rewrite into the opposite
_LOOKS = {
    0: (COLOURS[0], "-", "original"),
    2: (COLOURS[2], "-", "rewrite of the rewrite"),
    1: (COLOURS[1], ":", "rewrite into the opposite"),
}
_GRID, _BINS = 200, 1024
_FAR = 10  # times the range of 90 % of the rewards: what is further from the median does not stretch the axis


def plot_scores(
    chains: "Mapping[str, RewardChains]", path: str | Path, *, treated: str = "with the attribute",
    untreated: str = "without it", title: str | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """
    Densities of the rewards of originals, of rewrites into the opposite, and of rewrites back, with dashed means: a row per
    reward model, originals with the attribute on the left and without it on the right.

    If rewriting left everything but the attribute alone, original and rewrite of the rewrite would lie upon one another.

    Args:
        chains (`Mapping[str, RewardChains]`):
            Rewards by reward model.
        path (`str` or `pathlib.Path`):
            The PNG file. The CSV file has the curves (columns `reward_model, w, text, reward, density`) with `n`, `mean` and
            `sd` of the rewards behind each.
        treated, untreated (`str`, *optional*):
            Titles of the panels.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.

    Raises:
        ValueError: There are no reward models.
    """
    if not chains:
        raise ValueError("there are no rewards to draw: chains is empty")
    sides = [
        (value, name)
        for value, name in ((True, treated), (False, untreated))
        if any((own.w == value).any() for own in chains.values())
    ]
    labels = short_names(chains, 24)
    figure = new_figure(max(3.6 * len(sides) + 0.6, 5.0), 2.1 * len(chains) + 1.0)
    grid = figure.subplots(len(chains), len(sides), squeeze=False, sharex="row")
    curves = []
    titles = [figure.suptitle(title)] if title else []
    for row, (model, own) in enumerate(chains.items()):
        drawn = own.rewards[:, :3]
        smallest = min(count for value, _ in sides if (count := (own.w == value).sum()))
        low, high = _axis(drawn)
        beyond = (drawn < low) | (drawn > high)
        # three widths of the kernel: curves end at 0
        margin = max(0.05 * (high - low), 3 * smallest**-0.2 * drawn[~beyond].std()) or 1.0
        points = np.linspace(low - margin, high + margin, _GRID)
        for column, (value, name) in enumerate(sides):
            axes, rows = grid[row, column], own.w == value
            for step in _LOOKS:
                if step <= own.steps and rows.any():
                    curve = _curve(axes, own.of(step)[rows], points, step, (low, high))
                    curves.append(curve.assign(reward_model=model, w=int(value)))
            if not rows.any():
                axes.text(0.5, 0.5, "no such texts", ha="center", transform=axes.transAxes, color="#777777")
            axes.set_xlim(points[0], points[-1])
            axes.set_yticks([])
            axes.set_ylim(bottom=0)
            axes.spines[["left", "right", "top"]].set_visible(False)
            axes.tick_params(labelsize=8)
            axes.locator_params(axis="x", nbins=6)
            count = f"n {int(rows.sum()):,}"
            if outliers := int(beyond[rows].any(axis=1).sum()):
                count += f", {outliers:,} beyond the axis"
                axes.set_ylim(top=1.2 * axes.get_ylim()[1])  # room for the text
            axes.text(0.99, 0.97, count, ha="right", va="top", transform=axes.transAxes, fontsize=8, color="#444444")
            if row == 0:
                titles.append(axes.set_title(name, fontsize=10))
            if row == len(chains) - 1:
                axes.set_xlabel("reward", fontsize=9)
        grid[row, 0].set_ylabel(labels[model], fontsize=8)
    add_legend(figure)
    fit_titles(figure, titles)
    table = pd.concat(curves, ignore_index=True)
    return save_figure(figure, table[["reward_model", "w", "text", "n", "mean", "sd", "reward", "density"]], path)


def _axis(rewards: np.ndarray) -> tuple[float, float]:
    """Ends of an axis of rewards: all of them, but for outliers so far away that nothing else could be seen."""
    middle, spread = np.median(rewards), np.subtract(*np.percentile(rewards, [95, 5]))
    near = rewards[np.abs(rewards - middle) <= _FAR * spread] if spread else rewards
    return near.min(), near.max()


def _curve(axes, rewards: np.ndarray, points: np.ndarray, step: int, ends: tuple[float, float]) -> pd.DataFrame:
    colour, line, label = _LOOKS[step]
    inside = rewards[(rewards >= ends[0]) & (rewards <= ends[1])]
    density = _density(inside, points)
    if density is not None:
        density *= len(inside) / len(rewards)
    mean = rewards.mean()
    if density is None:  # all alike: a density would be infinite
        axes.axvline(mean, color=colour, linestyle=line, linewidth=2, label=label)
    else:
        axes.plot(points, density, color=colour, linestyle=line, linewidth=1.5, label=label)
        if line == "-":
            axes.fill_between(points, density, color=colour, alpha=0.12, linewidth=0)
        axes.axvline(mean, color=colour, linestyle="--", linewidth=1)
    sd = rewards.std(ddof=1) if len(rewards) > 1 else np.nan
    return pd.DataFrame(
        {"text": step_names(3)[step], "n": len(rewards), "mean": mean, "sd": sd, "reward": points,
         "density": np.nan if density is None else density}
    )  # fmt: skip


def _density(rewards: np.ndarray, points: np.ndarray) -> np.ndarray | None:
    """Scott's kernel density estimate; of many rewards by their counts in fine bins. `None` if they do not vary."""
    # a spread of rounding errors has no density either
    if len(rewards) < 2 or np.ptp(rewards) <= 1e-9 * max(1.0, np.abs(rewards).max()):
        return None
    weights, bandwidth = None, len(rewards) ** -0.2
    if len(rewards) > _BINS:
        counts, edges = np.histogram(rewards, _BINS)
        rewards, weights = ((edges[:-1] + edges[1:]) / 2)[counts > 0], counts[counts > 0]
        if len(rewards) < 2:
            return None
    return gaussian_kde(rewards, bw_method=bandwidth, weights=weights)(points)

"""The report of a RATE analysis: all effects with their uncertainty in one table, and what can be said in sentences."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...atomic_files import write_text_atomically
from ...evaluation.statistics import CORRECTIONS
from ..chains.reward_chains import RewardChains
from ..chains.text_facts import TextFacts
from .contrasts import CONTRAST_COLUMNS, contrast_rows
from .estimates import ESTIMANDS, combined_rows, effect_rows
from .rows import COLUMNS, as_table
from .text import markdown, sentences


logger = logging.getLogger(__name__)

# data set, attribute
Key = tuple[str, str]


@dataclass(frozen=True)
class RateReport:
    """
    What reward models pay for attributes.

    Args:
        effects (`pandas.DataFrame`):
            A row for each data set, attribute, reward model, estimator (`naive`, `single_rewrite`, `rate`, `rewrite`; where
            there is what they need `wald`, `feature_adjusted`, `symmetric`, `aipw`) and estimand (`ATE`, `ATT`, `ATU`; of
            `naive` the `difference`, of `rewrite` `w=1` and `w=0`). Columns `value, se, ci_low, ci_high` and `mde`, the
            minimum detectable effect of one test, before the correction for many, in units of reward; the same in standard
            deviations of the rewards of originals (`normalised`, ...); `n` rows, of which `n1` have the attribute and `n0` have not, and `clusters`; `p_value`,
            `p_adjusted` for all tests of the same estimator, and `significant`. Missing where there is no estimate.
        contrasts (`pandas.DataFrame`):
            Reward models against a baseline on the same texts: `value` is how much more each pays, with `unit` `sd` or
            `reward`; `p_max_t` is corrected for the models of a data set and attribute, `p_adjusted` for all contrasts in
            the same unit.
        combined (`pandas.DataFrame`):
            Attributes that several data sets have: the mean of their effects. Rows are never put together.
        excluded (`dict[tuple[str, str], dict[str, int]]`):
            Rows that were left out, by data set and attribute, and by reason.
        notes (`tuple[str, ...]`):
            What a reader must know.
        settings (`dict[str, Any]`):
            Level, power, correction and so on.
        provenance (`dict[str, Any]`):
            As given.
    """

    effects: pd.DataFrame
    contrasts: pd.DataFrame
    combined: pd.DataFrame
    excluded: dict[Key, dict[str, int]]
    notes: tuple[str, ...]
    settings: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

    def sentences(self, treated: Mapping[str, str] | None = None) -> list[str]:
        """
        The effects in words, a sentence for each data set, attribute and reward model.

        Args:
            treated (`Mapping[str, str]`, *optional*):
                By attribute, what a text with it is: `{"length": "longer"}`.
        """
        return sentences(self.effects, self.excluded, treated or self.settings.get("treated") or {})

    def markdown(self) -> str:
        """Tables and sentences for reading."""
        return markdown(self.effects, self.contrasts, self.combined, self.sentences(), self.notes, self.settings)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, with `None` for what is not known and `"inf"` for an interval without end."""
        return {
            "effects": records(self.effects),
            "contrasts": records(self.contrasts),
            "combined": records(self.combined),
            "excluded": {"/".join(key): dict(reasons) for key, reasons in self.excluded.items()},
            "sentences": self.sentences(),
            "notes": list(self.notes),
            "settings": self.settings,
            "provenance": self.provenance,
        }

    def write(self, folder: str | Path) -> Path:
        """
        Write `effects.csv`, `contrasts.csv`, `combined.csv`, `effects.md`, and last `effects.json` with all of it.

        Args:
            folder (`str` or `pathlib.Path`): Where; it is made if need be.

        Returns:
            `pathlib.Path`: The JSON file.
        """
        folder = Path(folder)
        for name in ("effects", "contrasts", "combined"):
            write_text_atomically(folder / f"{name}.csv", getattr(self, name).to_csv(index=False))
        write_text_atomically(folder / "effects.md", self.markdown())
        path = folder / "effects.json"
        write_text_atomically(path, json.dumps(self.to_dict(), indent=2, allow_nan=False, default=str) + "\n")
        return path


def rate_report(
    chains: Mapping[Key, Mapping[str, RewardChains]],
    *,
    level: float = 0.95,
    se: str | None = None,
    bootstrap: int = 2000,
    power: float = 0.8,
    correction: str = "holm",
    seed: int = 0,
    baseline: str | None = None,
    estimands: Sequence[str] = ESTIMANDS,
    texts: Mapping[Key, TextFacts] | None = None,
    treated: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> RateReport:
    """
    All effects of attributes on the rewards of reward models, with intervals, tests and minimum detectable effects.

    Args:
        chains (`Mapping[tuple[str, str], Mapping[str, RewardChains]]`):
            Rewards by (data set, attribute) and by reward model.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level; tests are at `1 - level`.
        se (`str`, *optional*):
            `"paired"`, `"cluster"` or `"reference"`, see [`estimate_effects`]. By default `"cluster"` where there are
            clusters, else `"paired"`. With `"reference"` there is only what the original program has.
        bootstrap (`int`, *optional*, defaults to `2000`):
            Resamples for the intervals of normalised effects. 0: from the linear approximation, which takes no time.
        power (`float`, *optional*, defaults to `0.8`):
            Probability that one test, before the correction for many, finds the minimum detectable effect if it is there.
        correction (`str`, *optional*, defaults to `"holm"`):
            For many tests: `"holm"` or `"fdr_bh"`.
        seed (`int`, *optional*, defaults to `0`):
            Seed of resampling and cross-fitting.
        baseline (`str`, *optional*):
            Reward model that others are compared with. By default the first one.
        estimands (`Sequence[str]`, *optional*):
            Of `"ATE"`, `"ATT"` and `"ATU"`, those to report; the correction for many tests counts no others.
        texts (`Mapping[tuple[str, str], TextFacts]`, *optional*):
            What is measured of the texts, for corrections; rewards then need ids.
        treated (`Mapping[str, str]`, *optional*):
            By attribute, what a text with it is (`{"length": "longer"}`), for sentences.
        provenance (`Mapping`, *optional*):
            To be written with the results. Plain JSON types.

    Returns:
        [`RateReport`]

    Raises:
        TypeError: A key of `chains` is no pair of names, or a value is no mapping of [`RewardChains`].
        ValueError: There are no rewards, no such baseline, or an option is out of range.

    Example:
        ```python
        >>> from trl_ext.rate import RewardChains, rate_report
        >>> rng = np.random.default_rng(0)
        >>> w, quality = rng.random(400) < 0.5, rng.normal(size=400)
        >>> rewards = [quality + 0.3 * has + 0.1 * rng.normal(size=400) for has in (w, ~w, w)]
        >>> chains = {("reviews", "length"): {"rm": RewardChains(w, np.stack(rewards, axis=1))}}
        >>> report = rate_report(chains, bootstrap=200, treated={"length": "longer"})
        >>> print(report.sentences()[0])
        reviews: rm pays +.30 sd [.27, .32] for longer texts (n = 400; minimum detectable .02).

        ```
    """
    chains = _checked(chains)
    _check_options(level, bootstrap, power, correction, se)
    other = [name for name in estimands if name not in ESTIMANDS]
    if not estimands or isinstance(estimands, str) or other:
        raise ValueError(f"estimands must be a list of some of {', '.join(ESTIMANDS)}, got {estimands!r}")
    left_out = set(ESTIMANDS) - set(estimands)
    texts = dict(texts or {})
    unknown = [key for key in texts if key not in chains]
    if unknown:
        raise ValueError(f"`texts` has {unknown[0]!r}, of which there are no rewards")
    models = list(dict.fromkeys(name for own in chains.values() for name in own))
    if baseline is not None and baseline not in models:
        raise ValueError(f"there is no reward model {baseline!r} to compare with: there are {', '.join(models)}")
    baseline = baseline or models[0]
    options = {"level": level, "se": se, "bootstrap": bootstrap, "seed": seed}
    rows, contrasts, notes = [], [], {}
    for key, own in chains.items():
        for model, rewards in own.items():
            head = {"dataset": key[0], "attribute": key[1], "reward_model": model}
            found, said = effect_rows(head, rewards, texts.get(key), power=power, **options)
            rows.extend(found)
            notes |= dict.fromkeys(f"{'/'.join(key)}: {note}" for note in said)
        if baseline in own and len(own) > 1:
            found, said = contrast_rows(key, own, baseline, **options)
            contrasts.extend(found)
            notes |= dict.fromkeys(f"{'/'.join(key)}: {note}" for note in said)
    corrected = {"correction": correction, "level": level}
    rows, contrasts = ([row for row in found if row["estimand"] not in left_out] for found in (rows, contrasts))
    effects = as_table(rows, COLUMNS, ("estimator",), **corrected)
    combined, said = combined_rows(effects, chains, level, texts)
    notes |= dict.fromkeys(said)
    excluded = {key: dict(facts.excluded) for key, facts in texts.items()}
    return RateReport(
        effects,
        as_table(contrasts, CONTRAST_COLUMNS, ("unit",), **corrected),
        combined,
        {key: reasons for key, reasons in excluded.items() if reasons},
        tuple(notes),
        {**options, "power": power, "correction": correction, "baseline": baseline, "treated": dict(treated or {})},
        dict(provenance or {}),
    )


def _checked(chains: Mapping[Key, Mapping[str, RewardChains]]) -> dict[Key, dict[str, RewardChains]]:
    if not isinstance(chains, Mapping):
        raise TypeError(f"chains must map (data set, attribute) to reward models, got {type(chains).__name__}")
    if not chains:
        raise ValueError("chains is empty: there are no rewards to report on")
    for key, own in chains.items():
        if not (isinstance(key, tuple) and len(key) == 2 and all(isinstance(name, str) and name for name in key)):
            raise TypeError(f"a key of chains must be a pair of names, (data set, attribute), got {key!r}")
        if not isinstance(own, Mapping) or not own:
            raise TypeError(f"chains[{key!r}] must map names of reward models to RewardChains, got {own!r:.80}")
        for name, rewards in own.items():
            if not isinstance(rewards, RewardChains):
                raise TypeError(
                    f"chains[{key!r}][{name!r}] must be RewardChains (RewardChains.of_table makes them of a table), got "
                    f"{type(rewards).__name__}"
                )
    return {key: dict(own) for key, own in chains.items()}


def _check_options(level: float, bootstrap: int, power: float, correction: str, se: str | None) -> None:
    for name, value in (("level", level), ("power", power)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")
    if bootstrap != 0 and bootstrap < 2:
        raise ValueError(f"bootstrap must be 0 (linear approximation) or at least 2 resamples, got {bootstrap}")
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, got {correction!r}")
    if se not in (None, "paired", "cluster", "reference"):
        raise ValueError(f"se must be 'paired', 'cluster', 'reference' or None, got {se!r}")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table in plain types for strict JSON."""

    def plain(value: Any) -> Any:
        if value is None or value is pd.NA:
            return None
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not np.isfinite(value):
            return None if np.isnan(value) else str(value)
        return value

    names: Sequence[str] = list(table)
    return [
        {name: plain(value) for name, value in zip(names, row, strict=True)}
        for row in table.astype(object).itertuples(index=False, name=None)
    ]

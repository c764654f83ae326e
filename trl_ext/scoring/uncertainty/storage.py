"""Conformal intervals and preference sets in the configuration of the model they were fitted for."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from ...model_entries import REWARD_INTERVALS
from .conformal import ConformalIntervals
from .preference_sets import PreferenceSets


_VERSION = 1


@dataclasses.dataclass(frozen=True)
class RewardUncertainty:
    """
    What is stored with a model about the uncertainty of its reward differences.

    Args:
        intervals ([`ConformalIntervals`], *optional*): Intervals of a real-valued target.
        preference_sets ([`PreferenceSets`], *optional*): When a preference is stated.
        fitted_on (`str`, *optional*): Name of the pairs they were fitted on.
    """

    intervals: ConformalIntervals | None = None
    preference_sets: PreferenceSets | None = None
    fitted_on: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "version": _VERSION,
            "intervals": None if self.intervals is None else self.intervals.to_dict(),
            "preference_sets": None if self.preference_sets is None else self.preference_sets.to_dict(),
            "fitted_on": self.fitted_on,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], name: str = "the entry") -> "RewardUncertainty":
        """From `to_dict`."""
        if values.get("version") != _VERSION:
            raise ValueError(f"{name} is of version {values.get('version')!r}, but this package knows {_VERSION}")
        try:
            intervals, sets = values["intervals"], values["preference_sets"]
            return cls(
                None if intervals is None else ConformalIntervals(**intervals),
                None if sets is None else PreferenceSets.from_dict(sets),
                values.get("fitted_on"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name} is damaged: {error}") from error


def save_uncertainty(
    model_or_folder: nn.Module | str | Path, uncertainty: RewardUncertainty, *, overwrite: bool = False
) -> None:
    """
    Store intervals and preference sets with the model they were fitted for: under `reward_intervals` in `config.json`, of
    an adapter in `reward_intervals.json`. Weights are not touched. [`~trl_ext.RewardScorer.compare_pairs`] applies them.

    They belong to these weights: after further training, fit them again.

    Args:
        model_or_folder ([`~transformers.PreTrainedModel`], `str` or `Path`):
            A saved model or adapter, or a model in memory.
        uncertainty ([`RewardUncertainty`]):
            What to store.
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace what is there.
    """
    if not isinstance(uncertainty, RewardUncertainty):
        raise TypeError(f"`uncertainty` must be a RewardUncertainty, got {type(uncertainty).__name__}")
    there = REWARD_INTERVALS.read(model_or_folder)
    values = uncertainty.to_dict()
    if there is not None and there != values and not overwrite:
        raise ValueError("the model has other intervals already: replace them with overwrite=True")
    REWARD_INTERVALS.write(model_or_folder, values)


def read_uncertainty(
    model: nn.Module | str | Path, *, revision: str | None = None, token: str | None = None
) -> RewardUncertainty | None:
    """What was stored with a model or adapter by [`save_uncertainty`], or `None`."""
    values = REWARD_INTERVALS.read(model, revision=revision, token=token)
    return None if values is None else RewardUncertainty.from_dict(values, f"{REWARD_INTERVALS.key!r} of the model")

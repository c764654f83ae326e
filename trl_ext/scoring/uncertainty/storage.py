"""Conformal intervals and preference sets in the configuration of the model they were fitted for."""

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from ...model_entries import REWARD_INTERVALS
from ...shared_prefix import core_model
from ...trainer.head_fingerprint import HEAD_KEY, head_fingerprint, saved_head_fingerprint
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
            found = cls(
                None if intervals is None else ConformalIntervals(**intervals),
                None if sets is None else PreferenceSets.from_dict(sets),
                values.get("fitted_on"),
            )
            for numbers in (
                found.intervals and found.intervals.quantiles,
                found.preference_sets and found.preference_sets.thresholds,
            ):
                if not all(isinstance(value, (int, float)) for value in (numbers or {}).values()):
                    raise TypeError(f"these are no numbers: {numbers}")
            return found
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{name} is damaged: {error}") from error


def save_uncertainty(
    model_or_folder: nn.Module | str | Path, uncertainty: RewardUncertainty, *, overwrite: bool = False
) -> None:
    """
    Store intervals and preference sets with the model they were fitted for: under `reward_intervals` in `config.json`, of
    an adapter in `reward_intervals.json`. Weights are not touched. [`~trl_ext.RewardScorer.compare_pairs`] applies them.

    They belong to these weights: a hash of the reward head is stored with them, and `compare_pairs` refuses them with a
    model whose head is another. After further training, fit them again.

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
    if there is not None and {**there, HEAD_KEY: None} != {**values, HEAD_KEY: None} and not overwrite:
        raise ValueError("the model has other intervals already: replace them with overwrite=True")
    if isinstance(model_or_folder, nn.Module):
        head = head_fingerprint(core_model(model_or_folder))
    else:
        head = saved_head_fingerprint(Path(model_or_folder).expanduser())
    REWARD_INTERVALS.write(model_or_folder, values if head is None else values | {HEAD_KEY: head})


def remove_uncertainty(model_or_folder: nn.Module | str | Path) -> None:
    """Remove what [`save_uncertainty`] stored with a model or a saved model or adapter, if there is anything."""
    REWARD_INTERVALS.remove(model_or_folder)


def read_uncertainty(
    model: nn.Module | str | Path, *, revision: str | None = None, token: str | None = None
) -> RewardUncertainty | None:
    """What was stored with a model or adapter by [`save_uncertainty`], or `None`."""
    values = REWARD_INTERVALS.read(model, revision=revision, token=token)
    return None if values is None else RewardUncertainty.from_dict(values, f"{REWARD_INTERVALS.key!r} of the model")


def applicable_uncertainty(model: nn.Module) -> RewardUncertainty | None:
    """
    [`read_uncertainty`] of a model in memory.

    Raises:
        ValueError: It was stored with other weights.
    """
    values = REWARD_INTERVALS.read(model)
    head = None if values is None else values.get(HEAD_KEY)
    if head is not None and head_fingerprint(model) not in (head, None):
        raise ValueError(
            "the intervals that are stored with the model are of other weights: the reward head is not the one they were "
            "stored with, so the model was trained or changed since. Fit them again, or `remove_uncertainty`."
        )
    return read_uncertainty(model)

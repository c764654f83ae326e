"""From the column `reliability` to the columns of a pairwise loss, for every trainer that weights pairs by it."""

import logging

import numpy as np
import torch
from datasets import Dataset
from scipy.special import expit
from torch import Tensor

from ..data.loading import set_column
from ..data.preference import PREFERENCE_COLUMNS, validate_preferences
from ..losses import (
    BackwardCorrectedLoss,
    BetaRAPLLoss,
    BradleyTerryLoss,
    EpsilonRAPLLoss,
    MarginRAPLLoss,
    PairwiseLoss,
    SoftLabelLoss,
)
from ..reliability import (
    WeightStatistics,
    flip_mask,
    reliability_to_beta,
    reliability_to_label,
    reliability_to_margin,
    reliability_to_p,
    weight_statistics,
)
from .reliability_arguments import MEAN, ReliabilityArguments


logger = logging.getLogger(__name__)

FLIPPED = "flipped"  # marks the pairs that are believed with chosen and rejected exchanged

_LOSSES = {
    "beta": BetaRAPLLoss,
    "p": EpsilonRAPLLoss,
    "margin": MarginRAPLLoss,
    "smoothing": SoftLabelLoss,
    "backward": BackwardCorrectedLoss,
    "none": BradleyTerryLoss,
}
_COLUMNS = {"beta": "beta", "p": "p", "margin": "margin", "smoothing": "label", "backward": "eta"}
# eta of the backward correction and p of epsilon-RAPL are the same probability
_CONVERSIONS = {
    "beta": reliability_to_beta,
    "p": reliability_to_p,
    "margin": reliability_to_margin,
    "smoothing": reliability_to_label,
    "backward": reliability_to_p,
}
# Slope of the loss at equal rewards, as a multiple of the slope of Bradley–Terry
_WEIGHTS = {
    "beta": lambda beta: beta,
    "p": lambda p: p,
    "margin": lambda margin: 2 * expit(margin),
    "smoothing": lambda label: np.abs(2 * label - 1),
    "backward": lambda eta: 1 / eta,
}


def reliability_loss(args: ReliabilityArguments) -> PairwiseLoss:
    """The loss that follows from `args.rapl_method`."""
    if args.rapl_method == "backward":
        return BackwardCorrectedLoss(min_eta=args.min_eta)
    return _LOSSES[args.rapl_method]()


def believed_order(chosen: Tensor, rejected: Tensor, flipped: Tensor | None) -> tuple[Tensor, Tensor]:
    """
    Exchange two values per pair where the opposite of the label is believed.

    Args:
        chosen (`torch.Tensor`): Values of the chosen responses `(B,)`.
        rejected (`torch.Tensor`): Values of the rejected responses `(B,)`.
        flipped (`torch.Tensor`, *optional*): Non-zero where the pair is flipped `(B,)`.

    Returns:
        `tuple[torch.Tensor, torch.Tensor]`: Values of the responses that are believed to be better and worse.
    """
    if flipped is None:
        return chosen, rejected
    swap = flipped.bool()
    return torch.where(swap, rejected, chosen), torch.where(swap, chosen, rejected)


class ReliabilityColumns:
    """
    Turns the column `reliability` of preference data into the columns of the loss: `beta`, `p`, `margin`, `label` or
    `eta`, `flipped` where the opposite label is believed, and `weight` 0 where a pair carries no information that the
    loss itself would ignore.

    What depends on the training set as a whole, the normalisation of beta and the mean reliability, is taken from it
    once; evaluation sets get the same normalisation.

    Attributes:
        normalization_factor (`float`):
            What beta was divided by.
        constant_reliability (`float`, *optional*):
            The reliability that every training pair was given.
    """

    def __init__(self):
        self.normalization_factor = 1.0
        self.constant_reliability: float | None = None

    def prepare(self, dataset: Dataset, args: ReliabilityArguments, name: str) -> Dataset:
        """
        Add the columns of the loss.

        Args:
            dataset ([`~datasets.Dataset`]):
                Preference rows. An evaluation set without `reliability` is returned as it is.
            args ([`ReliabilityArguments`]):
                What is to be done.
            name (`str`):
                `"train"`, or the name of an evaluation set.

        Returns:
            [`~datasets.Dataset`]: The rows, fewer if `min_reliability` filters the training set, with the columns.

        Raises:
            ValueError: If reliability is missing in the training set, out of range or below one half where that is
                refused; or if no pair is left to learn from.
        """
        is_train = name == "train"
        if is_train and args.has_constant_number:
            self.constant_reliability = float(args.constant_reliability)
            dataset = set_column(dataset, "reliability", np.full(len(dataset), self.constant_reliability))
        is_used = args.rapl_method != "none" or args.min_reliability is not None or args.on_below_half != "zero"
        if "reliability" not in dataset.column_names and not (is_train and is_used):
            if args.on_below_half == "flip" and FLIPPED in dataset.column_names:
                raise ValueError(
                    f"{name} dataset: column '{FLIPPED}' would be taken for the pairs that on_below_half='flip' reverses. "
                    "Rename it."
                )
            if not is_train:
                logger.info("%s has no 'reliability' column: evaluated with the Bradley–Terry loss", name)
            return dataset

        dataset = validate_preferences(dataset, name=name, numeric_columns=_ranges(dataset, args))
        if is_train:
            if args.min_reliability is not None:
                dataset = _drop_below(dataset, args.min_reliability, name)
            if args.constant_reliability == MEAN:
                self.constant_reliability = float(np.mean(dataset["reliability"]))
                logger.info("%s: reliability of all pairs is the mean, %.6g", name, self.constant_reliability)
                dataset = set_column(dataset, "reliability", np.full(len(dataset), self.constant_reliability))
        reliability = np.asarray(dataset["reliability"], dtype=np.float64)
        if args.on_below_half == "flip":
            flipped = flip_mask(reliability)
            logger.warning("%s: %d of %d labels are believed the other way round", name, flipped.sum(), len(flipped))
            dataset = set_column(dataset, FLIPPED, flipped)
        if args.rapl_method == "none":
            if args.on_below_half == "error":
                reliability_to_p(reliability, on_below_half="error")
            return dataset
        return self._add_loss_column(dataset, reliability, args, name)

    def _add_loss_column(
        self, dataset: Dataset, reliability: np.ndarray, args: ReliabilityArguments, name: str
    ) -> Dataset:
        method, is_train = args.rapl_method, name == "train"
        is_probability = args.reliability_kind == "probability"
        values = reliability
        if is_probability:
            values = _CONVERSIONS[method](reliability, on_below_half=args.on_below_half)
        ignored = np.zeros(len(values), dtype=bool)
        if method == "smoothing" and is_probability and args.on_below_half == "zero":
            ignored = flip_mask(reliability)
        if method == "backward":
            ignored = values == 0
            too_small = ~ignored & (values < args.min_eta)
            if is_train and too_small.any():
                raise ValueError(_near_chance(dataset, reliability, values, too_small, args, name))
            ignored |= too_small
            values = np.where(ignored, 1.0, values)  # any eta will do, at weight 0
        if args.normalize_beta:
            if is_train:
                self.normalization_factor = float(values.mean())
                if self.normalization_factor == 0:
                    raise ValueError(f"`normalize_beta` can't scale {name}: beta is 0 for all of its pairs")
            values = values / self.normalization_factor
        if ignored.any():
            logger.warning("%s: %d of %d pairs get weight 0", name, ignored.sum(), len(ignored))
            weight = np.asarray(dataset["weight"]) if "weight" in dataset.column_names else 1.0
            dataset = set_column(dataset, "weight", np.where(ignored, 0.0, weight))
        return set_column(dataset, _COLUMNS[method], values)

    def statistics(self, dataset: Dataset, args: ReliabilityArguments) -> WeightStatistics:
        """
        Describe the weights of prepared training pairs.

        The weight of a pair is the slope of its loss at equal rewards, relative to a pair of plain Bradley–Terry, times
        its `weight`: beta, p, 2σ(margin), 2 label − 1, or 1/eta.
        """
        columns = {name: np.asarray(dataset[name]) for name in dataset.column_names if name in _STATISTICS_COLUMNS}
        weights = np.ones(len(dataset))
        if args.rapl_method != "none":
            weights = _WEIGHTS[args.rapl_method](columns[_COLUMNS[args.rapl_method]])
        is_known = args.reliability_kind == "probability" and "reliability" in columns
        return weight_statistics(
            weights * columns.get("weight", 1.0),
            reliability=columns["reliability"] if is_known else None,
            flipped=columns.get(FLIPPED),
            normalization_factor=self.normalization_factor,
            constant_reliability=self.constant_reliability,
        )


_STATISTICS_COLUMNS = {*_COLUMNS.values(), "weight", "reliability", FLIPPED}


def _ranges(dataset: Dataset, args: ReliabilityArguments) -> dict[str, tuple[float, float]]:
    limits = PREFERENCE_COLUMNS["reliability"]
    if args.reliability_kind == "raw":
        limits = PREFERENCE_COLUMNS[_COLUMNS.get(args.rapl_method, "weight")]
    ranges = {"reliability": limits}
    if "weight" in dataset.column_names:
        ranges["weight"] = PREFERENCE_COLUMNS["weight"]
    return ranges


def _drop_below(dataset: Dataset, minimum: float, name: str) -> Dataset:
    reliability = np.asarray(dataset["reliability"], dtype=np.float64)
    keep = reliability >= minimum
    logger.warning("%s: dropped %d of %d pairs with reliability below %s", name, (~keep).sum(), len(keep), minimum)
    if not keep.any():
        raise ValueError(
            f"column 'reliability' of {name} has no value of at least min_reliability={minimum}; the largest is "
            f"{reliability.max():.4g}"
        )
    return dataset.select(np.flatnonzero(keep))


def _near_chance(
    dataset: Dataset,
    reliability: np.ndarray,
    eta: np.ndarray,
    too_small: np.ndarray,
    args: ReliabilityArguments,
    name: str,
) -> str:
    row = int(np.flatnonzero(too_small)[0])
    who = f" (id {dataset[row]['id']!r})" if "id" in dataset.column_names else ""
    if args.reliability_kind == "raw":
        fix = f"set min_reliability={args.min_eta:g}"
    else:
        fix = f"set min_reliability={(1 + args.min_eta) / 2:g}"
    return (
        f"{name} dataset: column 'reliability' has {too_small.sum()} values that make eta smaller than min_eta="
        f"{args.min_eta:g}; first: row {row}{who}, value {reliability[row]:g}, eta {eta[row]:.3g}. The backward correction "
        f"would let such a pair pull 1/eta times as much as a clean one. Drop these pairs ({fix}), use another "
        "rapl_method, or lower min_eta."
    )

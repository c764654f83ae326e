"""Which models a training pair compares, what their win rate should be, and where the pair comes from."""

import logging
from collections.abc import Mapping

import numpy as np
from datasets import Dataset, concatenate_datasets

from ..arena import RatingTable, elo_win_probability
from ..data.checks import Checker, missing_column, shorten
from ..data.loading import set_column
from ..data.preference import PREFERENCE_COLUMNS, validate_preferences
from ..losses import RewardScale
from .calibration_config import CalibrationRewardConfig
from .calibration_sampler import HUMAN


logger = logging.getLogger(__name__)

IS_HUMAN, CHOSEN_CODE, REJECTED_CODE = "is_human", "source_chosen_code", "source_rejected_code"
TARGET, SOURCES, SCORES = "target_win_rate", ("source_chosen", "source_rejected"), ("score_chosen", "score_rejected")
LABEL_TEMPERATURE = "label_temperature"
CALIBRATION_COLUMNS = {
    **dict.fromkeys(SCORES, (-np.inf, np.inf)),
    TARGET: (0.0, 1.0),
    "label": PREFERENCE_COLUMNS["label"],
    LABEL_TEMPERATURE: (0.0, np.inf),
    "weight": PREFERENCE_COLUMNS["weight"],
}
_WITH_A_MEANING = {"id", "prompt", "chosen", "rejected", *PREFERENCE_COLUMNS, *CALIBRATION_COLUMNS, *SOURCES}
HUMAN_DATASET = "human"  # name of the dataset of human labels in messages
# What a pair has that does not say: the objective that reads a score, a code or a target gives human pairs no weight
_FILL = {
    "label": 1.0,
    LABEL_TEMPERATURE: 1.0,
    "weight": 1.0,
    TARGET: 0.5,
    **dict.fromkeys([*SCORES, CHOSEN_CODE, REJECTED_CODE, IS_HUMAN], 0.0),
}
_MOST_MODELS = 10_000  # codes are float32 in a batch, and a table has an entry for every pair of them
_TARGET_TOLERANCE = 1e-6
_FEW_PER_MODEL_PAIR = 10


class CalibrationColumns:
    """
    The columns from which a reward model is calibrated, as numbers.

    Models are numbered in the order of their names over the training set; those of evaluation sets that it does not have
    come after.

    Args:
        ratings (`RatingTable` or `Mapping[str, float]`, *optional*):
            Ratings in Elo points, from which `target_win_rate` follows.

    Attributes:
        models (`list[str]`):
            Names by code.
        label_temperatures (`tuple[float, float]`, *optional*):
            Smallest and largest temperature of the training set's labels, with `"soft"`.
    """

    def __init__(self, ratings: RatingTable | Mapping[str, float] | None):
        if isinstance(ratings, Mapping):
            ratings = RatingTable.from_ratings(ratings)
        elif not isinstance(ratings, RatingTable | None):
            raise TypeError(
                f"`ratings` must be a RatingTable or a mapping from model to rating, got {type(ratings).__name__}"
            )
        self.ratings = ratings
        self.models: list[str] = []
        self.label_temperatures: tuple[float, float] | None = None

    def prepare(self, dataset: Dataset, args: CalibrationRewardConfig, name: str) -> Dataset:
        """Check the columns of a dataset and add those of the trainer."""
        ranges = {column: limits for column, limits in CALIBRATION_COLUMNS.items() if column in dataset.column_names}
        if name == HUMAN_DATASET:
            dataset = validate_preferences(dataset, name=name, numeric_columns=ranges)
            _check_weight(dataset, name)
            return set_column(dataset, IS_HUMAN, np.ones(len(dataset)))
        is_train = name == "train"
        if is_train:
            self._check_needed(dataset, args)
        has_sources = all(column in dataset.column_names for column in SOURCES)
        if self.ratings is not None and TARGET in ranges and has_sources:
            del ranges[TARGET]  # replaced, whatever it holds
        dataset = validate_preferences(
            dataset, name=name, numeric_columns=ranges, required_columns=SOURCES if has_sources else ()
        )
        if is_train:
            _check_weight(dataset, name)
        if args.calibration_method == "soft":
            temperatures = _label_temperatures(dataset, args.temperature, name)
            if is_train:
                self.label_temperatures = temperatures
        if is_train and args.calibration_method == "hard":
            _check_order(dataset)
        if not has_sources:
            return dataset
        chosen, rejected = self._codes(dataset)
        dataset = set_column(set_column(dataset, CHOSEN_CODE, chosen), REJECTED_CODE, rejected)
        if is_train and args.calibration_method in ("matching", "source_offset"):
            _check_two_models(dataset, chosen == rejected, args.calibration_method)
        if self.ratings is not None:
            dataset = self._add_targets(dataset, name)
        if TARGET in dataset.column_names:
            _check_inside(dataset, name)
        return dataset

    def _check_needed(self, dataset: Dataset, args: CalibrationRewardConfig) -> None:
        needed = {
            "hard": (),
            "soft": ("label",),
            "matching": SOURCES + ((TARGET,) if self.ratings is None else ()),
            "source_offset": SOURCES,
        }[args.calibration_method]
        for column in needed:
            if column not in dataset.column_names:
                more = " Or pass `ratings` of the models." if column == TARGET else ""
                message = missing_column(
                    "train dataset",
                    column,
                    dataset.column_names,
                    why=f"which calibration_method={args.calibration_method!r} needs",
                    taken=_WITH_A_MEANING,
                )
                raise ValueError(message + more)
        for column, other in (SCORES, SCORES[::-1]):
            if column in dataset.column_names and other not in dataset.column_names:
                raise ValueError(
                    f"train dataset: there is a column {column!r} but none {other!r}: give both, or neither, and they are "
                    "computed where they are needed"
                )

    def _codes(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        names = [list(map(str, dataset[column])) for column in SOURCES]
        known = set(self.models)
        self.models += sorted({*names[0], *names[1]} - known)
        if len(self.models) > _MOST_MODELS:
            raise ValueError(
                f"columns {SOURCES[0]!r} and {SOURCES[1]!r} name {len(self.models)} models; at most {_MOST_MODELS} are "
                "possible. Are these ids of responses?"
            )
        code = {model: number for number, model in enumerate(self.models)}
        chosen, rejected = (np.array([code[name] for name in column], dtype=np.int64) for column in names)
        return chosen, rejected

    def _add_targets(self, dataset: Dataset, name: str) -> Dataset:
        if TARGET in dataset.column_names:
            logger.info("%s: column %r is not used, as `ratings` are given", name, TARGET)
            dataset = dataset.remove_columns(TARGET)
        values = []
        for column in SOURCES:
            names = list(map(str, dataset[column]))
            rating = {}
            for row, model in enumerate(names):
                if model in rating:
                    continue
                try:
                    rating[model] = float(self.ratings.of([model])[0])
                except ValueError as error:
                    message = f"{name} dataset: column {column!r}, first in row {row}: {error}"
                    if name == "train":
                        raise ValueError(message) from error
                    logger.warning("%s It is evaluated without expected win rates.", message)
                    return dataset
            values.append([rating[model] for model in names])
        return set_column(dataset, TARGET, elo_win_probability(*values))


class ModelPairs:
    """
    The unordered pairs of models of a training set, each in the order of the models' names, and their expected win rates.

    Args:
        dataset ([`~datasets.Dataset`]): Training set with codes of the models, and `target_win_rate`.
        columns ([`CalibrationColumns`]): Names of the models, and ratings.
        use_rating_variance (`bool`): Whether to find the variances of the targets.

    Attributes:
        groups (`np.ndarray` of shape `(N,)`): Pair of models of every row; `HUMAN` for pairs with human labels.
        codes (`np.ndarray` of shape `(G, 2)`): Codes of both models of every pair.
        names (`list[tuple[str, str]]`): Their names.
        sizes (`np.ndarray` of shape `(G,)`): Rows of every pair.
        weighted_sizes (`np.ndarray` of shape `(G,)`): Those of them with a weight above 0.
        targets (`np.ndarray` of shape `(G,)`): Expected win rate of the first model against the second.
        variances (`np.ndarray` of shape `(G,)`, *optional*): Variance of the targets.
        table (`np.ndarray` of shape `(M, M)`): Number of the pair by the codes of two models, in any order; −1 for none.
    """

    def __init__(self, dataset: Dataset, columns: CalibrationColumns, use_rating_variance: bool):
        is_human = (
            np.asarray(dataset[IS_HUMAN]) > 0 if IS_HUMAN in dataset.column_names else np.zeros(len(dataset), bool)
        )
        chosen, rejected = (np.asarray(dataset[column]).astype(np.int64) for column in (CHOSEN_CODE, REJECTED_CODE))
        both = np.stack([np.minimum(chosen, rejected), np.maximum(chosen, rejected)], axis=1)
        self.codes, inverse = np.unique(both[~is_human], axis=0, return_inverse=True)
        self.groups = np.full(len(dataset), HUMAN)
        self.groups[~is_human] = inverse.ravel()
        self.names = [(columns.models[first], columns.models[second]) for first, second in self.codes]
        self.sizes = np.bincount(inverse.ravel(), minlength=len(self.codes))
        self.weighted_sizes = np.bincount(inverse.ravel()[_weights(dataset)[~is_human] > 0], minlength=len(self.codes))
        self.table = np.full((len(columns.models),) * 2, -1)
        self.table[self.codes[:, 0], self.codes[:, 1]] = self.table[self.codes[:, 1], self.codes[:, 0]] = np.arange(
            len(self.codes)
        )
        target = np.asarray(dataset[TARGET], dtype=np.float64)
        oriented = np.where(chosen < rejected, target, 1 - target)[~is_human]
        self.targets = np.bincount(inverse.ravel(), oriented) / self.sizes
        off = np.abs(oriented - self.targets[inverse.ravel()]) > _TARGET_TOLERANCE
        if off.any():
            row = np.flatnonzero(~is_human)[np.flatnonzero(off)[0]]
            first, second = self.names[self.groups[row]]
            raise ValueError(
                f"train dataset: column {TARGET!r} is not the same in all pairs of {first!r} and {second!r}; first: row "
                f"{row}, value {target[row]:g}, but their mean is {self.targets[self.groups[row]]:.6g} for {first!r}. It is "
                "the win rate of the model of chosen against that of rejected: p in one order is 1 − p in the other. Or "
                "pass `ratings`."
            )
        self.variances = self._variances(columns.ratings) if use_rating_variance else None

    def __len__(self) -> int:
        return len(self.codes)

    def frozen_scale(self, dataset: Dataset) -> RewardScale:
        """Scale of the reward differences before training, of every pair of models in the order of their names."""
        chosen, rejected, first, second = (np.asarray(dataset[c]) for c in (CHOSEN_CODE, REJECTED_CODE, *SCORES))
        differences = np.where(chosen < rejected, 1, -1) * (first.astype(np.float64) - second)
        of_models = self.groups != HUMAN
        return RewardScale.of(differences[of_models], self.groups[of_models], _weights(dataset)[of_models])

    def _variances(self, ratings: RatingTable | None) -> np.ndarray:
        if ratings is None:
            raise ValueError("`use_rating_variance` needs `ratings`, with intervals or a covariance")
        models = sorted({model for pair in self.names for model in pair})
        if (ratings.covariance is None) and not np.isfinite(ratings.standard_errors(models)).all():
            unknown = models[int(np.flatnonzero(~np.isfinite(ratings.standard_errors(models)))[0])]
            raise ValueError(
                f"`use_rating_variance` needs an interval for every rating or a covariance; model {unknown!r} has none"
            )
        covariance = ratings.covariance_of(models)
        first, second = (np.array([models.index(pair[side]) for pair in self.names]) for side in (0, 1))
        difference = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
        slope = self.targets * (1 - self.targets) * np.log(10) / 400  # of the win rate, per Elo point
        return slope**2 * difference

    def check_sizes(self, batch_size: int, args: CalibrationRewardConfig) -> None:
        """
        Refuse pairs of models and batches that no win rate can be estimated from, and warn of those with few rows.

        Args:
            batch_size (`int`): Rows of a batch of all processes.
            args ([`CalibrationRewardConfig`]): Configuration.
        """
        if (few := np.flatnonzero(self.weighted_sizes < 2)).size:
            raise ValueError(
                f"train dataset: {few.size} pairs of models have fewer than 2 rows of a weight above 0; first: "
                f"{self.names[few[0]]}, which have {self.weighted_sizes[few[0]]}. A win rate can't be estimated from them: "
                "add rows, or remove these."
            )
        rows_per_batch = batch_size * self.sizes.sum() / len(self.groups)
        rows_per_estimate = rows_per_batch / min(args.pairs_of_models_per_batch, len(self))
        self._check_batch(rows_per_batch, rows_per_estimate, batch_size, args)
        rows = np.minimum(self.weighted_sizes, rows_per_estimate * self.weighted_sizes / self.sizes)
        errors = np.sqrt(self.targets * (1 - self.targets) / rows)
        worst = int(errors.argmax())
        level = logging.WARNING if errors[worst] > _LARGE_STANDARD_ERROR else logging.INFO
        logger.log(
            level,
            "A win rate is estimated from at most %.3g pairs of a batch of all processes, with a standard error of up to %.3f "
            "(%s and %s, %d rows). Larger batches, fewer `pairs_of_models_per_batch` or `win_rate_ema_decay` make it smaller.",
            rows_per_estimate, errors[worst], *self.names[worst], self.sizes[worst],
        )  # fmt: skip

    def _check_batch(
        self, rows_per_batch: float, rows_per_estimate: float, batch_size: int, args: CalibrationRewardConfig
    ) -> None:
        found = f"A batch of all processes has {batch_size} rows, {rows_per_batch:.3g} of them of "
        if rows_per_estimate < 2 and args.win_rate_ema_decay == 0:
            pairs = min(args.pairs_of_models_per_batch, len(self))
            raise ValueError(
                f"{found}{pairs} pairs of models: {rows_per_estimate:.3g} per win rate, but at least 2 are needed, and "
                "gradient accumulation does not add up to more. Raise `per_device_train_batch_size` (64 and more, with less "
                "accumulation), lower `pairs_of_models_per_batch`, or set `win_rate_ema_decay` (0.9, say)."
            )
        if rows_per_batch < 2 and args.anchor_coefficient > 0:
            raise ValueError(
                f"{found}two models: the variance within a model, which the anchor holds, needs at least 2. Raise "
                "`per_device_train_batch_size`, or set anchor_coefficient=0."
            )


_LARGE_STANDARD_ERROR = 0.1


def with_human_pairs(dataset: Dataset, human: Dataset) -> Dataset:
    """Both datasets, tokenised, as one, with the columns of the trainer alone."""
    # What describes calibration pairs is not made up for them because human pairs have it
    known = {*dataset.column_names, *(set(human.column_names) - {*SCORES, LABEL_TEMPERATURE})}
    columns = [column for column in _FILL if column in known]
    parts = []
    for part in (dataset, human):
        kept = part.select_columns(["chosen_ids", "rejected_ids"])
        for column in columns:
            known = column in part.column_names
            values = np.asarray(part[column], dtype=np.float64) if known else np.full(len(part), _FILL[column])
            kept = kept.add_column(column, values)
        parts.append(kept)
    return concatenate_datasets([parts[0], parts[1].cast(parts[0].features)])


def _weights(dataset: Dataset) -> np.ndarray:
    return np.asarray(dataset["weight"]) if "weight" in dataset.column_names else np.ones(len(dataset))


def _check_weight(dataset: Dataset, name: str) -> None:
    """Raise if no row counts."""
    if len(dataset) and not (_weights(dataset) > 0).any():
        raise ValueError(
            f"{name} dataset: column 'weight' is 0 in all {len(dataset)} rows: nothing would be trained. Allowed: numbers of "
            "at least 0, of which one is above 0."
        )


def _check_two_models(dataset: Dataset, same: np.ndarray, method: str) -> None:
    if same.any():
        Checker(dataset, "train dataset").fail(
            SOURCES[1],
            f"equal to {SOURCES[0]!r}",
            np.flatnonzero(same),
            fix=f"calibration_method={method!r} compares two models: remove these rows.",
        )


def _label_temperatures(dataset: Dataset, temperature: float | None, name: str) -> tuple[float, float]:
    """Smallest and largest temperature of soft labels, after a check that it is not given twice and differently."""
    if LABEL_TEMPERATURE not in dataset.column_names:
        return (temperature or 1.0,) * 2
    values = np.asarray(dataset[LABEL_TEMPERATURE], dtype=np.float64)
    checker = Checker(dataset, f"{name} dataset")
    if (bad := np.flatnonzero(values == 0)).size:
        checker.fail(LABEL_TEMPERATURE, "that are 0", bad, fix="Allowed: numbers above 0, in units of reward.")
    if temperature is not None and (bad := np.flatnonzero(~np.isclose(values, temperature))).size:
        fix = "The column says what the labels were made with: leave `temperature` out, or remove the column."
        checker.fail(LABEL_TEMPERATURE, f"other than temperature={temperature:g}", bad, fix=fix)
    return float(values.min()), float(values.max())


def _check_inside(dataset: Dataset, name: str) -> None:
    target = np.asarray(dataset[TARGET], dtype=np.float64)
    if (bad := np.flatnonzero((target <= 0) | (target >= 1))).size:
        fix = "Allowed: numbers inside (0, 1). No finite reward has a win rate of 0 or 1."
        Checker(dataset, f"{name} dataset").fail(TARGET, "that are 0 or 1", bad, fix=fix)


def _check_order(dataset: Dataset) -> None:
    """Raise if labels contradict the order of the responses, which is all that hard labels are."""
    if "label" in dataset.column_names:
        label = np.asarray(dataset["label"], dtype=np.float64)
        if (bad := np.flatnonzero(label <= 0.5)).size:
            fix = (
                "calibration_method='hard' takes chosen for the better response: exchange both where label is below one "
                "half and drop ties, or use calibration_method='soft'."
            )
            Checker(dataset, "train dataset").fail("label", "of at most one half", bad, fix=fix)
    if not all(column in dataset.column_names for column in SOURCES):
        return
    winners: dict[tuple[str, str], set[str]] = {}
    for chosen, rejected in zip(*(dataset[column] for column in SOURCES), strict=True):
        winners.setdefault(tuple(sorted((str(chosen), str(rejected)))), set()).add(str(chosen))
    if len(dataset) >= _FEW_PER_MODEL_PAIR * len(winners) and all(len(found) == 1 for found in winners.values()):
        logger.warning(
            "In all pairs of the same two models chosen is of the same one: %s. Are these pairs without a preference, for "
            "calibration_method='matching'?", shorten(list(winners))
        )  # fmt: skip

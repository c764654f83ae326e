"""The interface of all calibrators."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from ..arms import check_same_definition, get_arm
from ..json_io import load_json, save_json
from .inputs import FitRecord, as_labels, as_scores, hash_rows


class Calibrator(ABC):
    """
    Base of calibrators: from a score to the probability that the annotator (or a model) is correct.

    A subclass names its `kind` and its parameters, which are attributes and arguments of its constructor, and says
    whether it takes `soft_labels` in [0, 1]. What it was fitted on is kept in `fit_record` and saved with it.
    """

    kind: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]
    settings: ClassVar[tuple[str, ...]] = ()
    soft_labels: ClassVar[bool] = False
    fit_record: FitRecord | None = None

    def fit(
        self, scores: ArrayLike, correct: ArrayLike, *, fitted_on: str | None = None, arm: str | None = None
    ) -> Self:
        """
        Fits on rows that neither trained nor selected the model behind the scores.

        Args:
            scores (`array_like` of shape `(N,)`):
                Finite scores.
            correct (`array_like` of shape `(N,)`):
                Whether the annotator was correct: booleans, or 0 and 1; numbers in [0, 1] where the calibrator takes
                soft labels.
            fitted_on (`str`, *optional*):
                Name of the split, for the record.
            arm (`str`, *optional*):
                Metric behind the scores, a key of [`~trl_ext.reliability.arms.ARMS`], so that
                [`~Calibrator.predict`] can refuse another one.

        Returns:
            The calibrator itself.

        Raises:
            ValueError: a score is not finite, a label is not allowed, the shapes differ, there are no rows, or all labels
                say the same.
        """
        scores = as_scores(scores)
        labels = as_labels(correct, scores, self.soft_labels)
        if not scores.size:
            raise ValueError("scores is empty: a calibrator needs rows to fit")
        if (labels == 0).all() or (labels == 1).all():
            raise ValueError("correct needs at least one 0 and one 1 to fit a calibrator")
        if arm is not None:
            get_arm(arm)
        self._fit(scores, labels)
        self.fit_record = FitRecord(fitted_on, scores.size, hash_rows(scores, labels), arm)
        return self

    def predict(
        self, scores: ArrayLike, *, arm: str | None = None, allow_definition_mismatch: bool = False
    ) -> np.ndarray:
        """
        P(correct).

        Args:
            scores (`array_like` of shape `(N,)`):
                Finite scores, of the metric the calibrator was fitted on.
            arm (`str`, *optional*):
                Metric behind these scores.
            allow_definition_mismatch (`bool`, *optional*, defaults to `False`):
                Warn instead of refusing when it is defined otherwise than the metric the calibrator was fitted on.

        Returns:
            `numpy.ndarray` of shape `(N,)`, float64, in [0, 1].
        """
        self._require_fit("predict")
        if arm is not None and self.fit_record is not None and self.fit_record.arm is not None:
            check_same_definition(
                get_arm(self.fit_record.arm), get_arm(arm), allow_definition_mismatch=allow_definition_mismatch
            )
        return self._predict(as_scores(scores))

    def was_fitted_on(self, scores: ArrayLike, correct: ArrayLike) -> bool:
        """Whether exactly these rows, in any order, were fitted on. Says nothing about a part of them."""
        if self.fit_record is None:
            return False
        scores = as_scores(scores)
        return self.fit_record.data_hash == hash_rows(scores, as_labels(correct, scores, soft=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        self._require_fit("to_dict")
        values = {name: getattr(self, name) for name in (*self.settings, *self.parameters)}
        record = None if self.fit_record is None else asdict(self.fit_record)
        return {"kind": self.kind, **values, "fit_record": record}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Rebuilds what `to_dict` wrote."""
        if config.get("kind") != cls.kind:
            raise ValueError(f"expected a calibrator of kind '{cls.kind}', got {config.get('kind')!r}")
        names = (*cls.settings, *cls.parameters)
        if missing := [name for name in names if name not in config]:
            raise ValueError(f"the {cls.kind} calibrator lacks {missing}; it has {sorted(config)}")
        calibrator = cls(**{name: config[name] for name in names})
        if config.get("fit_record") is not None:
            calibrator.fit_record = FitRecord(**config["fit_record"])
        return calibrator

    def save(self, path: str | Path) -> None:
        """Writes the calibrator to a JSON file."""
        save_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote; see [`load_calibrator`] for a file of unknown kind."""
        return cls.from_dict(load_json(path))

    def _require_fit(self, what: str) -> None:
        if any(getattr(self, name) is None for name in self.parameters):
            raise NotFittedError(f"call fit(scores, correct) before {what}")

    @abstractmethod
    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Sets the parameters, plain Python types."""

    @abstractmethod
    def _predict(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of checked scores."""

"""Which texts have an attribute, by a sequence classification model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .classifiers import side_of


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelClassifier:
    """
    A text has the attribute if the model gives its label a probability above a threshold.

    A model with a single output has no labels: its output itself is compared with the threshold.

    Args:
        model (`str`): Path or Hub id of a sequence classification model with safetensors weights.
        label (`str` or `int`, *optional*): Name or number of the label that means the attribute.
        threshold (`float`, *optional*, defaults to `0.5`): Probability in [0, 1], or an output.
        neutral (`float`, *optional*, defaults to `0.0`): Nothing is said about texts this close to the threshold.
        max_length (`int`, *optional*): Tokens of a text, the rest is cut off. Default: what the model can take.
        batch_size (`int`, *optional*, defaults to `32`): Texts at once.
        revision (`str`, *optional*): Commit or branch on the Hub.
        device (`str`, *optional*): By default the GPU if there is one.
        trust_remote_code (`bool`, *optional*, defaults to `False`): Run code from the model's repository.
    """

    model: str
    label: str | int | None = None
    threshold: float = 0.5
    neutral: float = 0.0
    max_length: int | None = None
    batch_size: int = 32
    revision: str | None = None
    device: str | None = None
    trust_remote_code: bool = False
    _loaded: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _counts: dict[str, int] = field(default_factory=lambda: {"texts": 0, "truncated": 0}, compare=False, repr=False)

    def settings(self) -> dict[str, Any]:
        not_settings = ("_loaded", "_counts", "device", "batch_size")
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in not_settings}
        return {"kind": "model"} | {key: value for key, value in given.items() if value is not None}

    def report(self) -> dict[str, int]:
        """How many texts were classified, and how many of them were cut."""
        return dict(self._counts)

    def __call__(self, text: str, row: Mapping[str, Any]) -> bool | None:
        return self.classify_batch([text])[0]

    def classify_batch(self, texts: Sequence[str]) -> list[bool | None]:
        """Whether each text has the attribute."""
        import torch

        loaded = self._load()
        model, tokenizer, limit = loaded["model"], loaded["tokenizer"], loaded["limit"]
        lengths = [len(ids) for ids in tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]]
        truncated = 0 if limit is None else sum(length > limit for length in lengths)
        self._counts["texts"] += len(texts)
        self._counts["truncated"] += truncated
        if truncated:
            logger.warning("%d of %d texts are longer than %d tokens: cut.", truncated, len(texts), limit)
        size = self.batch_size if tokenizer.pad_token is not None else 1
        # Equal lengths together, so that little is padding
        order = sorted(range(len(texts)), key=lengths.__getitem__)
        sides: list[bool | None] = [None] * len(texts)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            inputs = tokenizer(
                [texts[row] for row in rows],
                padding=size > 1,
                truncation=limit is not None,
                max_length=limit,
                return_tensors="pt",
            ).to(model.device)
            with torch.inference_mode():
                logits = model(**inputs).logits.float()
            scores = logits[:, 0] if loaded["label"] is None else logits.softmax(-1)[:, loaded["label"]]
            for row, score in zip(rows, scores.tolist(), strict=True):
                sides[row] = side_of(score, self.threshold, self.neutral)
        return sides

    def _load(self) -> dict[str, Any]:
        if self._loaded:
            return self._loaded
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        source = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, **source)
            model = AutoModelForSequenceClassification.from_pretrained(self.model, use_safetensors=True, **source)
        except (OSError, ValueError) as error:
            raise ValueError(f"classifier: model {self.model!r} can't be loaded: {error}") from error
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        limits = (
            self.max_length,
            getattr(model.config, "max_position_embeddings", None),
            tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None,  # else it means: unknown
        )
        self._loaded.update(
            label=self._label_number(model.config),
            limit=min((limit for limit in limits if limit), default=None),
            tokenizer=tokenizer,
            model=model.eval().to(device),
        )
        return self._loaded

    def _label_number(self, config: Any) -> int | None:
        names = {number: str(name) for number, name in config.id2label.items()}
        if config.num_labels == 1:
            if self.label is not None:
                raise ValueError(
                    f"classifier: model {self.model!r} has a single output and no labels: leave out `label`"
                )
            return None
        listed = ", ".join(f"{number} ({name})" for number, name in names.items())
        found = [
            number
            for number, name in names.items()
            if self.label == number or isinstance(self.label, str) and name.lower() == self.label.lower()
        ]
        if not found:
            raise ValueError(f"classifier: label of model {self.model!r} must be one of {listed}, got {self.label!r}")
        return found[0]

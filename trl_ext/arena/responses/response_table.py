"""Responses of several models to the same prompts, aligned by the prompts' ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..score_table import check_each_once, check_model_names


@dataclass(frozen=True)
class ResponseTable:
    """
    One response for every prompt and every model.

    Args:
        prompt_ids (`tuple[str, ...]`):
            Ids of the N prompts, each once.
        prompts (`tuple[str | list[dict], ...]`):
            The prompts: texts, or lists of messages.
        models (`tuple[str, ...]`):
            Names of the M models, each once.
        responses (`tuple[tuple[str, ...], ...]`):
            N rows of M responses, in the order of `models`.

    Raises:
        ValueError: Ids or names occur twice, or the numbers of ids, prompts, models and responses do not agree.
    """

    prompt_ids: tuple[str, ...]
    prompts: tuple[Any, ...]
    models: tuple[str, ...]
    responses: tuple[tuple[str, ...], ...]

    def __post_init__(self):
        for name in ("prompt_ids", "prompts", "models"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "responses", tuple(map(tuple, self.responses)))
        check_each_once(self.prompt_ids, "prompt id")
        check_model_names(self.models)
        check_each_once(self.models, "model")
        if not len(self.prompt_ids) == len(self.prompts) == len(self.responses):
            raise ValueError(
                f"there are {len(self.prompt_ids)} prompt ids, {len(self.prompts)} prompts and {len(self.responses)} "
                "rows of responses: they must be as many"
            )
        for prompt_id, row in zip(self.prompt_ids, self.responses, strict=True):
            if len(row) != len(self.models):
                raise ValueError(f"prompt {prompt_id!r} has {len(row)} responses of {len(self.models)} models")

    def __len__(self) -> int:
        return len(self.prompt_ids)

    def of(self, model: str) -> tuple[str, ...]:
        """Responses of a model, prompt by prompt."""
        if model not in self.models:
            raise ValueError(
                f"there are no responses of model {model!r}; there are {', '.join(map(repr, self.models))}"
            )
        column = self.models.index(model)
        return tuple(row[column] for row in self.responses)

    def select(self, prompt_ids: Sequence[str]) -> "ResponseTable":
        """The same for some prompts, in the given order."""
        rows = {prompt: row for row, prompt in enumerate(self.prompt_ids)}
        unknown = [prompt for prompt in prompt_ids if prompt not in rows]
        if unknown:
            raise ValueError(f"{len(unknown)} prompt ids have no responses; first: {unknown[0]!r}")
        picked = [rows[prompt] for prompt in prompt_ids]
        return ResponseTable(
            tuple(prompt_ids),
            tuple(self.prompts[row] for row in picked),
            self.models,
            tuple(self.responses[row] for row in picked),
        )

    def rows(self) -> list[dict[str, Any]]:
        """K-way rows for [`~trl_ext.RewardScorer`]: `id`, `prompt`, `responses`, `sources`."""
        return [
            {"id": prompt_id, "prompt": prompt, "responses": list(responses), "sources": list(self.models)}
            for prompt_id, prompt, responses in zip(self.prompt_ids, self.prompts, self.responses, strict=True)
        ]

"""How long scoring took, and what of it was the model."""

import dataclasses


@dataclasses.dataclass
class Timing:
    """
    Duration and amount of one call of a scorer.

    Args:
        wall_seconds (`float`): From the first window to the last.
        model_seconds (`float`): Spent in the model, summed over processes.
        responses (`int`): Responses that were scored.
        computed_tokens (`int`): Tokens that the model computed, padding included.
        sequence_tokens (`int`): Tokens of all prompts with their responses, as if nothing were shared.
        truncated (`int`): Responses whose prompt was truncated, those that were scored before a resume among them.
        processes (`int`): Number of processes.
    """

    wall_seconds: float = 0.0
    model_seconds: float = 0.0
    responses: int = 0
    computed_tokens: int = 0
    sequence_tokens: int = 0
    truncated: int = 0
    processes: int = 1

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all prompts with their responses, per second of wall time."""
        return self.sequence_tokens / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def overhead(self) -> float:
        """Share of the wall time that is not the model's."""
        return 1 - self.model_seconds / self.processes / self.wall_seconds if self.wall_seconds else 0.0

    def to_dict(self) -> dict[str, float | int]:
        """The figures, for a JSON record."""
        return dataclasses.asdict(self) | {"tokens_per_second": self.tokens_per_second, "overhead": self.overhead}

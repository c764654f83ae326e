"""Faults of known number, put into the results of a rewriter."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..rewriting.rewriter import Rewriter, RewriteRequest, Rewritten
from .chance import check_probability, keyed_rng


FAULTS = ("refusal", "empty", "preamble", "truncate", "blow_up", "no_flip", "error")
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot rewrite this text, as it may be harmful.",
    "As an AI language model, I am not able to do this.",
)
PREAMBLES = (
    "Sure, here is the rewritten text:\n\n",
    "Here's the adjusted version:\n\n",
    "Certainly! Below is the text with the change you asked for.\n\n",
)


class FaultyRewriter:
    """
    A rewriter with the faults of chat models, to test what finds them. Every result has one fault at most.

    Args:
        rewriter ([`Rewriter`]):
            What rewrites.
        refusal (`float`, *optional*, defaults to `0.0`):
            Share of results that are a refusal, as a text.
        empty (`float`, *optional*, defaults to `0.0`):
            Share without a text, failure `"empty"`.
        preamble (`float`, *optional*, defaults to `0.0`):
            Share that begin with an announcement.
        truncate (`float`, *optional*, defaults to `0.0`):
            Share that end after 30 to 70 % of their characters, with finish reason `"length"`.
        blow_up (`float`, *optional*, defaults to `0.0`):
            Share that say everything five times.
        no_flip (`float`, *optional*, defaults to `0.0`):
            Share that are the text as it was.
        error (`float`, *optional*, defaults to `0.0`):
            Share without a text, failure `"error"`.
        seed (`int`, *optional*, defaults to `0`):
            Seed. What happens to a request depends on it and on the request alone.

    Attributes:
        faults (`dict[tuple[str, int], str]`): Kind of fault by id and step of what it was put into, so far.

    Raises:
        ValueError: A share is outside [0, 1], or they add up to more than 1.

    Example:
        ```python
        >>> from trl_ext.rate import FaultyRewriter, RewriteRequest, rule_rewriter
        >>> rewriter = FaultyRewriter(rule_rewriter("sentiment"), refusal=0.5, error=0.5)
        >>> requests = [RewriteRequest(str(i), "Write a review.", "A great film.", False, 1) for i in range(100)]
        >>> results = rewriter.rewrite(requests)
        >>> sum(result.failure == "error" for result in results) == rewriter.injected["error"]
        True
        >>> sum(rewriter.injected.values())
        100

        ```
    """

    def __init__(
        self,
        rewriter: Rewriter,
        *,
        refusal: float = 0.0,
        empty: float = 0.0,
        preamble: float = 0.0,
        truncate: float = 0.0,
        blow_up: float = 0.0,
        no_flip: float = 0.0,
        error: float = 0.0,
        seed: int = 0,
    ):
        rates = (refusal, empty, preamble, truncate, blow_up, no_flip, error)
        self.rates = {kind: check_probability(rate, kind) for kind, rate in zip(FAULTS, rates, strict=True)}
        if sum(self.rates.values()) > 1 + 1e-9:
            raise ValueError(f"a result has one fault at most: shares must add up to 1 or less, got {self.rates}")
        self.rewriter = rewriter
        self.name = f"{rewriter.name} with faults"
        self.seed = seed
        self.faults: dict[tuple[str, int], str] = {}

    @property
    def injected(self) -> Counter[str]:
        """How many results have which fault, so far; a request that is repeated counts once."""
        return Counter(self.faults.values())

    def settings(self) -> dict[str, Any]:
        """See [`Rewriter`]."""
        return {"rewriter": "faulty", "of": self.rewriter.settings(), "rates": self.rates, "seed": self.seed}

    def rewrite(self, requests: Sequence[RewriteRequest]) -> list[Rewritten]:
        """See [`Rewriter`]."""
        results = self.rewriter.rewrite(requests)
        return [self._spoil(request, result) for request, result in zip(requests, results, strict=True)]

    def _spoil(self, request: RewriteRequest, result: Rewritten) -> Rewritten:
        rng = keyed_rng(self.seed, "fault", request.id, request.step, request.text)
        place, kind = rng.random(), None
        for fault, rate in self.rates.items():
            if place < rate:
                kind = fault
                break
            place -= rate
        if kind is None or result.text is None:
            return result
        self.faults[request.id, request.step] = kind
        text = result.text
        if kind in ("empty", "error"):
            return Rewritten(None, kind)
        if kind == "truncate":
            cut = text[: max(1, int(len(text) * rng.uniform(0.3, 0.7)))].rstrip()
            return Rewritten(cut or text.strip()[:1], finish_reason="length")
        changed = {
            "refusal": lambda: REFUSALS[rng.integers(len(REFUSALS))],
            "preamble": lambda: PREAMBLES[rng.integers(len(PREAMBLES))] + text,
            "blow_up": lambda: " ".join([text] * 5),
            "no_flip": lambda: request.text,
        }
        return Rewritten(changed[kind](), finish_reason="stop")

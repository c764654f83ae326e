"""What chains of rewrites will cost, before anything is sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..attributes.attribute import Attribute
from ..chains.steps import step_names
from ..chains.text_chains import TextChains
from .chat_rewriter import LENGTH_FACTOR, ChatRewriter


if TYPE_CHECKING:
    from ...completions import Answer, Prices, Sampling
    from ...completions.engine import Backend


@dataclass(frozen=True)
class StepEstimate:
    """
    What one step of all chains will cost.

    Args:
        step (`str`): Name of the step.
        requests (`int`): Texts to rewrite.
        answered (`int`): Those whose answer is stored.
        to_ask (`int`): Questions that will be sent; equal ones count once.
        assumed (`int`): Texts that are not known yet, in whose place what they rewrite is counted.
        prompt_tokens (`int`): Tokens of the questions that will be sent.
        completion_tokens (`int`): Tokens of their answers, if these are as long as the texts.
        most_completion_tokens (`int` or `None`): The same, if all are as long as allowed; `None` without a limit.
    """

    step: str
    requests: int
    answered: int
    to_ask: int
    assumed: int
    prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int | None


@dataclass(frozen=True)
class RewriteEstimate:
    """
    What chains of rewrites will cost. Repeated attempts after empty answers are not foreseen.

    Args:
        steps (`tuple[StepEstimate, ...]`): The same for each step.
        to_ask (`int`): Questions that will be sent.
        prompt_tokens (`int`): Their tokens.
        completion_tokens (`int`): Tokens of their answers, if these are as long as the texts.
        most_completion_tokens (`int` or `None`): The same, if all are as long as allowed; `None` without a limit.
        cost (`float` or `None`): Price, if answers are as long as the texts; `None` without prices.
        most_cost (`float` or `None`): Price, if all are as long as allowed.
        rule (`str`): How it was counted, in words.
    """

    steps: tuple[StepEstimate, ...]
    to_ask: int
    prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int | None
    cost: float | None
    most_cost: float | None
    rule: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def estimate_rewrites(
    chains: TextChains,
    attribute: Attribute,
    backend: "Backend",
    steps: int = 2,
    prices: "Prices | None" = None,
    *,
    store_path: str | Path | None = None,
    sampling: "Sampling | None" = None,
    length_factor: float | None = LENGTH_FACTOR,
    repetition: int = 0,
    strip_preamble: bool = False,
) -> RewriteEstimate:
    """
    Count what [`rewrite_chains`] with a [`ChatRewriter`] would ask, and send nothing.

    A rewrite that is not known yet is assumed to be as long as what it rewrites, so that the second step is counted like
    the first: it costs more or less if the model lengthens or shortens. What the store knows is counted as it is; a
    question that got nothing but empty answers counts as one to ask.

    Args:
        chains ([`TextChains`]): The originals; rewrites that they have are not asked for.
        attribute ([`Attribute`]): What would be changed.
        backend ([`~trl_ext.completions.OpenAIBackend`], ...): What would answer.
        steps (`int`, *optional*, defaults to `2`): Rewrites of every text.
        prices ([`~trl_ext.completions.Prices`], *optional*): For the cost. Those of a batch, if it is one.
        store_path (`str` or `Path`, *optional*): Store with answers that are there already.
        sampling ([`~trl_ext.completions.Sampling`], *optional*): As for [`ChatRewriter`].
        length_factor (`float`, *optional*, defaults to `4.0`): As for [`ChatRewriter`].
        repetition (`int`, *optional*, defaults to `0`): As for [`ChatRewriter`].
        strip_preamble (`bool`, *optional*, defaults to `False`): As for [`ChatRewriter`].

    Returns:
        [`RewriteEstimate`]

    Raises:
        ValueError: Attributes do not agree, or there are more rewrites than `steps`.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.completions import OpenAIBackend, Prices
        >>> from trl_ext.rate import Attribute, TextChains, estimate_rewrites
        >>> length = Attribute("length", "longer", "shorter", "Make this text {target}: {text}")
        >>> review = "A fine film. " * 80
        >>> originals = TextChains("length", ("a", "b"), ("Review:",) * 2, np.array([True, False]), ((review,), (review,)))
        >>> backend = OpenAIBackend("llama", base_url="http://localhost:8000/v1", api_key_env=None)
        >>> estimate = estimate_rewrites(originals, length, backend, prices=Prices(prompt=2.5, completion=10.0))
        >>> estimate.to_ask, estimate.prompt_tokens, estimate.completion_tokens, round(estimate.cost, 4)
        (4, 1080, 1040, 0.0131)

        ```
    """
    if chains.attribute != attribute.name:
        raise ValueError(f"the chains are those of attribute {chains.attribute!r}, not of {attribute.name!r}")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < max(1, chains.steps):
        raise ValueError(
            f"steps must be at least 1 and no fewer than the {chains.steps} that are there, got {steps!r}"
        )
    rewriter = ChatRewriter(
        backend,
        attribute,
        "" if store_path is None else store_path,
        sampling=sampling,
        length_factor=length_factor,
        repetition=repetition,
        strip_preamble=strip_preamble,
    )
    texts = [None if row[-1] is None else (row[-1], False) for row in chains.texts]
    estimates = []
    with _stored_answers(store_path) as stored:
        for step in range(chains.steps + 1, steps + 1):
            estimate, texts = _estimate_step(chains, texts, rewriter, step, stored)
            estimates.append(estimate)
    limits = [estimate.most_completion_tokens for estimate in estimates]
    prompt = sum(estimate.prompt_tokens for estimate in estimates)
    completion = sum(estimate.completion_tokens for estimate in estimates)
    most = None if None in limits else sum(limits)
    return RewriteEstimate(
        steps=tuple(estimates),
        to_ask=sum(estimate.to_ask for estimate in estimates),
        prompt_tokens=prompt,
        completion_tokens=completion,
        most_completion_tokens=most,
        cost=None if prices is None else prices.cost(prompt, completion),
        most_cost=None if prices is None or most is None else prices.cost(prompt, most),
        rule=f"{backend.prompt_rule}; answers: as long as the texts; rewrites not known yet: as long as what they rewrite",
    )


# A row's text that the next step rewrites, and whether it stands for one that is not known; None after a failure
_Text = tuple[str, bool] | None


def _estimate_step(
    chains: TextChains,
    texts: list[_Text],
    rewriter: ChatRewriter,
    step: int,
    stored: "Callable[[str], list[Answer]]",
) -> tuple[StepEstimate, list[_Text]]:
    """The estimate of a step, and the texts that the next one rewrites."""
    from ...completions import request_key

    backend = rewriter.backend
    following: list[_Text] = []
    asked = {}
    answered = 0
    for row, known in enumerate(texts):
        if known is None:
            following.append(None)
            continue
        text, assumed = known
        target = bool(chains.w[row] ^ (step % 2))
        question = rewriter.completion_request("estimate", text, target)
        key = request_key(backend.model_id, question)
        rewrite = None if assumed else next((a.text for a in stored(key) if a.text.strip()), None)
        if rewrite is None:
            asked.setdefault(key, (question, text))
            following.append((text, True))
        else:
            answered += 1
            following.append((rewriter.clean(rewrite), False))
    limits = [question.sampling.max_tokens for question, _ in asked.values()]
    empty = backend.count_prompt_tokens([{"role": "user", "content": ""}])
    lengths = [backend.count_prompt_tokens([{"role": "user", "content": text}]) - empty for _, text in asked.values()]
    return (
        StepEstimate(
            step=step_names(step + 1)[-1],
            requests=sum(text is not None for text in texts),
            answered=answered,
            to_ask=len(asked),
            assumed=sum(text is not None and text[1] for text in texts),
            prompt_tokens=sum(backend.count_prompt_tokens(question.messages) for question, _ in asked.values()),
            completion_tokens=sum(lengths),
            most_completion_tokens=None if None in limits else sum(limits),
        ),
        following,
    )


@contextmanager
def _stored_answers(store_path: str | Path | None) -> "Iterator[Callable[[str], list[Answer]]]":
    """Function from the key of a question to its stored answers."""
    from ...completions import AnswerStore

    if store_path is None or not Path(store_path).exists():
        yield lambda key: []
        return
    with AnswerStore(store_path) as store:
        yield store.attempts

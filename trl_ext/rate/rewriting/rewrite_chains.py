"""Chains of rewrites: into the opposite, back, and so on."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..attributes.attribute import Attribute
from ..chains.steps import step_names
from ..chains.text_chains import TextChains
from .rewrite_files import RewriteFile
from .rewriter import Rewriter, RewriteRequest, Rewritten


logger = logging.getLogger(__name__)


def rewrite_chains(
    chains: TextChains,
    attribute: Attribute,
    rewriter: Rewriter,
    *,
    steps: int = 2,
    path: str | Path | None = None,
    overwrite: bool = False,
    retry_failures: bool = False,
    progress: bool = True,
) -> TextChains:
    """
    Rewrite texts into the opposite, back, and so on.

    Step k asks for the value `w` of the original where k is even, for the opposite where it is odd. A failed rewrite
    stays in the table with its reason, and what would follow it fails for want of it (`"no_rewrite"`, ...).

    With `path`, the chains are written there after every step, and how they were made beside it (`rewrites.meta.json` for
    `rewrites.jsonl`: settings, hashes, versions, counts by step and reason, ledger). If the file has all steps and was made with the same settings, it is returned and nothing is asked; if it has fewer, only
    the steps that follow are asked; if it has more, the first are returned and the file stays. Within a step nothing
    is written here: a [`ChatRewriter`] keeps its answers in a store of its own, so that the same call goes on after an
    interruption.

    Args:
        chains ([`TextChains`]):
            The originals. If they have rewrites already, these are kept.
        attribute ([`Attribute`]):
            What is changed; that of the chains and of the rewriter.
        rewriter ([`Rewriter`]):
            What rewrites: [`ChatRewriter`], a rule, or another.
        steps (`int`, *optional*, defaults to `2`):
            Rewrites of every text: 2 for RATE, 3 for the symmetric correction.
        path (`str` or `Path`, *optional*):
            JSONL file, see [`TextChains.write`].
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace a file that was made with other settings or of other texts.
        retry_failures (`bool`, *optional*, defaults to `False`):
            Ask again for the rewrites of the file that failed. By default they stay as they are.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar over the steps. A rewriter may have its own.

    Returns:
        [`TextChains`]: With `steps` rewrites of every text.

    Raises:
        ValueError: Attributes do not agree, the file was made otherwise or changed since, or the rewriter does not give
            one result for each request.
        TypeError: The rewriter gives something else than [`Rewritten`].

    References:
        - Reber et al., RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, 2025, algorithm 1.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import Attribute, Rewritten, TextChains, rewrite_chains
        >>> class Shout:
        ...     name = "shout"
        ...     def rewrite(self, requests):
        ...         return [Rewritten(r.text.upper() if r.target else r.text.lower()) for r in requests]
        ...     def settings(self):
        ...         return {"kind": "shout"}
        >>> loud = Attribute("loud", "loud", "quiet", "Make this {target}: {text}")
        >>> originals = TextChains("loud", ("a", "b"), ("Say it.", "Say it."), np.array([True, False]), (("YES",), ("No",)))
        >>> rewrite_chains(originals, loud, Shout(), progress=False).texts
        (('YES', 'yes', 'YES'), ('No', 'NO', 'no'))

        ```
    """
    _check(chains, attribute, rewriter, steps)
    file = known = None
    if path is not None:
        file = RewriteFile(path, chains, attribute, rewriter)
        known = file.read(overwrite=overwrite)
        if known is not None and known.steps >= steps and not (retry_failures and not known.complete.all()):
            _tell_failures(known.cut(steps), file.path)
            return known.cut(steps)
        if known is None or known.steps < chains.steps:
            known = chains
    elif chains.steps:
        known = chains
    known_steps = 0 if known is None else known.steps
    current = chains.cut(0)
    for step in tqdm(range(1, max(steps, known_steps) + 1), desc="Rewrites", unit="step", disable=not progress):
        current = _rewrite_step(current, known, rewriter, step, retry_failures)
        # The steps that the file has are written together, so that it never has fewer
        if file is not None and step >= known_steps:
            file.write(current)
    if file is not None:
        _tell_failures(current.cut(steps), file.path)
    return current.cut(steps)


def rewrite_requests(chains: TextChains) -> list[RewriteRequest | None]:
    """
    What the next step of chains asks for.

    Args:
        chains ([`TextChains`]): Chains with K rewrites.

    Returns:
        `list[RewriteRequest | None]`: N requests for rewrite K + 1; `None` where there is nothing to rewrite.
    """
    step = chains.steps + 1
    targets = chains.targets(step)
    return [
        None if text is None else RewriteRequest(name, prompt, text, bool(target), step)
        for name, prompt, text, target in zip(
            chains.ids, chains.prompts, chains.of(chains.steps), targets, strict=True
        )
    ]


def _rewrite_step(
    current: TextChains, known: TextChains | None, rewriter: Rewriter, step: int, retry_failures: bool
) -> TextChains:
    requests = rewrite_requests(current)
    results: list[Rewritten | None] = [None] * len(requests)
    to_ask: list[int] = []
    for row, request in enumerate(requests):
        if known is not None and step <= known.steps:
            text = known.texts[row][step]
            if text is not None or not retry_failures:
                failure, reason = known.failures[row][step - 1], known.finish_reasons[row][step - 1]
                results[row] = Rewritten(text, failure, reason)
                continue
        if request is not None:
            to_ask.append(row)
    if to_ask:
        asked = [requests[row] for row in to_ask]
        for row, result in zip(to_ask, _checked(rewriter.rewrite(asked), asked, rewriter), strict=True):
            results[row] = result
    return current.extend(results)


def _checked(results: Any, requests: Sequence[RewriteRequest], rewriter: Rewriter) -> list[Rewritten]:
    """The rewriter's results, one for each request."""
    results = list(results)
    name = rewriter.name
    if len(results) != len(requests):
        raise ValueError(
            f"rewriter {name!r} gave {len(results)} results to {len(requests)} requests: it must give one to each, in "
            "their order"
        )
    for request, result in zip(requests, results, strict=True):
        where = f"rewriter {name!r}, id {request.id!r}, {step_names(request.step + 1)[-1]!r}"
        if not isinstance(result, Rewritten):
            raise TypeError(f"{where}: a result must be a Rewritten, got {type(result).__name__}: {result!r}")
        if result.text is not None and (not isinstance(result.text, str) or not result.text.strip()):
            raise ValueError(f"{where}: the text is empty; give Rewritten(None, 'empty') for it, got {result!r}")
    return results


def _check(chains: TextChains, attribute: Attribute, rewriter: Rewriter, steps: int) -> None:
    if not isinstance(chains, TextChains):
        raise TypeError(f"chains must be TextChains, got {type(chains).__name__}; see read_originals")
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a number of rewrites, at least 1, got {steps!r}")
    if chains.steps > steps:
        raise ValueError(f"the chains have {chains.steps} rewrites, more than steps={steps}; see TextChains.cut")
    if chains.attribute != attribute.name:
        raise ValueError(
            f"the chains are those of attribute {chains.attribute!r}, and are to be rewritten in {attribute.name!r}: w "
            "would not fit"
        )
    other = getattr(rewriter, "attribute", attribute)
    if isinstance(other, Attribute) and other != attribute:
        raise ValueError(
            f"the rewriter changes attribute {other.name!r} in another way than `attribute`: give one to both"
        )


def _tell_failures(chains: TextChains, path: Path) -> None:
    missing = len(chains) - int(chains.complete.sum())
    if missing:
        logger.warning(
            "%s: %d of %d rows lack rewrites, see `failures`; retry_failures=True asks for them again",
            path,
            missing,
            len(chains),
        )

"""Chains of rewrites for tests: a word more or less, by rule."""

import numpy as np

from trl_ext.rate import TextChains


def word_chains(count: int = 8, steps: int = 2, prompts: int | None = None, chat: bool = False) -> TextChains:
    """Rows with and without "Indeed.", of which each rewrite adds or removes one; of `prompts` different prompts."""
    prompts = count if prompts is None else prompts
    texts = []
    for i in range(count):
        first = f"It is {i}." + " Good." * (i % 3)
        w = i % 2 == 0
        with_word = (f"{first} Indeed.", f"{first} Indeed. Well.")
        row = [with_word[0] if w else first]
        for step in range(1, steps + 1):
            row.append(with_word[step // 2 % 2] if w ^ bool(step % 2) else f"{first}" + " So." * (step // 2))
        texts.append(tuple(row))
    questions = [
        f"Question: what is {i % prompts} and {i % prompts}, and why is it so?\nAnswer: " for i in range(count)
    ]
    return TextChains(
        "indeed",
        tuple(f"r{i}" for i in range(count)),
        tuple([{"role": "user", "content": question}] if chat else question for question in questions),
        np.arange(count) % 2 == 0,
        tuple(texts),
        clusters=tuple(f"p{i % prompts}" for i in range(count)) if prompts < count else None,
    )

"""Texts from templates, with attributes that are planted: their shares, their correlation, and typing mistakes."""

import importlib.resources
import math
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..attributes.lexicons import LEXICONS, get_lexicon
from ..attributes.words import words_of
from ..chains.text_chains import TextChains
from .attribute_rules import rule_texts
from .chance import check_probability, keyed_rng
from .formatting import formatting_rule
from .length import LONG
from .typos import add_typos, typo_rule
from .vocabulary import Vocabulary
from .vowel_start import OPENERS
from .word_swaps import ADDED


WORLDS = ("reviews", "answers")
TYPOS_IN = ("treated", "untreated", "all")
# Attributes that texts have only if they are asked for
_OPTIONAL = {"reviews": ("helpfulness", "formatting", "typos"), "answers": ("formatting", "typos")}
_SLOT = re.compile(r"\{(\w+)\}")
# Lexicons by which sentences are turned; their names are those of the attributes
_TURNED = ("sentiment", "complexity", "confidence")
# Share of reviews with a sentence that judges otherwise than the rest
_CONTRARY = 0.3
# The least `typo_share` where typos are the attribute
_TYPO_SHARE = 0.2


def synthetic_texts(
    world: str,
    n: int,
    seed: int,
    attribute: str,
    defaults: Mapping[str, float],
    shares: Mapping[str, float] | None,
    correlated: tuple[str, str],
    correlation: float,
    typo_share: float | None,
    typos_in: str,
    rows_per_prompt: int,
) -> TextChains:
    """What [`synthetic_reviews`] and [`synthetic_answers`] have in common."""
    for value, name in ((n, "n"), (rows_per_prompt, "rows_per_prompt")):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"`{name}` must be a whole number from 1 on, got {value!r}")
    unknown = [name for name in (attribute, *(shares or {})) if name not in (*defaults, *_OPTIONAL[world])]
    if unknown:
        raise ValueError(
            f"{world} have no attribute {unknown[0]!r}; they have {', '.join((*defaults, *_OPTIONAL[world]))}"
        )
    shares = {
        name: check_probability(share, f"shares[{name!r}]")
        for name, share in ({attribute: 0.5} | defaults | dict(shares or {})).items()
    }
    if typo_share is None:
        typo_share = _TYPO_SHARE if attribute == "typos" else 0.0
    check_probability(typo_share, "typo_share")
    if typos_in not in TYPOS_IN:
        raise ValueError(f"`typos_in` must be one of {', '.join(TYPOS_IN)}, got {typos_in!r}")
    if attribute == "typos" and (typo_share < _TYPO_SHARE or typos_in != "treated"):
        raise ValueError(
            f"where typos are the attribute, they are in treated texts, and `typo_share` is {_TYPO_SHARE} at least; got "
            f"{typos_in!r} and {typo_share}"
        )

    latent, clean = _clean_texts(world, n, seed, tuple(shares.items()), correlated, correlation)
    w = latent[attribute]
    misspelled = {"treated": w, "untreated": ~w, "all": np.ones(n, bool)}[typos_in] & (typo_share > 0)
    prompts, texts, metadata = [], [], []
    for row in range(n):
        text, share = clean[row], typo_share if misspelled[row] else 0.0
        if share:
            text = _spoiled(text, share, attribute, keyed_rng(seed, world, row, "typos"))
        prompts.append(_prompt(world, keyed_rng(seed, world, "prompt", row // rows_per_prompt)))
        texts.append((text,))
        metadata.append({name: bool(values[row]) for name, values in latent.items()} | {"typo_share": share})
    return TextChains(
        attribute,
        tuple(f"{world[:-1]}-{row}" for row in range(n)),
        tuple(prompts),
        w,
        tuple(texts),
        clusters=tuple(f"prompt-{row // rows_per_prompt}" for row in range(n)),
        metadata=tuple(metadata),
    )


# Levels of typos have these in common
@lru_cache(maxsize=2)
def _clean_texts(
    world: str,
    n: int,
    seed: int,
    shares: tuple[tuple[str, float], ...],
    correlated: tuple[str, str],
    correlation: float,
) -> tuple[dict[str, np.ndarray], list[str]]:
    latent = _latents(n, seed, world, dict(shares), correlated, correlation)
    rows = ({name: bool(values[row]) for name, values in latent.items()} for row in range(n))
    return latent, [_text(world, values, keyed_rng(seed, world, row)) for row, values in enumerate(rows)]


@cache
def world_vocabulary() -> Vocabulary:
    """
    All words of synthetic texts, and all that rules may write into them.

    Example:
        ```python
        >>> from trl_ext.rate import synthetic_reviews, world_vocabulary
        >>> {world_vocabulary().unknown_share(text) for text in synthetic_reviews(100, 0).of(0)}
        {0.0}

        ```
    """
    texts = [*rule_texts(), *(entry for name in LEXICONS for entry in get_lexicon(name).entries())]
    for world in WORLDS:
        content = _content(world)
        lists = [*content["titles"], *content["slots"].values()]
        lists += [content[kind] for kind in ("judging", "asserting", "plain")]
        texts += [_SLOT.sub(" ", text) for entries in lists for text in (*entries, content["prompt"])]
    return Vocabulary.from_texts(texts)


def _latents(
    n: int, seed: int, world: str, shares: Mapping[str, float], correlated: tuple[str, str], correlation: float
) -> dict[str, np.ndarray]:
    """Which texts have which attribute, `(N,)` each. Of the two that are correlated the first follows the second."""
    if not isinstance(correlation, int | float) or not -1 <= correlation <= 1:
        raise ValueError(f"the correlation of {' and '.join(correlated)} must be in [-1, 1], got {correlation!r}")
    # a generator for each: the texts are the same whichever attribute is studied
    chance = {name: keyed_rng(seed, world, "attribute", name).random(n) for name in shares}
    latent = {name: chance[name] < share for name, share in shares.items()}
    if correlation:
        follows, leads = correlated
        p, q = shares[follows], shares[leads]
        step = correlation * math.sqrt(p * (1 - p))
        given = {
            True: p + step * math.sqrt((1 - q) / q) if q else p,
            False: p - step * math.sqrt(q / (1 - q)) if q < 1 else p,
        }
        if not all(-1e-9 <= share <= 1 + 1e-9 for share in given.values()):
            raise ValueError(
                f"with shares of {p} and {q} the correlation of {follows} and {leads} can't be {correlation}: the share "
                f"of {follows} would be {given[True]:.3g} and {given[False]:.3g}"
            )
        latent[follows] = chance[follows] < np.where(latent[leads], given[True], given[False])
    return latent


def _text(world: str, values: Mapping[str, bool], rng: np.random.Generator) -> str:
    content = _content(world)
    count = int(rng.integers(6, 9) if values.get("length") else rng.integers(2, 5))
    kinds = ["judging", "asserting", *(("judging", "judging", "plain")[kind] for kind in rng.integers(3, size=10))]
    # twice: with ten more there may be too few of a kind
    order = {
        kind: [*rng.permutation(len(content[kind])), *rng.permutation(len(content[kind]))]
        for kind in ("judging", "asserting", "plain")
    }
    sentences = [_filled(content[kind][order[kind].pop(0)], content["slots"], rng) for kind in kinds]
    sides = [_sides(values)] * len(sentences)
    if world == "reviews" and rng.random() < _CONTRARY:
        otherwise = [*sides[:3], (not values["sentiment"], *sides[3][1:])]
        judged = get_lexicon("sentiment").score(" ".join(map(_turned, sentences, otherwise)))
        if judged and (judged > 0) is values["sentiment"]:
            sides[:4] = otherwise
    opener = OPENERS[rng.integers(12)][0 if values["vowel_start"] else 1]

    def assembled(number: int) -> str:
        first, *rest = map(_turned, sentences[:number], sides)
        text = " ".join([f"{opener}, {first}.", *(f"{s[0].upper()}{s[1:]}." for s in rest)])
        if "helpfulness" in values:
            before, after = ADDED["politeness"][0 if values["helpfulness"] else 1]
            text = f"{text} {before} {after}"
        if values.get("formatting"):
            text = formatting_rule().flip(text, True, rng)
        return text

    while values.get("length") and count < len(sentences) and len(assembled(count)) <= LONG:
        count += 1
    while not values.get("length") and count > 1 and len(assembled(count)) > LONG:
        count -= 1
    return assembled(count)


def _sides(values: Mapping[str, bool]) -> tuple[bool | None, ...]:
    return tuple(values.get(name) for name in _TURNED)


@lru_cache(maxsize=50_000)
def _turned(sentence: str, sides: tuple[bool | None, ...]) -> str:
    for lexicon, side in zip(_TURNED, sides, strict=True):
        if side is not None:
            sentence = get_lexicon(lexicon).turn(sentence, side)
    return sentence


def _filled(sentence: str, slots: Mapping[str, list[str]], rng: np.random.Generator) -> str:
    return _SLOT.sub(lambda slot: slots[slot[1]][rng.integers(len(slots[slot[1]]))], sentence)


def _spoiled(text: str, share: float, attribute: str, rng: np.random.Generator) -> str:
    """A text with typos, but not in its first word, nor in words by which the attribute is told."""
    if attribute == "typos":
        return typo_rule(vocabulary=world_vocabulary(), share=share).flip(text, True, rng)
    lexicon = {"helpfulness": "politeness"}.get(attribute, attribute)
    keep = {words_of(text)[0]}
    if lexicon in LEXICONS:
        keep |= {word for entry in get_lexicon(lexicon).entries() for word in words_of(entry)}
    return add_typos(text, share, rng, keep=keep)


def _prompt(world: str, rng: np.random.Generator) -> str:
    content = _content(world)
    first, second = (words[rng.integers(len(words))] for words in content["titles"])
    return content["prompt"].format(title=f"The {first} {second}", task=first, item=second)


@cache
def _content(world: str) -> dict[str, Any]:
    import yaml

    file = importlib.resources.files(__package__).joinpath("data", f"{world}.yaml")
    return yaml.safe_load(file.read_text(encoding="utf-8"))

"""Faults are put in at the wanted rates, and it is known where."""

import numpy as np
import pytest

from trl_ext.rate import (
    FaultyRewriter,
    get_attribute,
    rewrite_chains,
    rewrite_quality,
    rule_rewriter,
    synthetic_reviews,
)


RATES = {
    "refusal": 0.1,
    "empty": 0.05,
    "preamble": 0.1,
    "truncate": 0.1,
    "blow_up": 0.05,
    "no_flip": 0.1,
    "error": 0.05,
}


@pytest.fixture(scope="module")
def spoiled():
    reviews = synthetic_reviews(400, 0, attribute="sentiment")
    rewriter = FaultyRewriter(rule_rewriter("sentiment"), **RATES, seed=1)
    chains = rewrite_chains(reviews, get_attribute("sentiment"), rewriter, steps=1, progress=False)
    clean = rewrite_chains(reviews, get_attribute("sentiment"), rule_rewriter("sentiment"), steps=1, progress=False)
    return chains, clean, rewriter


def test_rates(spoiled):
    chains, _, rewriter = spoiled
    counts = rewriter.injected
    for kind, rate in RATES.items():
        assert abs(counts[kind] - 400 * rate) < 4 * np.sqrt(400 * rate * (1 - rate)), kind
    assert sum(counts.values()) == len(rewriter.faults)


DONE = {
    None: lambda before, right, text: text == right,
    "refusal": lambda before, right, text: right not in text and len(text) < 80,
    "empty": lambda before, right, text: text is None,
    "error": lambda before, right, text: text is None,
    "preamble": lambda before, right, text: text.endswith(right) and text != right,
    "truncate": lambda before, right, text: right.startswith(text) and len(text) <= 0.7 * len(right),
    "blow_up": lambda before, right, text: text.split() == right.split() * 5,
    "no_flip": lambda before, right, text: text == before,
}


def test_what_each_fault_does(spoiled):
    chains, clean, rewriter = spoiled
    for row, name in enumerate(chains.ids):
        kind = rewriter.faults.get((name, 1))
        assert DONE[kind](*clean.texts[row], chains.texts[row][1]), kind
        assert chains.failures[row][0] == (kind if kind in ("empty", "error") else None)
        assert chains.finish_reasons[row][0] == {"truncate": "length", "empty": None, "error": None}.get(kind, "stop")


def test_quality_finds_them(spoiled):
    chains, _, rewriter = spoiled
    quality = rewrite_quality(chains, get_attribute("sentiment"))
    lost = {(name, 1) for name, kept in zip(chains.ids, quality.keep, strict=True) if not kept}
    assert lost == {place for place, kind in rewriter.faults.items() if kind != "no_flip"}
    flipped = quality.observed[:, 1] == chains.targets(1)
    kept = [name for name, good in zip(chains.ids, flipped, strict=True) if not good and (name, 1) not in lost]
    assert {rewriter.faults[name, 1] for name in kept} == {"no_flip"} and len(kept) == rewriter.injected["no_flip"]


def test_repeated_requests_count_once_and_settings_name_all(spoiled):
    _, _, rewriter = spoiled
    assert rewriter.settings()["rates"] == RATES
    assert rewriter.settings()["of"] == rule_rewriter("sentiment").settings()
    again = FaultyRewriter(rule_rewriter("sentiment"), error=1.0)
    reviews = synthetic_reviews(3, 0, attribute="sentiment")
    for _ in range(2):
        rewrite_chains(reviews, get_attribute("sentiment"), again, steps=1, progress=False)
    assert again.injected == {"error": 3}


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"refusal": -0.1}, r"`refusal` must be a number in \[0, 1\], got -0.1"),
        ({"refusal": 0.6, "error": 0.6}, "one fault at most: shares must add up to 1 or less"),
    ],
)
def test_mistakes(rates, message):
    with pytest.raises(ValueError, match=message):
        FaultyRewriter(rule_rewriter("sentiment"), **rates)

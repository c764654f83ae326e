"""
Length distributions of preference data, as numbers without texts: `lengths/*.json`.

    python benchmarks/lengths.py DATA

computes `lie`, `true` and the `rm_bench` files from `DATA/rapl` (a clone of reliability-aware-preference-learning, its
data folder) and `DATA/rm_bench` (the published JSON files of RM-Bench), with the bundled tokenizer. A group is
`[count, common prefix, tail of every response...]` in tokens. The other files are parameters of synthetic lengths
(lognormal prompt and responses, drawn from their seed).
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

FOLDER = Path(__file__).parent / "lengths"
RM_BENCH_FILES = ("chat", "code", "safety-refuse", "safety-response")


# ---- Reading ----


def load_groups(name: str, responses: int = 2) -> list[list[int]]:
    """
    Read a distribution as groups `[common prefix, tail of every response...]`.

    Args:
        name (`str`):
            Name of a file in `lengths/`, or the path of another one.
        responses (`int`, *optional*, defaults to `2`):
            Responses per group. Measured distributions must have at least as many.
    """
    named = FOLDER / f"{name}.json"
    record = json.loads((named if named.is_file() else Path(name)).read_text(encoding="utf-8"))
    if "groups" in record:
        groups = [tail[: responses + 1] for count, *tail in record["groups"] for _ in range(count)]
        if len(groups[0]) < responses + 1:
            raise ValueError(f"{name} has {len(groups[0]) - 1} responses per prompt, {responses} were asked for")
        return groups
    generator = np.random.default_rng(record["seed"])
    shape = (record["prompts"], responses + 1)
    medians = [record["prompt_median"]] + [record["response_median"]] * responses
    sigmas = [record["prompt_sigma"]] + [record["response_sigma"]] * responses
    lengths = np.exp(generator.normal(np.log(medians), sigmas, size=shape))
    return np.maximum(lengths.round().astype(int), 1).tolist()


def represent(groups: list[list[int]], count: int, seed: int) -> list[list[int]]:
    """
    Draw groups that stand for all of them: every k-th in order of length from a random start, shuffled.

    A few dozen groups drawn independently would often miss the few longest, on which padding depends.
    """
    if count > len(groups):
        raise ValueError(f"{count} groups were asked for, there are {len(groups)}")
    generator = np.random.default_rng(seed)
    ordered = sorted(groups, key=lambda group: group[0] + max(group[1:]))
    positions = (np.arange(count) + generator.random()) * len(groups) / count
    drawn = [ordered[int(position)] for position in positions]
    return [drawn[index] for index in generator.permutation(count)]


def random_sequences(groups: list[list[int]], vocabulary: int, seed: int) -> list[list[list[int]]]:
    """Random token ids of the given lengths; responses of a group differ in their first token."""
    generator = np.random.default_rng(seed)
    result = []
    for prefix, *tails in groups:
        prompt = generator.integers(10, vocabulary, prefix).tolist()
        first = generator.choice(np.arange(10, min(vocabulary, 1000)), len(tails), replace=False).tolist()
        rest = [generator.integers(10, vocabulary, max(tail - 1, 0)).tolist() for tail in tails]
        result.append(
            [
                prompt + ([token] + tokens if tail else [])
                for token, tokens, tail in zip(first, rest, tails, strict=True)
            ]
        )
    return result


# ---- Measuring ----


def rapl_texts(file: Path, tokenizer) -> list[list[str]]:
    """Chosen and rejected texts of a RAPL file, which contain the prompt, with the end-of-sequence token."""
    import pandas as pd

    table = pd.read_csv(file, usecols=["chosen", "rejected"])
    return (table[["chosen", "rejected"]] + tokenizer.eos_token).to_numpy().tolist()


def rm_bench_texts(folder: Path, tokenizer) -> list[list[str]]:
    """
    The 3 chosen and 3 rejected responses to every prompt of RM-Bench, in the order of the files.

    The layout is that of RAPL: a chat template with a system prompt would add a prefix that all rows share.
    """
    rows = [
        row
        for name in RM_BENCH_FILES
        for row in json.loads((folder / f"{name}_filtered.json").read_text(encoding="utf-8"))
    ]
    return [
        [
            f"Human: {row['prompt']}\n\nAssistant: {response}{tokenizer.eos_token}"
            for response in (*row["chosen"], *row["rejected"])
        ]
        for row in rows
    ]


def rm_bench_pairs(texts: list[list]) -> list[list]:
    """Chosen and rejected of the same style: three pairs per prompt."""
    return [[group[style], group[3 + style]] for group in texts for style in range(3)]


def tokenize(texts: list[list[str]], tokenizer) -> list[list[list[int]]]:
    """Token ids of groups of equal size."""
    size = len(texts[0])
    flat = tokenizer([text for group in texts for text in group], add_special_tokens=False)["input_ids"]
    return [flat[start : start + size] for start in range(0, len(flat), size)]


def measure(sequences: list[list[list[int]]]) -> list[list[int]]:
    """Groups `[count, common prefix, tails...]`, most frequent first."""
    from trl_ext.shared_prefix import common_prefix_length

    counts = Counter()
    for group in sequences:
        prefix = min(common_prefix_length(group[0], sequence) for sequence in group)
        counts[(prefix, *(len(sequence) - prefix for sequence in group))] += 1
    return [[count, *lengths] for lengths, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def write(name: str, description: str, sequences: list[list[list[int]]]) -> None:
    """Write a distribution, one group a line."""
    lines = ",\n".join(json.dumps(group) for group in measure(sequences))
    head = json.dumps({"description": description, "tokenizer": "SmolLM2"}, indent=0)[:-2]
    (FOLDER / f"{name}.json").write_text(f'{head},\n"groups": [\n{lines}\n]\n}}\n', encoding="utf-8")


def main() -> None:
    import argparse

    from transformers import AutoTokenizer

    from trl_ext.data import resolve_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("bundled:smollm2-135m-instruct"))
    lie = rapl_texts(data / "rapl/LIE/folds/LIE_train_0.csv", tokenizer)
    true = rapl_texts(data / "rapl/TRUE/no_repeats/train_single_0.csv", tokenizer)
    rm_bench = tokenize(rm_bench_texts(data / "rm_bench", tokenizer), tokenizer)
    write("lie", "LIE, LIE_train_0.csv: chosen, rejected", tokenize(lie, tokenizer))
    write("true", "TRUE, no_repeats/train_single_0.csv: chosen, rejected", tokenize(true, tokenizer))
    write("rm_bench", "RM-Bench, three pairs per prompt: chosen, rejected", rm_bench_pairs(rm_bench))
    write("rm_bench_6", "RM-Bench: 3 chosen, 3 rejected", rm_bench)


if __name__ == "__main__":
    main()

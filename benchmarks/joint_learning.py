"""
Does a reward model that learns its annotators' commitment find the truth better than one that believes every label alike?

    python benchmarks/joint_learning.py --seeds 20 21 22 23 24 25 26 27 28 29 --output_dir outputs/joint_learning

Every seed draws the values of words, responses (the true reward of a response is the sum of its words' values), the labels
of annotators of known commitment η, and the initial weights of a tiny Llama, which reads the words through the real
trainers:

- `standard` believes every label (Bradley–Terry);
- `joint` learns η with the model, in one run;
- `cross_fitted` trains five models on four fifths each, estimates η from the held-out differences, and trains on all pairs
  with this η: six runs in all, of which the table of annotators is a result;
- `oracle` is told the true η.

Prints the accuracy to the true preference on unseen pairs, its paired difference to `standard` over seeds, and how well η
is found. All methods share seed, model, number of steps and learning rate. Settings were chosen on seeds below 10 and from 100 on.
Results that are complete in the output directory, with the same settings, are not computed again.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from tqdm.auto import tqdm


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

METHODS = ("standard", "joint", "cross_fitted", "oracle")
SCENARIOS = {
    "honest": np.linspace(0.1, 0.95, 12).round(4),
    "adversarial": np.array([-0.6, -0.6, *np.linspace(0.1, 0.95, 12).round(4)]),
}
PAIRS, TEST_PAIRS, WORDS, LENGTH = 2000, 4000, 60, 8
SETTINGS = {
    "learning_rate": 3e-3,
    "num_train_epochs": 4,
    "per_device_train_batch_size": 32,
    # with 0.999 and no warm-up, some of these short runs from random weights do not leave the plateau they start on
    "adam_beta2": 0.98,
    "warmup_steps": 25,
}


@dataclass(frozen=True)
class Simulation:
    """
    Labelled pairs of which the truth is known.

    Args:
        train (`Dataset`): `chosen`, `rejected`, `annotator_id`, and `reliability`, the true η.
        test (`Dataset`): Unseen pairs, `chosen` truly better.
        eta (`dict[str, float]`): True commitment by annotator id.
        differences (`np.ndarray` of shape `(N,)`): True reward differences of the training pairs, chosen minus rejected.
    """

    train: Dataset
    test: Dataset
    eta: dict[str, float]
    differences: np.ndarray


def simulate(
    eta: np.ndarray, seed: int, spread: float = 3.0, pairs: int = PAIRS, test_pairs: int = TEST_PAIRS
) -> Simulation:
    """Draw a [`Simulation`] in which true reward differences have standard deviation `spread`."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=WORDS)
    values *= spread / np.sqrt(2 * LENGTH) / values.std()

    def draw(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        first, second = rng.integers(WORDS, size=(2, count, LENGTH))
        return first, second, values[first].sum(1) - values[second].sum(1)

    first, second, difference = draw(pairs)
    annotator = rng.permutation(np.arange(pairs) % len(eta))
    first_wins = rng.random(pairs) < (1 + eta[annotator] * np.tanh(difference / 2)) / 2
    ids = [f"annotator-{number:02d}" for number in range(len(eta))]
    train = _pairs(first, second, first_wins)
    train = train.add_column("annotator_id", [ids[a] for a in annotator]).add_column("reliability", eta[annotator])
    test_first, test_second, test_difference = draw(test_pairs)
    test = _pairs(test_first, test_second, test_difference > 0)
    signed = np.where(first_wins, difference, -difference)
    return Simulation(train, test, dict(zip(ids, eta.tolist(), strict=True)), signed)


def _pairs(first: np.ndarray, second: np.ndarray, first_wins: np.ndarray) -> Dataset:
    chosen = np.where(first_wins[:, None], first, second)
    rejected = np.where(first_wins[:, None], second, first)
    texts = {
        name: [" ".join(f"w{word}" for word in row) for row in rows]
        for name, rows in (("chosen", chosen), ("rejected", rejected))
    }
    return Dataset.from_dict(texts)


def word_tokenizer():
    """A tokenizer whose tokens are the words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *(f"w{word}" for word in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


def word_model(seed: int):
    """A Llama of one layer with fresh weights."""
    from transformers import AutoModelForSequenceClassification, LlamaConfig, set_seed

    set_seed(seed)
    config = LlamaConfig(
        vocab_size=WORDS + 2, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=None, num_labels=1,
    )  # fmt: skip
    return AutoModelForSequenceClassification.from_config(config)


def make_trainer(method: str, train: Dataset, seed: int, output_dir: str, **options):
    """The trainer of a method, with everything else the same."""
    from trl_ext.trainer import (
        AnnotatorAwareRewardConfig,
        AnnotatorAwareRewardTrainer,
        PairwiseRewardConfig,
        PairwiseRewardTrainer,
        ReliabilityRewardConfig,
        ReliabilityRewardTrainer,
    )

    common = SETTINGS | {
        "output_dir": output_dir, "seed": seed, "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1000, "log_level": "error",
        "shared_prefix": False, "per_device_eval_batch_size": 500,
    }  # fmt: skip
    common |= options.pop("settings", {})
    data = {"train_dataset": train, "processing_class": word_tokenizer(), **options}
    if method == "standard":
        return PairwiseRewardTrainer(word_model(seed), PairwiseRewardConfig(**common), **data)
    if method == "oracle" and min(train["reliability"]) >= 0:
        args = ReliabilityRewardConfig(**common, rapl_method="p", reliability_kind="raw")
        return ReliabilityRewardTrainer(word_model(seed), args, **data)
    if method == "oracle":  # a negative η is outside of what EpsilonRAPLLoss takes
        data["commitment"] = dict(zip(train["annotator_id"], train["reliability"], strict=True))
    steps = {} if method == "joint" else {"eta_update_steps": 0}
    return AnnotatorAwareRewardTrainer(word_model(seed), AnnotatorAwareRewardConfig(**(common | steps)), **data)


def run(method: str, scenario: str, seed: int, spread: float, output_dir: Path) -> dict:
    """
    Train one method on one seed: accuracy to the truth, seconds, table of annotators.

    A result that is there is not computed again, unless it was computed with other settings.
    """
    from trl_ext.trainer import cross_fit_differences

    path = output_dir / f"{scenario}-{spread:g}-{method}-{seed}.json"
    sizes = {"pairs": PAIRS, "test_pairs": TEST_PAIRS, "words": WORDS, "length": LENGTH}
    settings = {**SETTINGS, **sizes, "eta": SCENARIOS[scenario].tolist()}
    if path.is_file() and (kept := json.loads(path.read_text())).get("settings") == settings:
        return kept
    simulation = simulate(SCENARIOS[scenario], seed, spread, PAIRS, TEST_PAIRS)
    result = {"method": method, "scenario": scenario, "seed": seed, "spread": spread, "settings": settings}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options, held_out = {}, None
        if method == "cross_fitted":
            held_out = cross_fit_differences(
                lambda rows, where: make_trainer("joint", rows, seed, where), simulation.train, folder, seed=seed
            )
            options["commitment"] = estimate(held_out).set_index("annotator_id")["eta"].to_dict()
        trainer = make_trainer(method, simulation.train, seed, folder, **options)
        trainer.train()
        rewards = trainer.predict(simulation.test).predictions
        result["seconds"] = time.perf_counter() - start
    result["accuracy"] = float((rewards[:, 0] > rewards[:, 1]).mean())
    if method in ("joint", "cross_fitted"):
        table = trainer.annotator_report().table if held_out is None else estimate(held_out)
        table["true_eta"] = table["annotator_id"].map(simulation.eta)
        result["annotators"] = table.to_dict(orient="records")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(result))
    os.replace(temporary, path)
    return result


def estimate(held_out: pd.DataFrame) -> pd.DataFrame:
    """The table of annotators from held-out differences."""
    from trl_ext.reliability import estimate_commitment

    return estimate_commitment(held_out["difference"], held_out["annotator_id"]).table


def summarise(results: list[dict]) -> dict[str, dict]:
    """Figures over seeds: accuracies, paired differences, share of the gap that is closed, and the quality of η."""
    from trl_ext.evaluation.statistics import mean_estimate, paired_difference, proportion_estimate, ratio_estimate

    frame = pd.DataFrame(results).pivot(index="seed", columns="method", values="accuracy")
    figures = {f"accuracy {method}": mean_estimate(frame[method]).to_dict() for method in METHODS if method in frame}
    for method in frame.columns.drop("standard"):
        figures[f"{method} - standard"] = paired_difference(frame[method], frame["standard"]).to_dict()
        if method != "oracle" and "oracle" in frame:
            gap = ratio_estimate(frame[method] - frame["standard"], frame["oracle"] - frame["standard"])
            figures[f"share of the gap closed, {method}"] = gap.to_dict()
    for method in ("joint", "cross_fitted"):
        tables = [pd.DataFrame(r["annotators"]).assign(seed=r["seed"]) for r in results if r["method"] == method]
        if not tables:
            continue
        table = pd.concat(tables)
        covers = ((table["ci_low"] <= table["true_eta"]) & (table["true_eta"] <= table["ci_high"])).astype(float)
        correlations = [np.corrcoef(own["eta"], own["true_eta"])[0, 1] for own in tables]
        figures[f"correlation of eta, {method}"] = mean_estimate(correlations).to_dict()
        figures[f"bias of eta, {method}"] = mean_estimate(table["eta"] - table["true_eta"], table["seed"]).to_dict()
        figures[f"coverage of 95% intervals, {method}"] = proportion_estimate(covers, table["seed"]).to_dict()
        honest = table["true_eta"] > 0
        figures[f"honest flagged, {method}"] = mean_estimate(table["adversarial"][honest].astype(float)).to_dict()
        if not honest.all():
            figures[f"adversarial flagged, {method}"] = mean_estimate(
                table["adversarial"][~honest].astype(float)
            ).to_dict()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20, 30)))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--scenario", default="honest", choices=SCENARIOS)
    parser.add_argument("--spread", type=float, default=3.0, help="standard deviation of true reward differences")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/joint_learning"))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    runs = [(method, seed) for seed in arguments.seeds for method in dict.fromkeys(["standard", *arguments.methods])]
    results = [
        run(method, arguments.scenario, seed, arguments.spread, arguments.output_dir)
        for method, seed in tqdm(runs, desc="Runs")
    ]
    figures = summarise(results)
    print(f"{arguments.scenario}, spread {arguments.spread:g}, {len(arguments.seeds)} seeds")
    for name, figure in figures.items():
        print(
            f"{name:<40} {figure['value']:+.4f} [{figure['ci_low']:+.4f}, {figure['ci_high']:+.4f}]  n={figure['n']}"
        )
    for method, rows in pd.DataFrame(results).groupby("method"):
        print(f"seconds {method:<32} {rows['seconds'].median():.1f}")


if __name__ == "__main__":
    main()

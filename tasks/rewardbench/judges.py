"""The judge that a configuration describes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trl_ext.completions import LocalBackend, OpenAIBackend, Sampling
from trl_ext.scoring.base import Scorer
from trl_ext.scoring.judges import FourWayJudge, Judge, JudgePanel, PairwiseJudge, RatingsJudge, RoutedJudge


def make_judge(config: Mapping[str, Any], folder: Path, *, benchmark: str) -> Scorer:
    """
    The judge of one model, or a panel of several.

    Args:
        config (`Mapping`): Configuration of `run_generative.py`.
        folder (`Path`): Where answers are stored.
        benchmark (`str`): RewardBench 2 has four responses, and Ties, whose prompts are always rated.
    """
    models = [config["model"]] if isinstance(config["model"], str) else config["model"]
    if len(models) == 1:
        return _judge_of(models[0], config, folder, benchmark)
    return JudgePanel({model: _one_kind(model, config, folder, benchmark) for model in models})


def _judge_of(model: str, config: Mapping[str, Any], folder: Path, benchmark: str) -> Scorer:
    judge = _one_kind(model, config, folder, benchmark)
    if benchmark != "rewardbench2":
        return judge
    ties = RatingsJudge(judge.backend, folder / "answers.jsonl", template="rating_ties", **_options(config))
    return RoutedJudge({r"^(tied|ref):": ties, "": judge})


def _one_kind(model: str, config: Mapping[str, Any], folder: Path, benchmark: str) -> Judge:
    backend, store, options = _backend(model, config), folder / "answers.jsonl", _options(config)
    if config["template"] is not None:
        options["template"] = Path(config["template"]).expanduser()
    if config["score_w_ratings"]:
        return RatingsJudge(backend, store, **options)
    if benchmark == "rewardbench2":
        rotations = "all" if config["orders"] == "both" else "seeded"
        return FourWayJudge(backend, store, rotations=rotations, seed=config["seed"], **options)
    return PairwiseJudge(backend, store, orders=config["orders"], seed=config["seed"], **options)


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sampling": Sampling(temperature=config["temperature"], max_tokens=config["max_tokens"], seed=config["seed"]),
        "repetitions": config["repetitions"],
        "parser": config["parser"],
        "on_failure": config["on_failure"],
        "system_prompt": not config["no_system_prompt"],
    }


def _backend(model: str, config: Mapping[str, Any]) -> LocalBackend | OpenAIBackend:
    if config["backend"] == "openai":
        return OpenAIBackend(
            model,
            base_url=config["base_url"],
            api_key_env=config["api_key_env"] or None,
            concurrency=config["num_threads"],
        )
    return LocalBackend(
        model,
        batch_size=config["batch_size"] or 8,
        dtype=config["torch_dtype"],
        device=config["device"],
        trust_remote_code=config["trust_remote_code"],
    )

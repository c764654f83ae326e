"""One evaluation: rows are read and checked, scored where they are not yet, and figures written in both layouts."""

import inspect
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from datasets import Dataset
from transformers import AutoTokenizer

from tasks.log_levels import quiet_requests
from tasks.provenance import command, model_identity, package_versions
from tasks.rewardbench.configs import text_prompts
from tasks.rewardbench.rows import load_rows
from tasks.train_config import ConfigError
from trl_ext import RewardScorer
from trl_ext.data import resolve_model
from trl_ext.evaluation import BENCHMARKS, Benchmark, BenchmarkResult, Estimate, evaluate_benchmark, get_benchmark
from trl_ext.evaluation.rewardbench_layout import model_name as layout_name
from trl_ext.evaluation.rewardbench_layout import write_rewardbench_results
from trl_ext.privacy import hide_private
from trl_ext.scoring.base import Scorer
from trl_ext.scoring.processes import on_main_process, process_state


logger = logging.getLogger("tasks.rewardbench")

MODEL_TYPES = {"sequence": "Seq. Classifier", "dpo": "DPO", "generative": "Generative"}


def show_messages() -> None:
    """Show what matters, of these scripts and of the libraries."""
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    logger.setLevel(logging.INFO)
    quiet_requests()


def run_evaluation(
    config: Mapping[str, Any],
    sacred_run: Any,
    *,
    script: str,
    benchmark: Benchmark,
    make_scorer: Callable[[Mapping[str, Any], Path], Scorer],
    model_type: str,
    debug_rows: int = 10,
) -> dict[str, float]:
    """
    Evaluate a model on a benchmark.

    Args:
        config (`Mapping`): Configuration of the script.
        sacred_run (`Run`): Sacred's record.
        script (`str`): Name of the script.
        benchmark ([`Benchmark`]): The benchmark.
        make_scorer (`Callable`): Scorer of the configuration and the folder of the results.
        model_type (`str`): What RewardBench calls such a model.
        debug_rows (`int`): Rows that `debug` keeps.

    Returns:
        `dict[str, float]`: The headline figures.

    Raises:
        ConfigError: On a mistake in the configuration or in the data.
    """
    show_messages()
    if config["batch_size"] is not None and model_type != MODEL_TYPES["generative"]:
        logger.info("batch_size has no effect: batches hold max_tokens_per_batch tokens, and change no reward.")
    name = model_name(config["model"])
    title = results_name(benchmark, config)
    folder = Path(config["output_dir"]).expanduser() / title / safe_name(name)
    try:
        check_model(config)
        rows = load_rows(benchmark, config, debug_rows)
        scorer = make_scorer(config, folder)
        scorer.progress = config["progress"]
        facts = {
            "config": dict(config),
            "model_type": model_type,
            "source": {"dataset": config["dataset"] or benchmark.hub_id, "split": config["split"]},
            "versions": package_versions(),
            "command": command(script),
            "model_files": model_identity(name, resolve_model(name)),
        }
        result, rewards = evaluate_benchmark(
            benchmark, scorer, rows, folder, model=name, name=title, facts=facts, overwrite=config["overwrite"]
        )
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error

    def write() -> None:
        if not config["do_not_save"] and not config["debug"]:
            # of pairs of the user's own, beside our results: the layout has one file per model there
            top = folder if benchmark.name == "preferences" else Path(config["output_dir"]).expanduser()
            write_layout(config, top, result, rows, rewards, model_type, scorer)
        if config["push_results_to_hub"]:
            upload(config, name, folder, result)

    on_main_process(write)
    if process_state().is_main_process:
        sacred_run.info["figures"] = hide_private(result.to_dict())
        print(f"\n{format_figures(result)}\n\nAll figures: {folder / 'results.json'}")
    return {key: figure.value for key, figure in result.headline().items()}


def results_name(benchmark: Benchmark, config: Mapping[str, Any]) -> str:
    """Name of a benchmark's results: of the user's own data with the name of the data, so that several have room."""
    name = benchmark.name
    if name == "preferences":
        name += f"-{data_name(config['dataset'])}"
    return f"{name}-debug" if config["debug"] else name


def data_name(dataset: str) -> str:
    """Name of a user's data for folders: of a file without its ending."""
    path = Path(dataset).expanduser()
    return re.sub(r"[^\w.+-]+", "__", path.resolve().stem if path.exists() else dataset)


def check_model(config: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if a local model or its tokenizer is not there."""
    if config.get("backend") == "openai":
        return  # the server knows its models
    for model in [config["model"]] if isinstance(config["model"], str) else config["model"]:
        path = Path(resolve_model(model)).expanduser()
        if model.startswith(("/", ".", "~")) and not path.is_dir():
            raise ValueError(f"model {model!r}: there is no such folder")
        files = ("tokenizer.json", "tokenizer_config.json", "adapter_config.json")
        if (
            "tokenizer" in config
            and path.is_dir()
            and config["tokenizer"] is None
            and not any((path / file).exists() for file in files)
        ):
            raise ValueError(f"model {model!r} has no tokenizer in its folder: set `tokenizer`, a path or Hub id")


def write_layout(
    config: Mapping[str, Any],
    folder: Path,
    result: BenchmarkResult,
    rows: Dataset,
    rewards: list[np.ndarray],
    model_type: str,
    scorer: Scorer,
) -> None:
    """Write the files of RewardBench's layout, with the texts and the template that were used."""
    tokenizer = getattr(scorer, "processing_class", None)
    own_template = tokenizer is not None and tokenizer.chat_template is not None
    template = config.get("chat_template")
    write_rewardbench_results(
        folder,
        result,
        rows,
        rewards,
        model=layout_name(model_name(config["model"])),
        model_type=model_type,
        chat_template=None if own_template and not config.get("override_chat_template") else template,
        ref_model=config.get("ref_model"),
        tokenizer=tokenizer,
        render=_render_text if text_prompts(config) else None,
    )


def _render_text(prompt: str, response: str | None) -> str:
    return prompt if response is None else prompt + response


def make_reward_scorer(config: Mapping[str, Any], folder: Path) -> RewardScorer:
    """Scorer of a sequence-classification model; weights are loaded when they are needed."""
    if not config["require_trained_head"]:
        transformers.set_seed(config["seed"])
    limited = config["force_truncation"]
    return RewardScorer(
        config["model"],
        load_tokenizer(config),
        adapter=config["adapter"],
        revision=config["revision"],
        encoding=encoding_of(config),
        chat_template=config["chat_template"],
        override_chat_template=config["override_chat_template"],
        reduction=config["reduction"],
        max_length=config["max_length"] if limited else None,
        max_length_policy=f"truncate_{config['truncation_side']}" if limited else "error",
        max_tokens_per_batch=config["max_tokens_per_batch"],
        shared_prefix=config["shared_prefix"],
        dtype=config["torch_dtype"],
        attn_implementation=config["attn_implementation"],
        device=config["device"],
        trust_remote_code=config["trust_remote_code"],
        require_trained_head=config["require_trained_head"],
        progress=config["progress"],
    )


def encoding_of(config: Mapping[str, Any]) -> str:
    """RewardBench's for messages, that of training for text, unless the configuration says otherwise."""
    return config["encoding"] or ("training" if text_prompts(config) else "rewardbench")


def load_tokenizer(config: Mapping[str, Any]) -> Any:
    """The tokenizer that was asked for; `None` for the model's own."""
    if config["tokenizer"] is None:
        return None
    return AutoTokenizer.from_pretrained(
        resolve_model(config["tokenizer"]), trust_remote_code=config["trust_remote_code"]
    )


def preference_benchmark(config: Mapping[str, Any]) -> Benchmark:
    """The benchmark of pairs that is asked for: by default the core set, or with `dataset` pairs of the user's own."""
    name = config["benchmark"]
    if config["pref_sets"]:
        name = "preference_test_sets"
    elif name is None:
        own = config["dataset"] not in (None, get_benchmark("rewardbench").hub_id)
        name = "preferences" if own else "rewardbench"
    return make_benchmark(name, config)


def make_benchmark(name: str, config: Mapping[str, Any], **options: Any) -> Benchmark:
    """A benchmark with those of its options that the configuration has."""
    accepted = inspect.signature(BENCHMARKS[name]).parameters
    return get_benchmark(
        name,
        **{
            key: config[key]
            for key in ("ties", "seed", "empty", "prioritize_scoring")
            if key in accepted and key in config
        },
        **options,
    )


def model_name(model: str | list[str]) -> str:
    """Name of a model, or of several that judge together."""
    return model if isinstance(model, str) else "+".join(model)


def safe_name(model: str) -> str:
    """A single folder name: `org/name` is one word."""
    return re.sub(r"[^\w.+-]+", "__", layout_name(model))


def upload(config: Mapping[str, Any], name: str, folder: Path, result: BenchmarkResult) -> None:
    """Push the results, and if asked for their figures into the model's card."""
    from trl_ext.evaluation.results.hub import add_evaluation_to_model_card, push_evaluation_results

    repository = config["hf_name"] or f"rewardbench-{safe_name(name)}"
    if config["hf_entity"]:
        repository = f"{config['hf_entity']}/{repository}"
    push_evaluation_results(folder, repository)
    if config["upload_model_metadata_to_hf"]:
        add_evaluation_to_model_card(name, result)


def format_figures(result: BenchmarkResult) -> str:
    """A table for reading."""
    lines = [f"{'':<28}{'value':>8}   95 % interval      n"]
    headline = result.headline()
    subsets = {name: figure for name, figure in result.subsets.items() if name not in headline}
    for title, figures in (("", headline), ("subsets" if subsets else "", subsets)):
        lines += [title] if title else []
        lines += [_line(name, figure) for name, figure in figures.items()]
    return "\n".join(lines)


def _line(name: str, figure: Estimate) -> str:
    return f"{name:<28}{figure.value:8.4f}   [{figure.ci_low:.4f}, {figure.ci_high:.4f}]  {figure.n:5d}"

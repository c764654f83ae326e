"""One run of `tasks/rapl/llm_arms.py`: ask, tabulate, calibrate."""

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset

from tasks.json_files import write_json
from tasks.provenance import command, hash_pairs, package_versions
from tasks.rapl.llm_arms_calibration import calibrate
from tasks.rapl.llm_arms_data import load_rows
from tasks.rapl.published_llm_arms import find_published_scores, load_published_scores
from tasks.train_config import ConfigError
from trl_ext.completions import Prices, Sampling, StoreInUse, TooManyFailures, complete_all, estimate_completions
from trl_ext.privacy import hide_private
from trl_ext.reliability.llm_arms import CRITERIA, difficulty_questions, difficulty_table, parse_scores, scores_form


logger = logging.getLogger(__name__)

STORE, SCORES, FAILURES, PREFERENCES = "answers.jsonl", "scores.csv", "failures.csv", "preferences.jsonl"


def run(config: dict[str, Any]) -> dict[str, Any]:
    """
    Do what the configuration says.

    Returns:
        `dict[str, Any]`: The main counts; `results.json` has everything.
    """
    name, rows = load_rows(config)
    output = _output_dir(config, name)
    if config["published_scores"] is not None:
        table, figures = _published(config)
    else:
        table, figures = _asked(config, rows, output)
    if config["dry_run"]:
        return figures
    figures["rows"], figures["rows_without_scores"] = len(table), int(table["overall_difficulty"].isna().sum())
    figures["mean_scores"] = {criterion: float(table[criterion].mean()) for criterion in CRITERIA}
    columns: dict[str, Any] = {}
    if config["correctness_col_name"] is not None:
        calibrator, columns, calibration = calibrate(rows, table, config)
        figures["calibration"] = calibration
    _write_csv(output / SCORES, table.assign(**columns))
    if columns:
        calibrator.save(output / "calibrator.json")
        figures["preferences_without_scores"] = _write_preferences(output / PREFERENCES, rows, table, columns, config)
    provenance = {
        "command": command("tasks/rapl/llm_arms.py"),
        "versions": package_versions(),
        "data_sha256": hash_pairs(rows),
        "config": config,
    }
    write_json(output / "results.json", {**figures, "provenance": provenance})
    _report(figures, output)
    return {key: figures[key] for key in ("rows", "rows_without_scores", "completions") if key in figures}


def _published(config: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    chosen = config["published_scores"]
    try:
        files = find_published_scores(config["lie_data_dir"]) if chosen == "all" else [Path(path) for path in chosen]
        frame = load_published_scores(config["lie_data_dir"], files)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error
    return frame[["id", *CRITERIA, "n_answers"]], {"published_scores": [file.name for file in files]}


def _asked(config: Mapping[str, Any], rows: Dataset, output: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    style = config["answer_style"] or ("form" if config["backend"] == "local" else "reasoning")
    sampling = Sampling(
        temperature=config["temperature"],
        top_p=config["top_p"],
        max_tokens=config["max_tokens"],
        seed=config["sampling_seed"],
        extra=config["request_fields"],
        form=scores_form() if style == "form" else None,
    )
    prices = None
    if config["prompt_price"] is not None:
        prices = Prices(config["prompt_price"], config["completion_price"])
    try:
        questions = difficulty_questions(
            rows,
            sampling,
            order=config["order"],
            repetitions=config["repetitions"],
            reasoning=style == "reasoning",
            seed=config["sampling_seed"] or 0,
        )
        requests = [question.request for question in questions]
        backend = _backend(config)
        estimate = estimate_completions(requests, backend, output / STORE, prices=prices)
    except (ValueError, TypeError, OSError, StoreInUse) as error:
        raise ConfigError(str(error)) from error
    print(_describe(estimate))
    if config["dry_run"]:
        return pd.DataFrame(), {"estimate": estimate.to_dict()}
    try:
        completions = complete_all(
            requests,
            backend,
            output / STORE,
            parse=parse_scores,
            parse_attempts=config["parse_attempts"],
            prices=prices,
            max_failures=config["max_failures"],
            max_consecutive_errors=config["max_consecutive_errors"],
            description="Pairs judged",
        )
    except (TooManyFailures, StoreInUse) as error:
        raise ConfigError(str(error)) from error
    failures = [
        {"request": result.request.id, "kind": result.failure.kind, "message": result.failure.message}
        for result in completions.results
        if result.failure is not None
    ]
    (output / FAILURES).unlink(missing_ok=True)
    if failures:
        _write_csv(output / FAILURES, pd.DataFrame(failures))
    summary = {"model": backend.model_id, "answer_style": style, "completions": completions.to_dict()}
    return difficulty_table(questions, completions.results), summary


def _backend(config: Mapping[str, Any]) -> Any:
    if config["backend"] == "local":
        from trl_ext.completions import LocalBackend

        return LocalBackend(config["model"], batch_size=config["batch_size"], dtype=config["dtype"])
    from trl_ext.completions import OpenAIBackend, RetryPolicy

    return OpenAIBackend(
        config["model"],
        base_url=config["base_url"],
        # Nothing is sent in a dry run, so that it needs no key
        api_key_env=None if config["dry_run"] else config["api_key_env"],
        concurrency=config["concurrency"],
        timeout=config["timeout"],
        retry=RetryPolicy(max_retries=config["max_retries"]),
        max_tokens_field=config["max_tokens_field"],
    )


def _output_dir(config: Mapping[str, Any], name: str) -> Path:
    if config["output_dir"] is not None:
        output = Path(config["output_dir"]).expanduser()
    else:
        model = "published" if config["published_scores"] is not None else config["model"]
        output = Path("outputs") / re.sub(r"[^\w.-]+", "-", f"llm-arms-{name}-{model}")
    if not config["dry_run"]:
        output.mkdir(parents=True, exist_ok=True)
    return output


def _write_csv(path: Path, frame: pd.DataFrame) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    frame.to_csv(temporary, index=False)
    os.replace(temporary, path)


def _write_preferences(
    path: Path, rows: Dataset, table: pd.DataFrame, columns: Mapping[str, Any], config: Mapping[str, Any]
) -> int:
    """Write the rows with their reliability, for `tasks/train.py`; returns how many were left out."""
    missing = table["id"][pd.isna(columns["reliability"])].tolist()
    if missing and config["on_missing"] == "error":
        raise ConfigError(
            f"{len(missing)} of {len(table)} rows have no scores, the first of them id {missing[0]!r}: {PREFERENCES} is not "
            f"written. {FAILURES} says why. Run the same command again, or set on_missing=drop to leave them out."
        )
    if "reliability" in rows.column_names:
        logger.warning("the data has a column 'reliability', which the calibrated scores replace in %s", path.name)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        for row, reliability, used in zip(rows, columns["reliability"], columns["used_for_calibration"], strict=True):
            if pd.isna(reliability):
                continue
            plain = {key: None if isinstance(value, float) and pd.isna(value) else value for key, value in row.items()}
            plain |= {"reliability": float(reliability), "used_for_calibration": bool(used)}
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return len(missing)


def _describe(estimate: Any) -> str:
    answers = "unbounded" if estimate.completion_tokens is None else f"{estimate.completion_tokens:,}"
    cost = "" if estimate.cost is None else f", cost about {estimate.cost:.2f}"
    return (
        f"{estimate.requests} requests: {estimate.answered} answered before, {estimate.duplicates} equal to others, "
        f"{estimate.to_ask} to ask. About {estimate.prompt_tokens:,} tokens to read and {answers} to write{cost} "
        f"({estimate.rule}; repeated attempts not counted)."
    )


def _report(figures: Mapping[str, Any], output: Path) -> None:
    if "completions" in figures:
        ledger = figures["completions"]["ledger"]
        cost = "" if ledger["cost"] is None else f", cost {ledger['cost']:.4f}"
        print(
            f"{ledger['answers']} answers ({ledger['unusable']} of no use): {ledger['prompt_tokens']:,} tokens read, "
            f"{ledger['completion_tokens']:,} written{cost}"
            + (f"; {ledger['without_usage']} answers without a count of tokens" if ledger["without_usage"] else "")
        )
    print(f"{figures['rows'] - figures['rows_without_scores']} of {figures['rows']} pairs have scores")
    if "calibration" in figures:
        calibration = figures["calibration"]
        correlation = calibration["correlations_with_correctness"]["overall_difficulty"]
        print(
            f"correlation of overall_difficulty with correctness: {correlation['value']:.3f} "
            f"[{correlation['ci_low']:.3f}, {correlation['ci_high']:.3f}], {correlation['n']} rows"
        )
        if calibration["held_out"] is not None:
            difference = calibration["held_out"]["difference"]
            print(
                f"log loss on held-out rows, less that of a constant: {difference['value']:+.4f} "
                f"[{difference['ci_low']:+.4f}, {difference['ci_high']:+.4f}], {difference['n']} rows"
            )
        print(f"{calibration['below_half']} of {figures['rows']} rows have P(correct) below one half")
    print(f"written to {hide_private(str(output))}")

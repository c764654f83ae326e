"""One run of `tasks/train.py`: load, train, report, save, verify."""

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoConfig, TrainerCallback

from tasks.calibration_files import FOLDER, format_calibration, remove_calibration_files, write_calibration
from tasks.data_names import data_names
from tasks.interrupt import Interrupted
from tasks.json_files import write_json
from tasks.pair_calibration import MeasuredCalibration
from tasks.provenance import hash_file, hash_training_data
from tasks.resume import TrainingRun, open_run
from tasks.train_arguments import lora_config, method_name, trainer_classes, training_arguments
from tasks.train_calibration import calibrate_trained, prepare_calibration
from tasks.train_config import ConfigError
from tasks.train_data import TrainingData, load_training_data
from tasks.train_rate_audit import add_rate_audit, audit_results
from tasks.train_report import format_table, learned_figures, provenance
from trl_ext import (
    AnnotatorAwareRewardTrainer,
    CalibrationRewardTrainer,
    NoiseAwareRewardTrainer,
    PairwiseRewardTrainer,
)
from trl_ext.data import resolve_model
from trl_ext.hub import load_reward_model, push_reward_model, verify_round_trip
from trl_ext.hub.round_trip import whole_models
from trl_ext.model_entries import REWARD_HEAD
from trl_ext.reporting.data_health import data_health
from trl_ext.reporting.model_card import refresh_model_card
from trl_ext.reporting.run_files import DamagedEvidence
from trl_ext.scoring import save_calibration
from trl_ext.trainer import TrainingInterrupted
from trl_ext.trainer.frozen_layers import cached_lower_layers, freeze_lower_layers


logger = logging.getLogger("tasks.train")

TRAINING_LOG, DATA_HEALTH = "training_log.json", "data_health.json"
ROUND_TRIP_ROWS = 8
AUTOCAST_TOLERANCE = 0.1


class SacredCallback(TrainerCallback):
    """Record what the trainer logs in the Sacred run; what a resumed run had logged before it was interrupted, too."""

    def __init__(self, sacred_run):
        self.sacred_run = sacred_run

    def _record(self, logs, step):
        for name, value in logs.items():
            if isinstance(value, int | float) and name != "step":
                self.sacred_run.log_scalar(name, value, step)

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            for row in state.log_history:
                self._record(row, row["step"])

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero:
            self._record(logs or {}, state.global_step)


def find_model(name: str) -> str:
    """Resolve a model name and make sure that there is a model, without loading it."""
    path = resolve_model(name)
    try:
        AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"model_name {name!r} is neither a local directory with a model nor a model on the Hub that can be reached "
            f"({reason}). Offline, use model_name=bundled:smollm2-135m-instruct."
        ) from error
    return path


def hash_data(data: TrainingData, config: dict[str, Any]) -> str:
    """Hash of the training pairs, of human pairs beside them, and of the file that says how far to believe annotators."""
    digest = hash_training_data(data.train)
    if data.human is not None:
        digest += f"+{hash_training_data(data.human)}"
    if config["annotator_eta_path"] is not None:
        digest += f"+{hash_file(Path(config['annotator_eta_path']).expanduser())}"
    return digest


def _frozen_layers(trainer: PairwiseRewardTrainer, config: dict[str, Any]) -> AbstractContextManager:
    """Freeze what `train_last_layers` leaves out; the context in which the model is trained and evaluated."""
    layers, folder = config["train_last_layers"], config["frozen_cache_dir"]
    if layers is None:
        return nullcontext()
    freeze_lower_layers(trainer.model, layers)
    if folder is None:
        return nullcontext()
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise ValueError("frozen_cache_dir needs whole layers on every process: not with DeepSpeed and FSDP")
    dtype = torch.bfloat16 if trainer.args.bf16 else torch.float32
    return cached_lower_layers(trainer.model, layers, Path(folder).expanduser(), dtype)


def _reliability_results(trainer: PairwiseRewardTrainer) -> dict[str, Any]:
    """How far the labels were believed: statistics of the weights or of η, or the table of the annotators."""
    if isinstance(trainer, AnnotatorAwareRewardTrainer):
        report = trainer.annotator_report()
        print(f"\n{report.table.to_string(index=False, float_format='{:.3f}'.format)}\n({report.method})")
        return {"annotators": {"table": report.table.to_dict("records"), "method": report.method}}
    if isinstance(trainer, CalibrationRewardTrainer):
        return {"calibration": _calibration_results(trainer)}
    if isinstance(trainer, NoiseAwareRewardTrainer):
        return {"eta": None if trainer.eta_summary is None else trainer.eta_summary.to_dict()}
    return {"weights": trainer.weight_statistics.to_dict()}


def _calibration_results(trainer: CalibrationRewardTrainer) -> dict[str, Any]:
    """Which win rates were to be matched and on what scale, the human pairs, and what each source was found to be worth."""
    pairs = trainer.model_pairs
    matched = [] if pairs is None else zip(pairs.names, pairs.sizes.tolist(), pairs.targets.tolist(), strict=True)
    return {
        "model_pairs": [
            {"model": first, "opponent": second, "pairs": size, "expected_win_rate": target}
            for (first, second), size, target in matched
        ],
        "temperature": trainer.temperature,
        "anchor_weight": trainer.anchor_weight,
        "frozen_sd": trainer.frozen_sd,
        "human_pairs": trainer.num_human_pairs,
        "source_offsets": trainer.source_offsets if trainer.args.calibration_method == "source_offset" else None,
    }


def _save(trainer: PairwiseRewardTrainer, config: dict[str, Any]) -> None:
    merge = config["use_peft"] and config["merge_adapter"]
    divided = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    if merge and not divided:
        trainer.model = trainer.model.merge_and_unload()
    trainer.save_model()
    if merge and divided and trainer.is_world_process_zero():
        _merge_saved_adapter(trainer)
    trainer.create_model_card(dataset_name=data_names(config)["train"].get("hub_id"))


def _merge_saved_adapter(trainer: PairwiseRewardTrainer) -> None:
    """Replace a saved adapter by the merged model: in memory, no process may have the whole weights."""
    folder = Path(trainer.args.output_dir)
    with whole_models():
        model, _ = load_reward_model(str(folder), dtype=next(trainer.model.parameters()).dtype, device="cpu")
    merged = model.merge_and_unload()
    merged.config.problem_type = "regression"  # an adapter's configuration has no place for it
    merged.save_pretrained(folder)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (folder / name).unlink()
    (folder / REWARD_HEAD.file_name).unlink(missing_ok=True)  # the merged model says it in config.json


def _rewards_of_divided_model(trainer: PairwiseRewardTrainer) -> np.ndarray | None:
    """Rewards to compare those of the saved model with, where no process can run the model alone; else `None`."""
    if not (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled):
        return None
    rows = trainer.train_dataset.select(range(min(ROUND_TRIP_ROWS, len(trainer.train_dataset))))
    return trainer.predict(rows).predictions[:, 0]


def _verify(trainer: PairwiseRewardTrainer, rewards: np.ndarray | None) -> dict:
    ids = trainer.train_dataset["chosen_ids"][:ROUND_TRIP_ROWS]
    texts = trainer.processing_class.batch_decode(ids)
    # A divided model has scored under autocast; the loaded one does not
    rounded = rewards is not None and (trainer.args.bf16 or trainer.args.fp16)
    result = verify_round_trip(
        trainer.model,
        trainer.processing_class,
        trainer.args.output_dir,
        texts,
        tolerance=AUTOCAST_TOLERANCE if rounded else None,
        rewards=rewards,
    )
    return result.to_dict()


def _push(trainer: PairwiseRewardTrainer, config: dict[str, Any]) -> dict[str, Any]:
    folder = Path(trainer.args.output_dir)
    texts = trainer.processing_class.batch_decode(trainer.train_dataset["chosen_ids"][:ROUND_TRIP_ROWS])
    name = config["hub_model_id"] or folder.absolute().name
    with whole_models():
        pushed = push_reward_model(folder, name, private=config["hub_private"], verify_texts=texts)
    print(f"Pushed to {pushed.url}, {'private' if pushed.private else 'public'}, commit {pushed.commit}.")
    return {"repo_id": pushed.repo_id, "commit": pushed.commit, "private": pushed.private}


def set_cpu_threads(threads: int | None) -> None:
    """Use `threads`; by default all cores if this is the only process and has no accelerator."""
    if threads is None and int(os.environ.get("WORLD_SIZE", 1)) == 1 and not torch.accelerator.is_available():
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads is not None:
        torch.set_num_threads(threads)


def run(config: dict[str, Any], sacred_run, defaults: dict[str, Any]) -> dict[str, float]:
    """
    Train a reward model as `tasks/train.py` configures it.

    Args:
        config (`dict`): The configuration.
        sacred_run (`sacred.run.Run`): Where metrics and figures are recorded.
        defaults (`dict`): The default configuration.

    Returns:
        `dict[str, float]`: The figures after training.
    """
    transformers.utils.logging.set_verbosity_warning()
    logging.getLogger("trl_ext").setLevel(logging.INFO)
    set_cpu_threads(config["cpu_threads"])
    method = method_name(config)
    try:
        model_path = find_model(config["model_name"])
        data = load_training_data(config)
        held_out = prepare_calibration(config, data, defaults)
        args = training_arguments(config, data, method)
        _, trainer_class = trainer_classes(method)
        annotators = config["annotator_eta_path"]
        trainer = trainer_class(
            model=model_path,
            args=args,
            train_dataset=data.train,
            eval_dataset=data.evaluation,
            processing_class=None if config["tokenizer_name"] is None else _tokenizer(config["tokenizer_name"]),
            peft_config=lora_config(config, model_path),
            callbacks=[SacredCallback(sacred_run)],
            **({} if annotators is None else {"annotator_eta": annotators}),
            **({} if data.human is None else {"human_dataset": data.human}),
        )
        frozen_layers = _frozen_layers(trainer, config)
    except (ValueError, TypeError, ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from error

    if (trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled) and config["eval_before_training"]:
        logger.warning("eval_before_training is turned off: DeepSpeed and FSDP can't train a model that has evaluated")
        config["eval_before_training"] = False
    try:
        audit = add_rate_audit(trainer, config, data)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"rate_audit={config['rate_audit']}: {error}") from error
    training_run, checkpoint = open_run(trainer, config, hash_data(data, config), defaults)
    if trainer.is_world_process_zero():
        remove_calibration_files(args.output_dir, of_the_training=checkpoint is None)
    with frozen_layers:
        before = _figures_before(trainer, config, data, training_run, resumed=checkpoint is not None)
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        except TrainingInterrupted as stop:
            if training_run is not None:
                training_run.interrupted()
                print(f"Stopped after step {stop.step}. The same command goes on from {stop.checkpoint}.")
            raise Interrupted("by SIGTERM") from None
        after, scored, grid = _learned_figures(trainer, config, data)
        calibration = calibrate_trained(trainer, config, data, scored, held_out)
    if isinstance(calibration, MeasuredCalibration):  # before the model's card, which shows it
        source = provenance(config, model_path, data, trainer)
        write_calibration(Path(args.output_dir, FOLDER), calibration, source)
    rewards = _rewards_of_divided_model(trainer)
    _save(trainer, config)
    if trainer.is_world_process_zero():
        figures = {f"{when}_{k}": v for when, part in (("before", before), ("after", after)) for k, v in part.items()}
        results = {
            "figures": figures,
            "preference_calibration": calibration if isinstance(calibration, str) else None,
            **_reliability_results(trainer),
            **({} if audit is None else {"rate_audit": audit_results(audit)}),
            "round_trip": None,
            "provenance": provenance(config, model_path, data, trainer),
        }
        if isinstance(calibration, MeasuredCalibration):
            save_calibration(args.output_dir, calibration.calibration, overwrite=True)
            results["preference_calibration"] = calibration.to_labels.ece_change.to_dict()
            print(f"\n{format_calibration(calibration)}")
        path = Path(args.output_dir, "results.json")
        # a resumed run has the rows of its earlier parts: the trainer's state is in every checkpoint
        write_json(path.with_name(TRAINING_LOG), {"log_history": trainer.state.log_history})
        write_json(path.with_name(DATA_HEALTH), data_health(data.train))
        write_json(path, results)
        if scored is not None:
            scored.to_csv(Path(args.output_dir, "test_rewards.csv"), index=False)
        if grid is not None:
            grid.to_csv(Path(args.output_dir, "grid_rewards.csv"), index=False)
        sacred_run.info["figures"] = figures
        if config["verify_round_trip"]:
            results["round_trip"] = _verify(trainer, rewards)
            write_json(path, results)
        try:
            refresh_model_card(args.output_dir)
        except DamagedEvidence as error:  # of an earlier run in the same folder: no reason to lose this one
            logger.warning("The model card tells of the training only: %s", error)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        if config["push_to_hub"]:  # nobody waits for it: an upload may take longer than a collective is waited for
            results["hub"] = sacred_run.info["hub"] = _push(trainer, config)
            write_json(path, results)
        training_run.complete()
        if isinstance(calibration, str):
            print(f"\nThe model has no probabilities ({calibration}).")
        _report(args.output_dir, trainer.processing_class.eos_token or "", before, after, results["round_trip"])
    return {name: figure["value"] for name, figure in after.items()}


def _learned_figures(trainer: PairwiseRewardTrainer, config: dict[str, Any], data: TrainingData) -> tuple:
    """What the model has learned by now: figures, the scored pairs and grid."""
    label_column = "label" if isinstance(trainer, NoiseAwareRewardTrainer) else None
    return learned_figures(trainer, data.test, data.grid, config["correctness_label_col_name"], label_column)


def _figures_before(
    trainer: PairwiseRewardTrainer,
    config: dict[str, Any],
    data: TrainingData,
    training_run: TrainingRun | None,
    resumed: bool,
) -> dict[str, dict]:
    """What the model had learned before training: computed, or read back when resuming."""
    if not config["eval_before_training"]:
        return {}
    if not resumed:
        figures = _learned_figures(trainer, config, data)[0]
        if training_run is not None:
            training_run.record_figures_before(figures)
        return figures
    return {} if training_run is None else training_run.record["figures_before"] or {}


def _tokenizer(name: str):
    return transformers.AutoTokenizer.from_pretrained(resolve_model(name))


def _report(output_dir: str, eos_token: str, before: dict, after: dict, round_trip: dict | None) -> None:
    print(f"\n{format_table(before, after)}\n" if after else "\nNo evaluation data: nothing to report.\n")
    if round_trip is not None:
        print(
            f"Reloaded and compared: largest difference of {round_trip['rows']} rewards {round_trip['max_difference']:.1e}"
        )
    print(f"The reward model is in {output_dir} (figures: {Path(output_dir, 'results.json')}). Load it with\n")
    if Path(output_dir, "adapter_config.json").is_file():  # whose base model only we find, if it is a local one
        print(f'    from trl_ext import RewardScorer\n    reward_model = RewardScorer("{output_dir}")\n')
        return
    print("    from transformers import pipeline")
    print(f'    reward_model = pipeline("text-classification", model="{output_dir}")')
    print(f'    reward_model("Question: What is 2 + 2?\\nAnswer: 4{eos_token}")[0]["score"]  # the raw reward\n')

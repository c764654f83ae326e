"""Start, resume and finish a run in its output directory: the same command continues what was interrupted."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout

from tasks.json_files import write_json
from tasks.train_config import ConfigError
from trl_ext.privacy import hide_private
from trl_ext.trainer import find_checkpoint
from trl_ext.trainer.checkpoints import list_checkpoints, remove_checkpoint, remove_unfinished


logger = logging.getLogger("tasks.train")

RUN_FILE = "training_run.json"
LOCK_FILE = ".training.lock"

# What may change between the parts of a run, because the trained model does not depend on it
FREE_KEYS = {
    *("resume", "keep_checkpoints", "save_total_limit", "verify_round_trip", "eval_on_lie_test", "num_proc"),
    *("cpu_threads", "output_dir", "experiment_tag", "lie_test_path", "per_device_eval_batch_size", "merge_adapter"),
    *("calibrate", "report_to", "push_to_hub", "hub_model_id", "hub_private"),
}
FREE_TRAINER_KEYS = {"disable_tqdm", "dataloader_num_workers", "run_name", "project"}


def fixed_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that a resumed run must share, as JSON keeps it."""
    kept = {key: value for key, value in config.items() if key not in FREE_KEYS}
    kept["trainer"] = {key: value for key, value in config["trainer"].items() if key not in FREE_TRAINER_KEYS}
    return json.loads(json.dumps(hide_private(kept), default=str))


class TrainingRun:
    """
    The state of a run, kept beside its checkpoints in `training_run.json`.

    Only the main process makes one. It holds a lock on the output directory, which ends with the process.

    Args:
        output_dir (`str`): Output directory of the run.
        config (`dict`): Configuration of the run.
        data_sha256 (`str`): Hash of the training pairs.
        processes (`int`): Number of processes.
        defaults (`dict`, *optional*): Default configuration: what a key had that the script got since then.

    Raises:
        ConfigError: If another process trains there, or if the checkpoints there are those of another run.
    """

    def __init__(
        self,
        output_dir: str,
        config: Mapping[str, Any],
        data_sha256: str,
        processes: int,
        defaults: Mapping[str, Any] | None = None,
    ):
        self.folder = Path(output_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.folder / LOCK_FILE)
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(f"another process trains in {output_dir!r}: set output_dir or experiment_tag") from None
        self.keep_checkpoints = config["keep_checkpoints"]
        facts = {"config": fixed_part(config), "data_sha256": data_sha256, "processes": processes}
        previous = self._read()
        if previous and defaults is not None:
            previous["config"] = fixed_part(defaults) | previous["config"]
        remove_unfinished(output_dir)
        found = list_checkpoints(output_dir)
        finished = previous.get("status") == "complete"
        if not config["resume"] or (finished and not previous["keep_checkpoints"]):
            if found:
                logger.info("%d checkpoints of an earlier run in %s are removed.", len(found), output_dir)
            self._remove(found)
            found = []
        if found:
            self._check_same_run(previous, facts)
        self.checkpoint = find_checkpoint(output_dir) if found else None
        self.record = {"figures_before": None}
        if self.checkpoint is not None:
            self.record["figures_before"] = previous["figures_before"]
            logger.info("Resuming from %s.", self.checkpoint)
        self.record |= facts | {"status": "running", "keep_checkpoints": self.keep_checkpoints}
        self._write()

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / RUN_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def _write(self) -> None:
        write_json(self.folder / RUN_FILE, self.record)

    def _check_same_run(self, previous: dict[str, Any], facts: dict[str, Any]) -> None:
        where = f"output_dir {str(self.folder)!r} holds checkpoints"
        ways_out = "Set output_dir or experiment_tag for a new run, or resume=False to remove them and start over."
        if not previous:
            raise ConfigError(f"{where} without {RUN_FILE}, the record of their run. {ways_out}")
        if previous.get("status") == "complete":
            raise ConfigError(f"{where} of a run that is complete. {ways_out}")
        old, new = previous["config"], facts["config"]
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if changed:
            changes = "; ".join(f"{key}: {old.get(key)!r} there, {new.get(key)!r} here" for key in changed)
            raise ConfigError(f"{where} of a run with other settings ({changes}). {ways_out}")
        if previous["data_sha256"] != facts["data_sha256"]:
            raise ConfigError(f"{where} of a run on other training pairs. {ways_out}")
        if previous["processes"] != facts["processes"]:
            counts = f"{previous['processes']} there, {facts['processes']} here"
            raise ConfigError(f"{where} of a run on another number of processes ({counts}). {ways_out}")

    def record_figures_before(self, figures: dict[str, Any]) -> None:
        """Keep the figures before training: a resumed run has no untrained model to compute them from."""
        self.record["figures_before"] = figures
        self._write()

    def interrupted(self) -> None:
        """Note that the run was asked to stop."""
        self.record["status"] = "interrupted"
        self._write()

    def complete(self) -> None:
        """Note that the run is complete and remove its checkpoints, unless they are to be kept."""
        self.record["status"] = "complete"
        self._write()
        if not self.keep_checkpoints:
            self._remove(list_checkpoints(self.folder))
        self.lock.release()

    @staticmethod
    def _remove(checkpoints: list[Path]) -> None:
        for checkpoint in checkpoints:
            remove_checkpoint(checkpoint)


def open_run(
    trainer, config: Mapping[str, Any], data_sha256: str, defaults: Mapping[str, Any] | None = None
) -> tuple[TrainingRun | None, str | None]:
    """
    Open the run of a trainer in its output directory, on every process.

    Args:
        trainer ([`~transformers.Trainer`]): Trainer that is about to train.
        config (`dict`): Configuration of the run.
        data_sha256 (`str`): Hash of the training pairs; needed on the main process.
        defaults (`dict`, *optional*): As in [`TrainingRun`].

    Returns:
        `tuple`: The state of the run, on the main process only, and the checkpoint to resume from, on all.

    Raises:
        ConfigError: As [`TrainingRun`], on all processes.
    """
    training_run, checkpoint, refused = None, None, None
    if trainer.is_world_process_zero():
        try:
            training_run = TrainingRun(trainer.args.output_dir, config, data_sha256, trainer.args.world_size, defaults)
            checkpoint = training_run.checkpoint
        except ConfigError as error:
            refused = str(error)
    checkpoint, refused = broadcast_object_list([checkpoint, refused])
    if refused is not None:
        raise ConfigError(refused)
    return training_run, checkpoint

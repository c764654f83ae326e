"""Paths of the training machine in what a trainer saves and tells: the home directory becomes `~`."""

import functools
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import transformers.trainer
from torch import nn
from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from ..data.bundled import portable_name
from ..privacy import map_text
from .checkpoints import TRAINER_STATE


# Files into which transformers and PEFT write names of models and folders
_FILES = ("adapter_config.json", "config.json", "tokenizer_config.json", TRAINER_STATE, "README.md")
_TRACKERS = tuple(INTEGRATION_TO_CALLBACK.values())
_TRACKER_EVENTS = ("on_train_begin", "on_log", "on_predict")  # the first of them records the configurations


def hide_saved_paths(folder: str | Path) -> None:
    """
    Make the names of models and folders in a saved model or checkpoint portable.

    The bundled model gets its name and the home directory becomes `~`; [`~trl_ext.data.resolve_model`] finds both
    again. Names of the Hub and other paths stay.

    Args:
        folder (`str` or `Path`):
            Directory in which a model or a checkpoint was saved.
    """
    for path in (Path(folder, name) for name in _FILES):
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":  # parsed, as a path may be escaped in it
            content = json.loads(text)
            portable = map_text(content, portable_name)
            changed = None if portable == content else json.dumps(portable, indent=2, ensure_ascii=False) + "\n"
        else:
            portable = portable_name(text)
            changed = None if portable == text else portable
        if changed is not None:
            _replace(path, changed)


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.chmod(file.name, path.stat().st_mode)
    os.replace(file.name, path)


@contextmanager
def _keep_card(folder: str | Path) -> Iterator[None]:
    """Leave `README.md` of a folder as it is, or absent."""
    path = Path(folder, "README.md")
    card = path.read_bytes() if path.is_file() else None
    yield
    if card is None:
        path.unlink(missing_ok=True)
    elif not path.is_file() or path.read_bytes() != card:
        path.write_bytes(card)


@contextmanager
def _portable_names(model: nn.Module | None) -> Iterator[None]:
    """Give the configurations of a model and of its adapters portable names, and the real ones back in the end."""
    if model is None:
        yield
        return
    adapters = getattr(model, "peft_config", {}).values()
    named = [(model.config, "_name_or_path"), *((adapter, "base_model_name_or_path") for adapter in adapters)]
    real = [getattr(config, name) for config, name in named]
    try:
        for (config, name), value in zip(named, real, strict=True):
            setattr(config, name, map_text(value, portable_name))
        yield
    finally:
        for (config, name), value in zip(named, real, strict=True):
            setattr(config, name, value)


def _with_portable_names(event: Callable) -> Callable:
    @functools.wraps(event)
    def wrapper(*args, model=None, **kwargs):
        with _portable_names(model):
            return event(*args, model=model, **kwargs)

    return wrapper


def _is_not_about_best_checkpoint(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("The best checkpoint ~")


class PortablePathsTrainer(Trainer):
    """
    Keep the home directory out of what [`PairwiseRewardTrainer`] saves and of what it tells trackers.

    In saved models and checkpoints the home directory is `~` and the bundled model has its name; resuming expands them
    again. Trackers get the same names with the configurations of the model and of its adapter.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, _TRACKERS):
                self._hide_paths_from(callback)

    @staticmethod
    def _hide_paths_from(tracker: TrainerCallback) -> None:
        for event in _TRACKER_EVENTS:
            setattr(tracker, event, _with_portable_names(getattr(tracker, event)))

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = output_dir or self.args.output_dir
        if not self.args.should_save:
            super()._save(output_dir, state_dict)
            return
        # PEFT writes a template, or changes the card that is there. A checkpoint may have the template.
        with _keep_card(folder) if Path(folder) == Path(self.args.output_dir) else nullcontext():
            super()._save(output_dir, state_dict)
        hide_saved_paths(folder)

    def _save_more(self, staged: Path) -> None:
        super()._save_more(staged)
        hide_saved_paths(staged)

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        # transformers warns that it can't find a best checkpoint below `~`, and forgets it
        logger = transformers.trainer.logger
        logger.addFilter(_is_not_about_best_checkpoint)
        try:
            done = super()._init_training_state(max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial)
        finally:
            logger.removeFilter(_is_not_about_best_checkpoint)
        if resume is not None and self.state.best_model_checkpoint is None:
            state = json.loads(Path(resume, TRAINER_STATE).read_text(encoding="utf-8"))
            best = state["best_model_checkpoint"]
            if best is not None and Path(best).expanduser().is_dir():
                self.state.best_model_checkpoint = str(Path(best).expanduser())
        return done

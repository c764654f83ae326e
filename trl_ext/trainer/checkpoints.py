"""Checkpoints that are complete or absent: written aside, listed in a manifest, flushed, and moved into place."""

import json
import logging
import os
import re
import shutil
from pathlib import Path

from transformers.trainer_callback import TrainerState


logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
STAGING = ".incomplete"  # folder in the output directory in which a checkpoint is written
TRAINER_STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")
# What a run can't go on from exactly without; DeepSpeed keeps all of it in `global_step*`, FSDP in folders
_NEEDED = {
    "weights": ("*.safetensors", "pytorch_model*", "global_step*"),
    "the optimizer": ("optimizer*", "global_step*"),
    "the schedule": ("scheduler.pt", "global_step*"),
    "the random generators": ("rng_state*.pth",),
}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_checkpoint(staged: Path, target: Path) -> None:
    """
    Move a checkpoint that is completely written into place.

    Its manifest names every file with its size. Files, folders and manifest are on the disk before the name of the
    checkpoint exists, so that a crash or a power failure at any moment leaves a complete checkpoint or none.

    Args:
        staged (`Path`): Folder with the files of the checkpoint.
        target (`Path`): Where it belongs, on the same file system. A checkpoint that is there already is replaced.
    """
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    sizes = {path.relative_to(staged).as_posix(): path.stat().st_size for path in files}
    (staged / MANIFEST).write_text(json.dumps({"files": sizes}, indent=2), encoding="utf-8")
    for path in [*staged.rglob("*"), staged]:
        _flush(path)
    replaced = None
    if target.exists():
        replaced = staged.with_name(f"{target.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        os.replace(target, replaced)
    os.replace(staged, target)
    _flush(target.parent)
    if replaced is not None:
        shutil.rmtree(replaced)


def checkpoint_problem(path: str | Path) -> str | None:
    """
    Why a checkpoint can't be resumed from.

    Args:
        path (`str` or `Path`): Folder of the checkpoint.

    Returns:
        `str`, *optional*: What is missing or damaged; `None` if it is complete. A checkpoint without a manifest, which
        another trainer wrote, counts as complete if its `trainer_state.json`, which is written last, can be read, and
        weights, optimizer, schedule and random generators are there.
    """
    path = Path(path)
    if not path.is_dir():
        return "there is no such folder"
    try:
        TrainerState.load_from_json(str(path / TRAINER_STATE))
    except FileNotFoundError:
        return f"{TRAINER_STATE} is missing"
    except (ValueError, TypeError) as error:
        return f"{TRAINER_STATE} can't be read ({error})"
    try:
        sizes = json.loads((path / MANIFEST).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        sizes = {}
    except (ValueError, KeyError, TypeError):
        return f"{MANIFEST} can't be read"
    for name, size in sizes.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes instead of {size}"
    for what, patterns in _NEEDED.items():
        if not any(next(path.glob(pattern), None) for pattern in patterns):
            return f"the state of {what} is missing ({', '.join(patterns)})"
    return None


def list_checkpoints(output_dir: str | Path) -> list[Path]:
    """Folders named `checkpoint-<step>`, by their step; complete or not."""
    named = ((_NAME.fullmatch(path.name), path) for path in Path(output_dir).glob("checkpoint-*") if path.is_dir())
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint: at no moment is a part of it left under its name."""
    removed = path.parent / STAGING / f"{path.name}.removed"
    removed.parent.mkdir(exist_ok=True)
    shutil.rmtree(removed, ignore_errors=True)
    os.replace(path, removed)
    shutil.rmtree(removed)
    if not any(removed.parent.iterdir()):
        removed.parent.rmdir()


def remove_old_checkpoints(output_dir: Path, limit: int | None, best: str | None) -> None:
    """
    Keep the newest `limit` checkpoints by their step, and the best one.

    transformers goes by the time of modification: a clock that is fast on another machine would let it delete new ones.
    """
    if not limit or limit < 0:
        return
    checkpoints = list_checkpoints(output_dir)
    kept = {checkpoints[-1], *((Path(best),) if best is not None else ())}
    surplus = len(checkpoints) - max(limit, len(kept.intersection(checkpoints)))
    for checkpoint in [path for path in checkpoints if path not in kept][: max(surplus, 0)]:
        remove_checkpoint(checkpoint)


def find_checkpoint(output_dir: str | Path) -> str | None:
    """
    Find the newest complete checkpoint of a training run, by its step.

    Incomplete ones are passed over with a warning.

    Args:
        output_dir (`str` or `Path`): Output directory of the trainer; need not exist.

    Returns:
        `str`, *optional*: Path of the checkpoint; `None` if there is none.

    Example:
        ```python
        >>> from trl_ext.trainer import find_checkpoint

        >>> trainer.train(resume_from_checkpoint=find_checkpoint("outputs/reward-model"))  # from the start if None
        ```
    """
    for path in reversed(list_checkpoints(output_dir)):
        problem = checkpoint_problem(path)
        if problem is None:
            return str(path)
        logger.warning("Checkpoint %s is passed over: %s", path, problem)
    return None


def remove_unfinished(output_dir: str | Path) -> None:
    """Remove what a run that was killed while it saved a checkpoint has left behind."""
    staging = Path(output_dir, STAGING)
    for replaced in staging.glob("checkpoint-*.replaced"):
        target = Path(output_dir, replaced.name.removesuffix(".replaced"))
        if not target.exists():  # killed between the two renames
            os.replace(replaced, target)
    shutil.rmtree(staging, ignore_errors=True)

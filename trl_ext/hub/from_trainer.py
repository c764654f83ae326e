"""Pushes of a trainer: at the end, and of its checkpoints during training."""

import logging
import os
import shutil
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import CommitInfo, HfApi, run_as_future
from transformers.trainer_utils import HubStrategy, SaveStrategy
from transformers.utils.hub import PushInProgress

from ..trainer.model_card import FACTS_FILE
from .files import files_to_upload
from .push import PushResult, push_folder
from .repository import full_repo_id
from .round_trip import whole_models


if TYPE_CHECKING:
    from ..trainer import PairwiseRewardTrainer

logger = logging.getLogger(__name__)


def push_trainer(
    trainer: "PairwiseRewardTrainer",
    commit_message: str | None,
    blocking: bool,
    token: str | None,
    revision: str | None,
    private: bool | None,
    **card,
) -> CommitInfo | Future | None:
    """
    Save the model, write its card, and push the output directory as [`push_reward_model`] does.

    The rewards of a fresh download are compared with those of the model in memory, on the main process; with those of the
    saved model, if the weights in memory are divided among processes. With `blocking=False` training may go on meanwhile,
    and nothing is compared.

    Returns:
        [`~huggingface_hub.CommitInfo`], or a `Future` of one with `blocking=False`, on the main process; else `None`.
    """
    args = trainer.args
    trainer.callback_handler.on_push_begin(args, trainer.state, trainer.control)
    trainer.save_model(_internal_call=True)
    if not trainer.is_world_process_zero():
        return None
    token = token or args.hub_token
    name = trainer.hub_model_id or args.hub_model_id or Path(args.output_dir).absolute().name
    trainer.hub_model_id = full_repo_id(name, token, max_retries=5)
    tags = card.pop("tags", None) or []
    tags = [*([tags] if isinstance(tags, str) else tags), *(getattr(trainer.model, "model_tags", None) or ())]
    trainer.create_model_card(
        model_name=card.pop("model_name", None) or trainer.hub_model_id.split("/")[-1], tags=tags, **card
    )
    trainer._finish_current_push()
    # No process can run a model whose weights are divided: what was saved is compared in its place
    divided = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    commit_message = commit_message or "End of training"

    def push() -> CommitInfo:
        with whole_models():
            result = push_folder(
                Path(args.output_dir),
                trainer.hub_model_id,
                None if divided else trainer.model,
                None if divided else trainer.processing_class,
                private=args.hub_private_repo if private is None else private,
                revision=revision or args.hub_revision,
                commit_message=commit_message,
                verify=blocking,
                token=token,
            )
        return _commit_info(result, commit_message)

    return push() if blocking else run_as_future(push)


def push_checkpoint(trainer: "PairwiseRewardTrainer", checkpoint: Path) -> None:
    """
    Push the model of a checkpoint in the background, as `hub_strategy` says.

    transformers' own method uploads `training_args.bin`, a pickle that holds `hub_token`, and makes several commits where
    hf_xet is installed. With `"checkpoint"` and `"all_checkpoints"` the state of the optimizer is uploaded too, as that
    is what they are for: in pickles, but without `training_args.bin`.
    """
    args = trainer.args
    if not trainer.is_world_process_zero() or args.hub_strategy == HubStrategy.END:
        return
    busy = trainer.push_in_progress is not None and not trainer.push_in_progress.is_done()
    if busy and not args.hub_always_push:
        return
    trainer.callback_handler.on_push_begin(args, trainer.state, trainer.control)
    moment = (
        f"step {trainer.state.global_step}"
        if args.save_strategy == SaveStrategy.STEPS
        else f"epoch {int(trainer.state.epoch)}"
    )
    # Links of their own: the checkpoint may be deleted while it is uploaded
    folder = Path(tempfile.mkdtemp(prefix="_push_", dir=args.output_dir))
    with_state = args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS)
    names, state = files_to_upload(checkpoint)
    for name in [*names, *(state if with_state else ())]:
        if name != "README.md":  # PEFT's template
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _link(checkpoint / name, folder / name)
    for card in (Path(args.output_dir, "README.md"), Path(args.output_dir, FACTS_FILE)):
        if card.is_file():
            shutil.copyfile(card, folder / card.name)

    def push() -> None:
        try:
            push_folder(
                folder,
                trainer.hub_model_id,
                None,
                None,
                private=None,
                revision=args.hub_revision,
                commit_message=f"Training in progress, {moment}",
                verify=False,
                exclude=("trainer_state.json",),
                token=args.hub_token,
            )
            if with_state:
                last = args.hub_strategy == HubStrategy.CHECKPOINT
                HfApi(token=args.hub_token).upload_folder(
                    repo_id=trainer.hub_model_id,
                    folder_path=folder,
                    path_in_repo="last-checkpoint" if last else checkpoint.name,
                    commit_message=f"Training in progress, {moment}, checkpoint",
                    revision=args.hub_revision,
                    ignore_patterns=["training_args.bin"],
                )
        except Exception:
            logger.exception("The push of %s failed; training goes on", checkpoint.name)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    job = run_as_future(push)
    if busy:
        trainer.push_in_progress.jobs.append(job)
    else:
        trainer.push_in_progress = PushInProgress([job])


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _commit_info(result: PushResult, message: str) -> CommitInfo:
    url = f"{result.url}/commit/{result.commit}"
    return CommitInfo(commit_url=url, commit_message=message, commit_description="", oid=result.commit)

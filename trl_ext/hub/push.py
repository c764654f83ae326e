"""Push a reward model to the Hub: said beforehand, in one commit, compared with a fresh download."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from transformers import PreTrainedTokenizerBase

from ..scoring.loading import check_one_label, load_tokenizer_of
from ..shared_prefix import core_model
from .files import check_no_secrets, files_to_remove
from .load import load_reward_model
from .repository import Pushed, Repository, check_reachable
from .round_trip import RoundTrip, RoundTripError, default_texts, verify_round_trip
from .stage import add_model_card, save_model, stage


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PushResult(Pushed):
    """
    Result of [`push_reward_model`]: what every push tells, and

    Args:
        left_out (`list[str]`): Files of the directory that were not uploaded.
        round_trip ([`RoundTrip`], *optional*): Comparison with the fresh download; `None` if it was switched off.
    """

    left_out: list[str]
    round_trip: RoundTrip | None


def push_reward_model(
    model_or_path: nn.Module | str | Path,
    repo_id: str,
    *,
    processing_class: PreTrainedTokenizerBase | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    verify: bool = True,
    verify_texts: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    max_retries: int = 5,
    token: str | None = None,
) -> PushResult:
    """
    Push a reward model to the Hub in one commit, then download it afresh and compare its rewards.

    Before anything is uploaded, the log (a warning) says to which repository, whether it is private or public, and
    which files with how many bytes. A push that breaks leaves the repository as it was, or complete; call again to
    complete it. Pickles, optimizer states, checkpoints and logs are never uploaded. The model card is made of what lies in
    the directory (see [`~trl_ext.reporting.model_card.model_card`]), unless somebody has written or edited one, here or on the Hub.

    Args:
        model_or_path ([`~transformers.PreTrainedModel`], [`~peft.PeftModel`], `str` or `Path`):
            A model in memory (of an adapted one, the adapter with its reward head is pushed), or a directory with a
            saved model or adapter and its tokenizer.
        repo_id (`str`):
            `namespace/name`, or a name in your own namespace. Created if it does not exist.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer of a model in memory. By default the one that lies where the model was loaded from.
        private (`bool`, *optional*):
            Whether the repository is to be private. `None` leaves an existing one as it is, and a new one to the Hub's
            default, which is public unless your organization says otherwise. If an existing repository is not as asked
            for, that is an error.
        revision (`str`, *optional*):
            Branch, created if need be. Defaults to `main`.
        commit_message (`str`, *optional*, defaults to `"Upload reward model"`):
            Title of the commit.
        verify (`bool`, *optional*, defaults to `True`):
            Compare rewards before the upload, of what is about to be uploaded, and after it, of a fresh download.
        verify_texts (`list[str]`, *optional*):
            Whole sequences with their special tokens to compare rewards of. By default a few questions with answers.
        exclude (`list[str]`, *optional*):
            Patterns of further files of a directory that are not uploaded.
        max_retries (`int`, *optional*, defaults to `5`):
            How often a request is repeated after 429, 5xx or a lost connection, with growing waits.
        token (`str`, *optional*):
            Access token. By default `HF_TOKEN`, or the one of `hf auth login`.

    Returns:
        [`PushResult`]: Repository, commit, files, and the comparison.

    Raises:
        PushError: If the push did not complete; the message says what state the repository is in.
        RoundTripError: If the rewards differ, before the upload or after it; the message says which.
        ValueError: If the directory holds no weights in safetensors files, or a file holds an access token or the path
            of the home directory. Nothing was uploaded then.

    Example:
        ```python
        >>> from trl_ext import push_reward_model

        >>> result = push_reward_model("my-reward-model", "me/my-reward-model", private=True)
        >>> result.commit, result.round_trip.max_difference
        ('0d4b1c6…', 0.0)
        ```
    """
    settings = {
        **{"private": private, "revision": revision, "commit_message": commit_message or "Upload reward model"},
        **{"verify": verify, "verify_texts": verify_texts, "exclude": exclude},
        **{"max_retries": max_retries, "token": token},
    }
    check_reachable(token)
    if not isinstance(model_or_path, nn.Module):
        folder = Path(model_or_path).expanduser()
        if not folder.is_dir():
            raise ValueError(f"{str(model_or_path)!r} is neither a model in memory nor a directory")
        return push_folder(folder, repo_id, None, None, **settings)
    check_one_label(core_model(model_or_path).config)
    if processing_class is None:
        processing_class = load_tokenizer_of(core_model(model_or_path))
    with tempfile.TemporaryDirectory(prefix="trl_ext_push_") as saved:
        save_model(model_or_path, processing_class, Path(saved))
        return push_folder(Path(saved), repo_id, model_or_path, processing_class, **settings)


def push_folder(
    source: Path,
    repo_id: str,
    model: nn.Module | None,
    processing_class: PreTrainedTokenizerBase | None,
    *,
    private: bool | None,
    revision: str | None,
    commit_message: str,
    verify: bool,
    verify_texts: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    max_retries: int = 5,
    token: str | None,
) -> PushResult:
    """Push a directory; its rewards are compared with those of `model`, or, if that is `None`, of the directory."""
    with tempfile.TemporaryDirectory(prefix="trl_ext_push_") as scratch:
        staged, fresh = Path(scratch, "staged"), Path(scratch, "fresh")
        staged.mkdir()
        names, left_out = stage(source, staged, exclude)
        check_no_secrets(staged, names, token)
        if verify:
            if model is None:
                model, processing_class = load_reward_model(str(staged))
            texts = default_texts(processing_class) if verify_texts is None else verify_texts
            _compare(model, processing_class, staged, texts, "Nothing was uploaded.")

        repository = Repository.open(repo_id, private=private, revision=revision, token=token, max_retries=max_retries)
        names = add_model_card(names, source, staged, repository)
        check_no_secrets(staged, [name for name in names if name == "README.md"], token)
        removed = files_to_remove(repository.files, names)
        repository.announce(staged, names, removed, left_out, private)
        commit = repository.commit(staged, names, removed, commit_message)
        round_trip = None
        if verify:
            repository.download(commit, names, fresh)
            state = f"The push is complete, at {commit} of {repository.repo_id}, but should not be used."
            round_trip = _compare(model, processing_class, fresh, texts, state)
        sizes = {name: (staged / name).stat().st_size for name in names}
    logger.info("Pushed: %s at commit %s", repository.url, commit)
    return PushResult(
        repository.repo_id, repository.url, commit, repository.private, sizes, removed, left_out, round_trip
    )


def _compare(model: nn.Module, processing_class, folder: Path, texts: Sequence[str], state: str) -> RoundTrip:
    try:
        return verify_round_trip(model, processing_class, folder, texts)
    except RoundTripError as error:
        raise RoundTripError(f"{error}. {state}") from error

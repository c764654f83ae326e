"""A repository on the Hub: found or created, changed by one commit, downloaded afresh."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.sha import git_hash

from .retry import is_transient, with_retries


logger = logging.getLogger(__name__)

T = TypeVar("T")


class PushError(RuntimeError):
    """The push did not complete. The message says what state the repository is in and whether to call again."""


@dataclass(frozen=True)
class Pushed:
    """
    What a push has done.

    Args:
        repo_id (`str`): `namespace/name`.
        url (`str`): Page of the repository.
        commit (`str`): The commit that holds what was pushed: its `revision` for ever.
        private (`bool`): Whether the repository is private.
        files (`dict[str, int]`): Uploaded files with their size in bytes.
        removed (`list[str]`): Files of an earlier push that the commit removed.
    """

    repo_id: str
    url: str
    commit: str
    private: bool
    files: dict[str, int]
    removed: list[str]


@dataclass
class Repository:
    """
    A repository of which `head` is the newest commit that is known.

    Args:
        api ([`~huggingface_hub.HfApi`]): Client with its token.
        repo_id (`str`): `namespace/name`.
        repo_type (`str`): `"model"` or `"dataset"`.
        revision (`str`): Branch.
        private (`bool`): Whether it is private, as the Hub says.
        is_new (`bool`): Whether it was created just now.
        head (`str`): Commit of the branch.
        files (`list[str]`): Files at that commit.
        max_retries (`int`): How often a request is repeated.
    """

    api: HfApi
    repo_id: str
    repo_type: str
    revision: str
    private: bool
    is_new: bool
    head: str
    files: list[str]
    max_retries: int

    @classmethod
    def open(
        cls,
        repo_id: str,
        *,
        repo_type: str = "model",
        private: bool | None = None,
        revision: str | None = None,
        token: str | None = None,
        max_retries: int = 5,
    ) -> "Repository":
        """Find the repository or create it, and check that it is as private as was asked for."""
        repo_id = full_repo_id(repo_id, token, max_retries)
        api = HfApi(token=token, library_name="trl_ext")
        ask = partial(_ask, max_retries=max_retries)
        is_new = False
        try:
            info = ask(lambda: api.repo_info(repo_id, repo_type=repo_type), f"Looking up {repo_id}")
        except RepositoryNotFoundError:
            try:
                ask(
                    lambda: api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True),
                    f"Creating {repo_id}",
                )
                info = ask(lambda: api.repo_info(repo_id, repo_type=repo_type), f"Looking up {repo_id}")
            except RepositoryNotFoundError as error:
                raise PushError(f"Creating {repo_id} failed: {_reason(error)}\nNothing was uploaded.") from error
            is_new = True
        if private is not None and bool(info.private) != private:
            there, asked = ("private", "public") if info.private else ("public", "private")
            raise PushError(
                f"{repo_id} exists and is {there}, but private={private} was asked for. Nothing was uploaded. Make it "
                f"{asked} in its settings, or push with private=None to leave it as it is."
            )
        if revision is not None:
            try:
                info = ask(
                    lambda: api.repo_info(repo_id, repo_type=repo_type, revision=revision), f"Looking up {revision}"
                )
            except RevisionNotFoundError:
                ask(
                    lambda: api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True),
                    f"Creating branch {revision}",
                )
                info = ask(
                    lambda: api.repo_info(repo_id, repo_type=repo_type, revision=revision), f"Looking up {revision}"
                )
        files = [sibling.rfilename for sibling in info.siblings or ()]
        branch = revision or constants.DEFAULT_REVISION
        return cls(api, repo_id, repo_type, branch, bool(info.private), is_new, info.sha, files, max_retries)

    @property
    def url(self) -> str:
        prefix = "" if self.repo_type == "model" else f"{self.repo_type}s/"
        return f"{self.api.endpoint}/{prefix}{self.repo_id}"

    def announce(
        self, folder: Path, names: Sequence[str], removed: Sequence[str], left_out: Sequence[str], private: bool | None
    ) -> None:
        """Say what is about to be uploaded, and who will be able to read it."""
        visibility = "PRIVATE" if self.private else "PUBLIC, for everyone to read"
        why = "created just now, " if self.is_new else "as the existing repository is, "
        why += "as private=None leaves it to the Hub's default" if self.is_new and private is None else ""
        sizes = {name: (folder / name).stat().st_size for name in names}
        # A warning, as that is what Python shows unless it is told otherwise: nobody should publish unawares
        logger.warning(
            "About to push to %s (branch %s), which is %s (%s): %d files, %s bytes: %s.%s%s",
            *(self.url, self.revision, visibility, why.rstrip(", "), len(sizes), f"{sum(sizes.values()):,}"),
            ", ".join(f"{name} ({size:,})" for name, size in sizes.items()),
            f" Removed, of an earlier push: {', '.join(removed)}." if removed else "",
            f" Not uploaded: {', '.join(left_out)}." if left_out else "",
        )

    def commit(self, folder: Path, names: Sequence[str], removed: Sequence[str], message: str) -> str:
        """
        Upload and remove files in one commit on top of `head`; return the commit.

        `HfApi.upload_folder` would make several commits where hf_xet is installed: one that breaks between them would
        leave a repository that no one can load.
        """
        additions = [CommitOperationAdd(name, folder / name) for name in names]
        where = {"repo_type": self.repo_type, "revision": self.revision}
        try:
            # Retried by huggingface_hub. Large files that the Hub has already are not sent again
            self.api.preupload_lfs_files(self.repo_id, additions, **where, free_memory=False)
        except Exception as error:
            raise self._broken(error, "uploading", f"It is as it was, at {self.head}.") from error

        operations = [*additions, *(CommitOperationDelete(name, is_folder=False) for name in removed)]
        try:
            # Can be repeated: the Hub refuses a second commit on the same parent
            return with_retries(
                lambda: (
                    self.api.create_commit(
                        self.repo_id, operations, commit_message=message, parent_commit=self.head, **where
                    ).oid
                ),
                f"Committing to {self.repo_id}",
                self.max_retries,
            )
        except Exception as error:
            state = f"It is as it was, at {self.head}."
            if is_transient(error) or _is_conflict(error):
                try:
                    head = self._newest()
                    if head != self.head and self._holds(head, folder, names, removed):
                        return head  # this push's own commit, of which the answer was lost
                    if head != self.head:
                        state = f"Someone else changed it while this push was under way: it is at their {head}."
                except Exception:  # out of reach altogether
                    state = (
                        f"It is as it was, at {self.head}, or complete, should only the Hub's answer have been lost."
                    )
            raise self._broken(error, "committing", state) from error

    def _newest(self) -> str:
        def ask() -> str:
            return self.api.repo_info(self.repo_id, repo_type=self.repo_type, revision=self.revision).sha

        return _ask(ask, f"Looking up {self.repo_id}", self.max_retries)

    def _broken(self, error: Exception, what: str, state: str) -> PushError:
        return PushError(
            f"The push to {self.repo_id} broke while {what}: {_reason(error)}\nState of the repository: {state} A push is "
            "one commit, so that it never has a part of the files. Call again to complete it: large files that arrived "
            "are not sent again."
        )

    def _holds(self, revision: str, folder: Path, names: Sequence[str], removed: Sequence[str]) -> bool:
        """Whether the files at a revision are those of this push."""
        paths = [*names, *removed]
        there = _ask(
            lambda: self.api.get_paths_info(self.repo_id, paths, revision=revision, repo_type=self.repo_type),
            f"Looking up the files of {self.repo_id}",
            self.max_retries,
        )
        entries = {entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in there}
        if set(entries) != set(names):
            return False
        for name, oid in entries.items():
            with (folder / name).open("rb") as file:
                local = hashlib.file_digest(file, "sha256").hexdigest() if len(oid) == 64 else git_hash(file.read())
            if local != oid:
                return False
        return True

    def download(self, commit: str, names: Sequence[str], folder: Path) -> None:
        """
        Download files of a commit into an empty folder, past every cache.

        One by one: of a snapshot as a whole, a single answer of 5xx would make all of it fail.
        """

        def download(name: str) -> str:
            return self.api.hf_hub_download(
                self.repo_id, name, repo_type=self.repo_type, revision=commit, local_dir=folder
            )

        try:
            for name in names:
                with_retries(partial(download, name), f"Downloading {name}", self.max_retries)
        except Exception as error:
            raise PushError(
                f"{self.repo_id} is complete, at {commit}, but could not be downloaded to be compared: {_reason(error)}"
            ) from error


def check_reachable(token: str | None) -> None:
    """Raise a [`PushError`] without a network or an access token: before anything takes time."""
    if constants.is_offline_mode():
        raise PushError("offline: HF_HUB_OFFLINE is set, so that nothing can be pushed. Unset it and call again.")
    if not token and get_token() is None:
        raise PushError("no access token: set HF_TOKEN to one with write permission, or log in with `hf auth login`")


def full_repo_id(name: str, token: str | None, max_retries: int) -> str:
    """`namespace/name`; without a namespace, that of the access token's owner."""
    check_reachable(token)
    if "/" in name:
        return name
    return f"{_ask(HfApi(token=token).whoami, 'Asking who you are', max_retries)['name']}/{name}"


def _ask(call: Callable[[], T], what: str, max_retries: int) -> T:
    try:
        return with_retries(call, what, max_retries)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise
    except Exception as error:
        raise PushError(f"{what} failed: {_reason(error)}\nNothing was uploaded.") from error


def _is_conflict(error: Exception) -> bool:
    return isinstance(error, HfHubHTTPError) and error.response.status_code in (409, 412)


def _reason(error: Exception) -> str:
    error = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    hints = {
        401: " The access token is missing or not valid: set HF_TOKEN.",
        403: " The access token may not write there: it needs write permission for this namespace.",
    }
    return text + hints.get(status, "")

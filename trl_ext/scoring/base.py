"""What every scorer does: rewards of lists, datasets and files, window by window, on any number of processes."""

import abc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ..data.checks import check_is_dataset
from . import files
from .groups import Group, check_all_have_ids, groups_from_lists, groups_from_rows, row_id, windows
from .inference import gathered_windows
from .processes import process_state
from .results import ScoredWindow, all_rewards, check_finite, long_table
from .timing import Timing


class Scorer(abc.ABC):
    """
    Gives a reward to any number of responses per prompt.

    A subclass says how windows of prompts are scored ([`Scorer.score_windows`]; [`WindowScorer`] needs less), and what
    the rewards depend on ([`Scorer.settings`]). The rest is common to all.

    Attributes:
        timing ([`Timing`]): Duration and amount of the last call.
        progress (`bool`): Show a progress bar.
        window_size (`int`): Responses that are computed and written together, by default.
        has_report (`bool`): Whether [`Scorer.report`] tells anything, for which finished files are then read again.
        allow_empty_responses (`bool`): Score responses without text too. By default they are an error.
    """

    window_size: ClassVar[int] = 2048
    has_report: ClassVar[bool] = False
    allow_empty_responses: bool = False
    progress: bool = True
    timing: Timing

    @abc.abstractmethod
    def score_windows(
        self,
        groups: Callable[[], Iterable[Group]],
        *,
        window_size: int | None = None,
        num_workers: int | None = None,
        skip: int = 0,
        done: int = 0,
        total: int | None = None,
    ) -> Iterator[ScoredWindow]:
        """
        Score groups window by window. Every process gets every window, in order.

        Args:
            groups (`Callable`):
                Returns the groups from the first on; may be called several times, in several processes.
            window_size (`int`, *optional*):
                Responses of a window. By default `self.window_size`.
            num_workers (`int`, *optional*):
                What [`check_first_windows`] returned, if it was called before.
            skip, done (`int`, *optional*, defaults to `0`):
                Windows at the beginning, and groups in them, that were scored before.
            total (`int`, *optional*):
                Number of groups, for the progress bar.
        """

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """What the rewards depend on, for JSON: a file that was begun with other settings is not continued."""

    def provenance(self) -> dict[str, Any]:
        """What is good to know of the rewards, but changes none, for JSON."""
        return {}

    def report(self) -> dict[str, Any]:
        """
        What is known after the last call beside the rewards, such as answers that could not be used, for JSON. Every
        process has to call it.
        """
        return {}

    def reset_report(self) -> None:  # noqa: B027  most have nothing to report
        """Forget what [`Scorer.report`] would tell: another call begins."""

    def recall(self, groups: list[Group]) -> None:  # noqa: B027
        """
        Take up into the report what is known of prompts whose rewards were written before an interruption. Only the main
        process is told, and nothing is to be computed again.
        """

    def prepare(self) -> None:  # noqa: B027  many have nothing to load
        """Load what is needed, after the data was checked."""

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """
        Look at the first window, so that what is wrong with it is found before a model is loaded.

        Returns:
            `int`: Number of background processes for what these groups are the beginning of.
        """
        next(windows(groups, window_size), None)
        return 0

    def score(self, prompts: Sequence[Any], responses: Sequence[Sequence[Any]]) -> list[np.ndarray]:
        """
        Score the responses to prompts.

        Args:
            prompts (`list[str]` or `list[list[dict]]`):
                Texts or lists of messages.
            responses (`list[list]`):
                For each prompt a list, perhaps empty, of responses: texts, or lists of messages. A text that answers
                messages is the message of an assistant.

        Returns:
            `list[np.ndarray]`: For each prompt a float32 array with the reward of each of its responses.

        Raises:
            `ValueError` or `TypeError`: Something is missing, empty, too long or of another type. The prompt and the
            response are named.
        """
        return self.score_groups_in_memory(groups_from_lists(prompts, responses, self.allow_empty_responses))

    def score_groups_in_memory(
        self, groups: Sequence[Group], *, window_size: int | None = None, num_workers: int | None = None
    ) -> list[np.ndarray]:
        """Rewards of groups, as [`Scorer.score`] returns them; the rest as in [`Scorer.score_windows`]."""
        scored = self.score_windows(
            lambda: groups, window_size=window_size, num_workers=num_workers, total=len(groups)
        )
        return (
            np.split(all_rewards(scored), np.cumsum([len(group.responses) for group in groups])[:-1]) if groups else []
        )

    def score_dataset(self, dataset: Dataset, *, columns: Mapping[str, str] | None = None) -> Dataset:
        """
        Score a dataset of K-way rows (`prompt`, `responses`; optionally `id`, `ids`, `sources`) or of preference rows
        (`chosen`, `rejected`; optionally `prompt`, `id`, `source_chosen`, `source_rejected`).

        Args:
            dataset ([`~datasets.Dataset`]):
                The rows.
            columns (`Mapping[str, str]`, *optional*):
                Columns to rename: our name -> name in the data.

        Returns:
            [`~datasets.Dataset`]: A row per response with the columns `prompt_id` (`id`, else the row's index),
            `response_id` (of `ids`, else the response's index; of pairs, `chosen` or `rejected`), `source` and `reward`.
        """
        check_is_dataset(dataset, "dataset")
        dataset = dataset.with_format(None)

        def groups() -> Iterator[Group]:
            return groups_from_rows(dataset, "dataset", columns or {}, self.allow_empty_responses)

        # Of all rows before the first reward: what was computed until an error would be lost
        names = {(columns or {}).get(name, name) for name in ("id", "prompt_id")}
        ids = dataset.select_columns([name for name in dataset.column_names if name in names])
        first = None
        for index, row in enumerate(ids if ids.column_names else ()):
            first = check_all_have_ids(first, row_id(row, index, "dataset", columns or {}), f"dataset, row {index}")
        return long_table(self.score_windows(groups, total=len(dataset)))

    def score_file(
        self,
        input: str | Path,
        output: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        overwrite: bool = False,
        window_size: int | None = None,
    ) -> dict[str, Any]:
        """
        Score a file. Rows are read, and rewards appended, window by window; the same call continues what was interrupted.

        Args:
            input (`str` or `Path`):
                A `.jsonl`, `.parquet`, `.csv` or `.json` file of rows as in [`Scorer.score_dataset`]. Those of the
                first two kinds may be larger than memory.
            output (`str` or `Path`):
                JSONL file with a line per response, in the order of the input: `prompt_id`, `response_id`, `source`,
                `reward`. `<output>.meta.json` records how it was made.
            columns (`Mapping[str, str]`, *optional*):
                Columns to rename: our name -> name in the file.
            overwrite (`bool`, *optional*, defaults to `False`):
                Begin anew if there is an output already.
            window_size (`int`, *optional*):
                Responses that are computed and written together. By default `window_size` of the scorer.

        Returns:
            `dict`: What `<output>.meta.json` holds.

        Raises:
            `ValueError` or `TypeError`: A row is not as it must be; what was scored before it stays. Or the output was
            begun with other settings.
        """
        if window_size is None:
            window_size = self.window_size
        return files.score_file(self, Path(input), Path(output), dict(columns or {}), overwrite, window_size)


class WindowScorer(Scorer):
    """
    A scorer that computes a window of prompts by itself, without preparation in the background.

    A subclass has [`WindowScorer.score_groups`]. Windows are divided among the processes.
    """

    window_size: ClassVar[int] = 256

    @abc.abstractmethod
    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """
        Rewards of all responses of some prompts.

        Args:
            groups (`list[Group]`):
                Prompts with their responses.

        Returns:
            `tuple[np.ndarray, Mapping[str, int]]`: Rewards of all responses of all groups, in order, and what they cost:
            `computed_tokens`, `sequence_tokens`, `truncated`, where known.
        """

    def score_windows(
        self,
        groups: Callable[[], Iterable[Group]],
        *,
        window_size: int | None = None,
        num_workers: int | None = None,
        skip: int = 0,
        done: int = 0,
        total: int | None = None,
    ) -> Iterator[ScoredWindow]:
        """See [`Scorer.score_windows`]."""
        state = process_state()
        window_size = self.window_size if window_size is None else window_size
        if num_workers is None:
            self.check_first_windows(groups(), window_size)
        self.prepare()
        self.reset_report()
        self.timing = Timing(processes=state.num_processes)

        def mine() -> Iterator[ScoredWindow]:
            for index, window in enumerate(windows(groups(), window_size)):
                if index < skip and state.is_main_process:
                    self.recall(window)
                elif index >= skip and (index - skip) % state.num_processes == state.process_index:
                    yield self._score_window(window)

        hidden = not (self.progress and state.is_main_process)
        with tqdm(initial=done, total=total, unit="prompt", desc="Scoring", disable=hidden) as bar:
            for window in gathered_windows(mine(), self.timing):
                bar.update(window.groups)
                yield window

    def _score_window(self, window: list[Group]) -> ScoredWindow:
        started = time.perf_counter()
        rewards, cost = self.score_groups(window)
        labels = [label for group in window for label in group.labels()]
        rewards = np.asarray(rewards, dtype=np.float32)
        if rewards.shape != (len(labels),):
            raise ValueError(f"a scorer must give one reward per response: {len(labels)}, got shape {rewards.shape}")
        check_finite(rewards, labels)
        return ScoredWindow(
            groups=len(window),
            labels=labels,
            rewards=rewards,
            model_seconds=time.perf_counter() - started,
            computed_tokens=cost.get("computed_tokens", 0),
            sequence_tokens=cost.get("sequence_tokens", 0),
            truncated=cost.get("truncated", 0),
        )

"""Results of evaluations on the Hub: files with a card, and figures in the card of the model."""

import logging
import math
import shutil
import tempfile
from pathlib import Path

from huggingface_hub import EvalResult, HfApi, ModelCard
from huggingface_hub.errors import RepositoryNotFoundError

from ...hub.files import check_no_secrets
from ...hub.repository import Pushed, PushError, Repository, check_reachable
from ...hub.retry import with_retries
from ..benchmarks.base import BenchmarkResult
from ..benchmarks.registry import BENCHMARKS
from ..benchmarks.run import INPUT, PER_ROW, RESULTS, REWARDS
from ..rewardbench_layout.paths import TARGETS, model_file, model_name
from .card import results_card
from .collected_results import collect_results
from .model_result import ModelResult


logger = logging.getLogger(__name__)

_TASK = "preference_evaluation"


def push_evaluation_results(
    folder: str | Path,
    repo_id: str,
    *,
    layout: str | Path | None = None,
    include_texts: bool = False,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    max_retries: int = 5,
) -> Pushed:
    """
    Push results to a dataset repository on the Hub, in one commit, with a card of the figures and their intervals.

    Each result is `<benchmark>/<model>/` with `results.json`, `per_row.csv` and `rewards.jsonl`; files in RewardBench's
    layout lie at the top. The card shows what was pushed before, too. Prompts and responses stay here unless they are asked
    for. The access token is that of `HF_TOKEN`, or of `hf auth login`.

    Args:
        folder (`str` or `Path`):
            Folder of a result, or of several.
        repo_id (`str`):
            `namespace/name`, or a name in your own namespace. Created if it does not exist.
        layout (`str` or `Path`, *optional*):
            Top of RewardBench's layout. By default the output folder in which `folder` lies, if there is one.
        include_texts (`bool`, *optional*, defaults to `False`):
            Push prompts and responses as well: `input.jsonl` and the layout's scores.
        private, revision, commit_message, max_retries:
            As in [`~trl_ext.push_reward_model`].

    Returns:
        [`~trl_ext.hub.repository.Pushed`]: Repository, commit and files.

    Raises:
        PushError: If the push did not complete; the message says what state the repository is in.
        ValueError: If there are no results, or a file holds an access token or the path of the home directory. Nothing
            was uploaded then.

    Example:
        ```python
        >>> from trl_ext.evaluation.results.hub import push_evaluation_results

        >>> push_evaluation_results("results/rewardbench/my-model", "me/my-model-results", private=True).commit
        '0d4b1c6…'
        ```
    """
    check_reachable(None)
    folder = Path(folder).expanduser()
    own = [result for result in collect_results([folder]) if Path(result.source).name == RESULTS]
    if not own:
        raise ValueError(f"{folder} has no {RESULTS} of an evaluation")
    layout = folder.parent.parent if layout is None else Path(layout).expanduser()
    with tempfile.TemporaryDirectory(prefix="trl_ext_push_") as scratch:
        staged, before = Path(scratch, "staged"), Path(scratch, "before")
        staged.mkdir()
        names = [name for result in own for name in _stage(result, layout, staged, include_texts)]
        check_no_secrets(staged, names, None)
        repository = Repository.open(
            repo_id, repo_type="dataset", private=private, revision=revision, max_retries=max_retries
        )
        earlier = [name for name in repository.files if name.endswith(f"/{RESULTS}") and name not in names]
        if earlier:
            repository.download(repository.head, earlier, before)
        results = [*own, *(collect_results([before]) if earlier else [])]
        (staged / "README.md").write_text(results_card(results, repository.repo_id), encoding="utf-8")
        names.append("README.md")
        check_no_secrets(staged, ["README.md"], None)
        left_out = [] if include_texts else [f"prompts and responses ({INPUT}, scores of the layout)"]
        repository.announce(staged, names, [], left_out, private)
        commit = repository.commit(staged, names, [], commit_message or "Upload results of an evaluation")
        sizes = {name: (staged / name).stat().st_size for name in names}
    logger.info("Pushed: %s at commit %s", repository.url, commit)
    return Pushed(repository.repo_id, repository.url, commit, repository.private, sizes, [])


def add_evaluation_to_model_card(
    repo_id: str,
    result: BenchmarkResult | ModelResult,
    *,
    subsets: bool = True,
    revision: str | None = None,
    commit_message: str | None = None,
    max_retries: int = 5,
) -> str:
    """
    Write figures into the metadata of a model's card on the Hub (`model-index`), each with its interval.

    Figures of the same benchmark that are there are replaced; all else stays. The access token is that of `HF_TOKEN`, or
    of `hf auth login`.

    Args:
        repo_id (`str`):
            The model, which must exist.
        result ([`BenchmarkResult`] or [`ModelResult`]):
            Its figures.
        subsets (`bool`, *optional*, defaults to `True`):
            Write those of the subsets, too, beside overall and sections.
        revision, commit_message, max_retries:
            As in [`~trl_ext.push_reward_model`].

    Returns:
        `str`: the commit.

    Raises:
        PushError: The model does not exist, or the commit did not complete.
        ValueError: There is no figure, or the metadata of the card can't be read.
    """
    check_reachable(None)
    api = HfApi(library_name="trl_ext")
    try:
        with_retries(lambda: api.repo_info(repo_id), f"Looking up {repo_id}", max_retries)
    except RepositoryNotFoundError as error:
        raise PushError(f"there is no model {repo_id!r} on the Hub whose card could be changed") from error
    figures = _eval_results(result, subsets)
    repository = Repository.open(repo_id, revision=revision, max_retries=max_retries)
    with tempfile.TemporaryDirectory(prefix="trl_ext_push_") as scratch:
        staged = Path(scratch)
        if "README.md" in repository.files:
            repository.download(repository.head, ["README.md"], staged)
            card = ModelCard((staged / "README.md").read_text(encoding="utf-8"))
        else:
            card = ModelCard(f"---\n---\n\n# {repository.repo_id.split('/')[-1]}\n")
        card.data.model_name = card.data.model_name or repository.repo_id.split("/")[-1]
        kept = [entry for entry in card.data.eval_results or () if _key(entry) != _key(figures[0])]
        card.data.eval_results = [*kept, *figures]
        (staged / "README.md").write_text(str(card), encoding="utf-8")
        return repository.commit(staged, ["README.md"], [], commit_message or f"Add results on {result.benchmark}")


def _stage(result: ModelResult, layout: Path, staged: Path, include_texts: bool) -> list[str]:
    source = Path(result.source).parent
    place = Path(result.benchmark, model_name(result.model).replace("/", "__"))
    names = [RESULTS, PER_ROW, REWARDS, f"{REWARDS}.meta.json", *([INPUT] if include_texts else [])]
    files = {place / name: source / name for name in names}
    target = TARGETS.get(result.benchmark)
    # scores hold the texts
    for folder in () if target is None else (target, *([f"{target}-scores"] if include_texts else [])):
        file = model_file("", folder, result.model)
        files[file] = layout / file
    found = {name.as_posix(): path for name, path in files.items() if path.is_file()}
    for name, path in found.items():
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, staged / name)
    return list(found)


def _eval_results(result: BenchmarkResult | ModelResult, subsets: bool) -> list[EvalResult]:
    named = {} if result.overall is None else {"overall": result.overall}
    named |= result.sections | (
        {name: figure for name, figure in result.subsets.items() if name not in result.sections} if subsets else {}
    )
    hub_id = BENCHMARKS[result.benchmark].hub_id if result.benchmark in BENCHMARKS else None
    figures = []
    for name, figure in named.items():
        if not math.isfinite(figure.value):
            logger.warning("%s: %s has no value and is left out of the card", result.benchmark, name)
            continue
        numbers = {key: getattr(figure, key) for key in ("se", "ci_low", "ci_high")}
        uncertainty = {key: value for key, value in numbers.items() if math.isfinite(value)}
        figures.append(
            EvalResult(
                task_type=_TASK,
                task_name="preference evaluation",
                dataset_type=hub_id or result.benchmark,
                dataset_name=result.benchmark,
                dataset_config=name,
                metric_type="accuracy",
                metric_name=name,
                metric_value=float(figure.value),
                metric_args={**uncertainty, "n": figure.n, "method": figure.method},
            )
        )
    if not figures:
        raise ValueError(f"the result on {result.benchmark} has no figure to write into a card")
    return figures


def _key(entry: EvalResult) -> tuple[str, str]:
    return entry.task_type, entry.dataset_type

"""Names of the original's folders, one per model."""

from pathlib import Path


RESPONSES_PREFIX, SCORES_SUFFIX = "CHARM-", "_score"
_SLASH = "%2F"  # in names of folders, for the slash in names of models on the Hub


def responses_folder(folder: str | Path, model: str) -> Path:
    """Where the responses of a model are, or would be."""
    return _existing(Path(folder), RESPONSES_PREFIX, model, "")


def scores_folder(folder: str | Path, model: str) -> Path:
    """
    Where the scores of a model are, or would be: a slash in its name is written `%2F`. Folders within folders, which such
    names made before, are found as well.

    Example:
        ```python
        >>> from trl_ext.arena.responses.original_folders import scores_folder
        >>> scores_folder("scores", "google/gemma-2-9b-it").name
        'google%2Fgemma-2-9b-it_score'

        ```
    """
    return _existing(Path(folder), "", model, SCORES_SUFFIX)


def models_with_scores(folder: str | Path) -> list[str]:
    """
    Names of the models of the `{model}_score` folders, sorted.

    Raises:
        ValueError: There is no such folder, or it has none of them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}")
    found = [
        path.relative_to(folder).as_posix().removesuffix(SCORES_SUFFIX).replace(_SLASH, "/")
        for pattern in (f"*{SCORES_SUFFIX}", f"*/*{SCORES_SUFFIX}")
        for path in folder.glob(pattern)
        if path.is_dir()
    ]
    if not found:
        raise ValueError(f"{str(folder)!r} has no folders named {{model}}{SCORES_SUFFIX}")
    return sorted(set(found))


def _existing(folder: Path, prefix: str, model: str, suffix: str) -> Path:
    written = folder / f"{prefix}{model.replace('/', _SLASH)}{suffix}"
    nested = folder / f"{prefix}{model}{suffix}"
    return nested if nested.is_dir() and not written.is_dir() else written

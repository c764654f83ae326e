"""Where the rewrites of a run lie: a file, the folder of a data set, or the folder of all."""

from pathlib import Path

from .text_chains import TextChains


REWRITES = "rewrites.jsonl"


def find_chains(path: str | Path) -> dict[str, Path]:
    """
    Files of rewrites.

    Args:
        path (`str` or `Path`):
            A file of [`TextChains.write`], a folder with `rewrites.jsonl`, or a folder of such folders.

    Returns:
        `dict[str, Path]`: Files by the name of their folder, sorted.

    Raises:
        ValueError: There is no such file.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return {path.resolve().parent.name: path}
    if (path / REWRITES).is_file():
        return {path.resolve().name: path / REWRITES}
    found = {file.parent.name: file for file in sorted(path.glob(f"*/{REWRITES}"))}
    if not found:
        raise ValueError(f"{path}: there is no such file, nor a folder with {REWRITES} in it or in a folder of it")
    return found


def read_all_chains(path: str | Path) -> dict[str, TextChains]:
    """
    Read the rewrites that [`find_chains`] finds.

    Returns:
        `dict[str, TextChains]`: By the name of the attribute, or by that of the folder where several have one attribute.
    """
    chains = {name: TextChains.read(file) for name, file in find_chains(path).items()}
    attributes = [one.attribute for one in chains.values()]
    return {one.attribute if attributes.count(one.attribute) == 1 else name: one for name, one in chains.items()}

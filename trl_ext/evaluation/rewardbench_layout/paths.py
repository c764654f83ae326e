"""Where the files of a model lie: always inside the output folder, whatever the model is called."""

import re
from pathlib import Path, PurePosixPath


# RewardBench 2 has the same names of files; the original keeps its results apart
VERSION_2_FOLDER = "reward-bench-2"
_TELLS_LITTLE = re.compile(r"checkpoint-\d+|final|best|last|latest|model|merged|main|output")
# Folder of a benchmark's accuracies; scores lie beside it
TARGETS = {
    "rewardbench": "eval-set",
    "rewardbench2": f"{VERSION_2_FOLDER}/eval-set",
    "preference_test_sets": "pref-sets",
}


def model_name(model: str) -> str:
    """
    Name of a model in the layout: a Hub id as it is, of a local path its last part, with its parent's name if that tells
    little, such as `final`. Of several models with `+` between, which judge together, each is one part.

    The original joins the name to the output folder: with an absolute path some files land beside the model, and a
    slash at the end gives files without a name.

    Args:
        model (`str`):
            Hub id, or a path.

    Returns:
        `str`: One name, or two with a slash between.

    Raises:
        ValueError: nothing is left that can be the name of a file.

    Example:
        ```python
        >>> model_name("org/my-model"), model_name("/data/models/my-model/"), model_name("../my-model")
        ('org/my-model', 'my-model', 'my-model')
        >>> model_name("/data/my-run/checkpoint-100"), model_name("org/a+/data/b")
        ('my-run__checkpoint-100', 'org__a+b')
        ```
    """
    several = str(model).strip().split("+")
    if len(several) > 1 and all(several):
        return "+".join(model_name(part).replace("/", "__") for part in several)
    text = str(model).strip().removeprefix("bundled:").replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    is_path = text.startswith(("/", "~", ".")) or len(parts) > 2 or ".." in parts or ":" in text
    little = is_path and bool(parts) and _TELLS_LITTLE.fullmatch(parts[-1]) is not None
    if is_path and parts and (parts[-1] == ".." or (little and len(parts) < 2)):
        parts = [part for part in Path(text).expanduser().resolve().parts if part != "/"]
    name = ("__".join(parts[-2:] if little else parts[-1:]) if is_path else "/".join(parts)).replace(":", "_")
    if not name.strip("/~ ") or "\0" in name:
        raise ValueError(
            f"model {model!r} is not a name for files: give a Hub id, or the path of a folder with a name"
        )
    return name


def model_file(folder: str | Path, target: str, model: str, ending: str = ".json") -> Path:
    """
    The file of a model, such as `<folder>/eval-set/<model>.json`.

    Args:
        folder (`str` or `Path`): Top of the layout.
        target (`str`): Folder below it; may be empty.
        model (`str`): Hub id or path of the model.
        ending (`str`, *optional*, defaults to `".json"`): What follows the name.

    Raises:
        ValueError: the name or the target lead out of the folder.
    """
    if ".." in PurePosixPath(target).parts or PurePosixPath(target).is_absolute():
        raise ValueError(f"target {target!r} leads out of the output folder: it must be a relative path without '..'")
    return Path(folder).expanduser() / target / f"{model_name(model)}{ending}"

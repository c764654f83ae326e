"""The names under which leaderboards and model hubs know the same model."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from .rating_table import RatingTable


@cache
def _groups() -> tuple[tuple[str, ...], ...]:
    text = resources.files(__package__).joinpath("data", "model_names.json").read_text(encoding="utf-8")
    return tuple(map(tuple, json.loads(text)))


def known_aliases(models: Sequence[str], aliases: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Other names of models, to the names in use: those in `data/model_names.json`, where each line lists the names of one
    model, and the user's.

    Args:
        models (`Sequence[str]`):
            Names in use. Names that differ in case only need no alias.
        aliases (`Mapping[str, str]`, *optional*):
            Further names, to names in use or other names of them; they go before the shipped ones.

    Returns:
        `dict[str, str]`: For [`RatingTable`]. Where several of `models` are names of one model, its other names are left
        out, as they would be ambiguous.

    Raises:
        ValueError: A user's alias is itself a name in use, or stands for a model that is not.

    Example:
        ```python
        >>> from trl_ext.arena.ratings.model_names import known_aliases
        >>> known_aliases(["gemma-2-9b-it"], {"small": "google/gemma-2-9b-it"})
        {'google/gemma-2-9b-it': 'gemma-2-9b-it', 'small': 'gemma-2-9b-it'}

        ```
    """
    in_use = {model.lower(): model for model in models}
    found: dict[str, str] = {}
    for group in _groups():
        members = [in_use[name.lower()] for name in group if name.lower() in in_use]
        if len(members) == 1:
            found |= {name: members[0] for name in group if name.lower() != members[0].lower()}
    if not aliases:
        return found
    names = RatingTable.from_ratings(dict.fromkeys(models, 0.0))
    names = RatingTable(names.table, aliases=found)
    for alias, model in aliases.items():
        if not isinstance(alias, str) or not isinstance(model, str):
            raise TypeError(f"aliases must map names to names, got {alias!r}: {model!r}")
        if alias in models and alias != model:
            raise ValueError(f"alias {alias!r} of {model!r} is itself the name of a model that has a rating")
        try:
            found[alias] = names.resolve(model)
        except ValueError as error:
            raise ValueError(f"alias {alias!r} stands for an unknown model: {error}") from None
    return found

"""Every scored model has one rating of its own."""

from collections.abc import Sequence

from .model_names import known_aliases
from .rating_table import RatingTable


def check_rating_table(ratings: RatingTable) -> None:
    """Raise a `TypeError` unless it is a [`RatingTable`]."""
    if not isinstance(ratings, RatingTable):
        raise TypeError(
            f"`ratings` must be a RatingTable, got {type(ratings).__name__}; `RatingTable.from_ratings` makes one from a "
            "dict of ratings by model"
        )


def check_rated(models: Sequence[str], ratings: RatingTable) -> None:
    """
    Raise a `ValueError` if a model has no rating, or if two names stand for the same one.

    Args:
        models (`Sequence[str]`):
            Names of scored models.
        ratings ([`RatingTable`]):
            Ratings.
    """
    check_rating_table(ratings)
    rated, unrated = {}, {}
    for model in models:
        try:
            known = ratings.resolve(model)
        except ValueError as error:
            unrated[model] = str(error)
            continue
        if known in rated:
            raise ValueError(
                f"models {rated[known]!r} and {model!r} have the same rating, that of {known!r}: leave one out, or rate "
                "them apart"
            )
        rated[known] = model
    if unrated:
        first = next(iter(unrated.values()))
        raise ValueError(f"{len(unrated)} of {len(models)} scored models have no rating; first: {first}")


def scored_name(name: str, models: Sequence[str], ratings: RatingTable | None = None) -> str | None:
    """
    The one of the scored models that is known under a name, or `None`.

    Args:
        name (`str`):
            Name of a scored model, in any case, or another name of it: a shipped one, or one that `ratings` have.
        models (`Sequence[str]`):
            Names of the scored models.
        ratings ([`RatingTable`], *optional*):
            Ratings with aliases.

    Example:
        ```python
        >>> from trl_ext.arena.ratings.rated_models import scored_name
        >>> scored_name("GPT-4o-mini-2024-07-18", ["gpt-4o-mini", "princeton-nlp/gemma-2-9b-it-SimPO"])
        'gpt-4o-mini'

        ```
    """
    names = RatingTable.from_ratings(dict.fromkeys(models, 0.0))
    own = RatingTable(names.table, aliases=known_aliases(list(models)))
    found = {model for model in [_resolved(name, own)] if model is not None}
    if not found and ratings is not None:
        rated = _resolved(name, ratings)
        found = {model for model in models if rated is not None and _resolved(model, ratings) == rated}
    return found.pop() if len(found) == 1 else None


def _resolved(name: str, ratings: RatingTable) -> str | None:
    try:
        return ratings.resolve(name)
    except ValueError:
        return None

"""Every scored model has one rating of its own."""

from collections.abc import Sequence

from .rating_table import RatingTable


def check_rated(models: Sequence[str], ratings: RatingTable) -> None:
    """
    Raise a `ValueError` if a model has no rating, or if two names stand for the same one.

    Args:
        models (`Sequence[str]`):
            Names of scored models.
        ratings ([`RatingTable`]):
            Ratings.
    """
    if not isinstance(ratings, RatingTable):
        raise TypeError(
            f"`ratings` must be a RatingTable, got {type(ratings).__name__}; `RatingTable.from_ratings` makes one from a "
            "dict of ratings by model"
        )
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

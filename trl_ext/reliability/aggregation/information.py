"""Covariance of estimated parameters from their information matrix, and which of them the data determine."""

import numpy as np

from .votes import Votes


# Share of the information of known truths below which a direction counts as not determined by the votes
_UNDETERMINED = 1e-5


def covariance_of_determined(information: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Covariance of parameters, and which parameters the data determine.

    Args:
        information (`ndarray` of shape `(P, P)`): Observed information.
        scale (`ndarray` of shape `(P,)`): Information that each parameter would have if the truth were known.

    Returns:
        `tuple`: Covariance `(P, P)`, valid for determined parameters, and `(P,)` booleans.
    """
    root = np.sqrt(np.maximum(scale, np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(information / np.outer(root, root))
    good = values > _UNDETERMINED
    # a parameter is determined if it does not occur in the directions about which nothing is known
    determined = (vectors[:, ~good] ** 2).sum(axis=1) < 1e-6
    inverse = (vectors[:, good] / values[good]) @ vectors[:, good].T
    return inverse / np.outer(root, root), determined


def too_few_to_compare(votes: Votes) -> np.ndarray:
    """
    Annotators linked to fewer than two others, shape `(A,)`.

    Two annotators show only how often they agree, which does not say which of them is right.
    """
    groups = votes.groups()
    return (np.bincount(groups) < 3)[groups]


def describe_unknown(votes: Votes, unknown: np.ndarray) -> list[str]:
    """A message that counts and names the annotators without a standard error, or nothing."""
    if not unknown.any():
        return []
    names = ", ".join(map(repr, votes.annotator_ids[unknown][:5])) + (", ..." if unknown.sum() > 5 else "")
    return [
        f"the votes do not determine the skill of {int(unknown.sum())} annotators ({names}): no standard error. "
        "Each must be linked by shared items to at least two others."
    ]

"""All ensembles of some models, from rewards that are there already."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from .ensemble_combination import MODES, check_finite, check_mode, combine, moments_of, normalized


def sweep_ensembles(
    rewards: Mapping[str, ArrayLike],
    evaluate: Callable[[np.ndarray], Mapping[str, float]],
    modes: Sequence[str] = MODES,
    min_size: int = 2,
    *,
    max_size: int | None = None,
    normalize: bool = True,
    progress: bool = False,
) -> pd.DataFrame:
    """
    Evaluate every combination of models in every mode. The best of many combinations looks better than it is: confirm it
    on other rows.

    Args:
        rewards (`Mapping[str, array_like]`):
            Rewards `(N,)` of each model, of the same responses in the same order.
        evaluate (`Callable[[np.ndarray], Mapping[str, float]]`):
            Figures by name of the rewards `(N,)` of an ensemble.
        modes (`Sequence[str]`, *optional*, defaults to `("mean", "worst", "uncertainty")`):
            See [`ensemble_rewards`].
        min_size (`int`, *optional*, defaults to `2`):
            Smallest number of models. 1 compares with each by itself.
        max_size (`int`, *optional*):
            Largest number of models. By default all.
        normalize (`bool`, *optional*, defaults to `True`):
            Normalise each model's rewards over all `N`; see [`ensemble_rewards`].
        progress (`bool`, *optional*, defaults to `False`):
            Show a progress bar.

    Returns:
        `pandas.DataFrame`: A row per mode and combination: `models` (names joined by `|`), `size`, `mode`, and a column
        per figure.

    Raises:
        ValueError: models have different numbers of rewards, one is not finite or the same for all responses, or sizes or
            modes are not as they must be.

    Example:
        ```python
        >>> rewards = {"a": [1.0, 0.0, 2.0, 1.0], "b": [0.0, 3.0, 1.0, 0.0]}  # two chosen, then two rejected responses
        >>> accuracy = lambda r: {"accuracy": (r[:2] > r[2:]).mean()}
        >>> sweep_ensembles(rewards, accuracy, modes=["mean"], min_size=1)
          models  size  mode  accuracy
        0      a     1  mean       0.0
        1      b     1  mean       0.5
        2    a|b     2  mean       0.5
        ```
    """
    modes = list(modes)
    if not modes:
        raise ValueError("`modes` is empty")
    for mode in modes:
        check_mode(mode)
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in rewards.items()}
    max_size = len(arrays) if max_size is None else max_size
    if not 1 <= min_size <= max_size <= len(arrays):
        raise ValueError(
            f"sizes must hold 1 <= min_size <= max_size <= {len(arrays)} models, got min_size={min_size}, "
            f"max_size={max_size}"
        )
    for name, values in arrays.items():
        check_finite(values, name)
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"all models must have rewards of the same responses, got these numbers of them: {lengths}")
    if normalize:
        arrays = {name: normalized(values, moments_of(values, name)) for name, values in arrays.items()}
    tasks = [
        (mode, names)
        for mode in modes
        for size in range(min_size, max_size + 1)
        for names in combinations(arrays, size)
    ]
    rows = []
    for mode, names in tqdm(tasks, desc="Ensembles", unit="ensemble", disable=not progress):
        figures = evaluate(combine(np.stack([arrays[name] for name in names]), mode))
        rows.append({"models": "|".join(names), "size": len(names), "mode": mode, **figures})
    return pd.DataFrame(rows)
